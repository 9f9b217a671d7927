"""Logging in, staying in, getting out; and how an access token can be no good."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import jwt
import psycopg
import pytest
from pydantic import SecretStr

from api.limits import REQUESTS
from api.security import ACCESS_SECONDS, AUDIENCE, ISSUER, AccessTokens
from domain.values import Time
from infrastructure.access import REFRESH_US, REUSE_US, Access, User
from infrastructure.event_store.database import Database
from infrastructure.master_key import MasterKey, load_master_key
from tests.api.server import PASSWORD, V1, Server, problem_of, serving

KEY = MasterKey(bytes(range(32)))
ADA = User("ada", "trader", disabled=False, created_at=Time(0))


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home, worker=False) as served:
        yield served


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_767_225_600_000_000

    def __call__(self) -> int:
        return self.now


def refresh(server: Server, token: str) -> int:
    return server.client.post(f"{V1}/auth/refresh", json={"refresh_token": token}).status_code


def test_login_shows_who_one_is_and_logout_ends_both_tokens(server: Server) -> None:
    tokens = server.login("admin").json()
    assert tokens["expires_in"] == ACCESS_SECONDS
    server.headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert server.get("/auth/me").json() == {"name": "admin", "role": "admin"}
    assert server.post("/auth/logout").status_code == 204
    assert problem_of(server.get("/auth/me"), 401)["code"] == "TOKEN_INVALID"
    assert refresh(server, tokens["refresh_token"]) == 401


def test_a_wrong_name_and_a_wrong_password_are_told_apart_by_nobody(server: Server) -> None:
    wrong = server.login("admin", "wrong")
    nobody = server.login("nobody", "wrong")
    assert problem_of(wrong, 401) == problem_of(nobody, 401)


def test_without_a_token_there_is_nothing(server: Server) -> None:
    server.headers = {}
    assert problem_of(server.get("/auth/me"), 401)["code"] == "UNAUTHORIZED"
    assert server.get("/auth/me").headers["www-authenticate"] == "Bearer"


def test_refresh_rotates_and_a_repeat_is_tolerated_for_a_moment_only(database: Database) -> None:
    clock = Clock()
    access = Access(database, clock)
    access.create_user("test", "ada", "trader", SecretStr(PASSWORD))
    first = access.login("ada", SecretStr(PASSWORD))
    assert first is not None
    second = access.refresh(first.refresh_token)
    assert second is not None
    assert second.refresh_token.get_secret_value() != first.refresh_token.get_secret_value()
    clock.now += REUSE_US
    assert access.refresh(first.refresh_token) is not None
    clock.now += 1
    assert access.refresh(first.refresh_token) is None
    assert access.refresh(second.refresh_token) is None, "reuse ends the whole family"
    assert access.user_of(first.id, "ada") is None
    assert access.log(None, 1)[0].action == "refresh.reused"


def test_a_refresh_token_lasts_seven_days(database: Database) -> None:
    clock = Clock()
    access = Access(database, clock)
    access.create_user("test", "ada", "trader", SecretStr(PASSWORD))
    session = access.login("ada", SecretStr(PASSWORD))
    assert session is not None
    clock.now += REFRESH_US - 1
    renewed = access.refresh(session.refresh_token)
    assert renewed is not None
    clock.now += REFRESH_US
    assert access.refresh(renewed.refresh_token) is None


def test_an_access_token_lasts_a_quarter_of_an_hour() -> None:
    now = 1_767_225_600.0
    tokens = AccessTokens(KEY, lambda: now)
    token = tokens.issue(ADA, "session")
    now += ACCESS_SECONDS - 1
    assert tokens.read(token) is not None
    now += 1
    assert tokens.read(token) is None


def test_what_is_over_is_not_kept(database: Database, superuser_url: str) -> None:
    clock = Clock()
    access = Access(database, clock)
    access.create_user("test", "ada", "trader", SecretStr(PASSWORD))
    for _ in range(3):
        session = access.login("ada", SecretStr(PASSWORD))
        assert session is not None
        clock.now += REFRESH_US + 1
    with psycopg.connect(superuser_url) as connection:
        kept = [
            connection.execute(f"SELECT count(*) FROM {t}".encode()).fetchone() for t in ("sessions", "refresh_tokens")
        ]
    assert kept == [(1,), (1,)]


def claims() -> dict[str, object]:
    return {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "admin", "jti": "1", "iat": 0, "exp": 2**40, "typ": "access", "sid": "s",
    }  # fmt: skip


@pytest.mark.parametrize("missing", sorted(claims()))
def test_a_token_without_a_claim_is_no_good(missing: str) -> None:
    tokens = AccessTokens(KEY)
    key = KEY.derive("access-token", "HS256")
    whole = claims()
    assert tokens.read(jwt.encode(whole, key, "HS256")) is not None
    del whole[missing]
    assert tokens.read(jwt.encode(whole, key, "HS256")) is None


@pytest.mark.parametrize(("name", "value"), [("iss", "other"), ("aud", "other"), ("typ", "refresh"), ("exp", 1)])
def test_a_token_with_another_claim_is_no_good(name: str, value: object) -> None:
    key = KEY.derive("access-token", "HS256")
    assert AccessTokens(KEY).read(jwt.encode({**claims(), name: value}, key, "HS256")) is None


def test_a_token_chooses_no_algorithm_and_no_key() -> None:
    tokens = AccessTokens(KEY)
    key = KEY.derive("access-token", "HS256")
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none", "typ": "JWT"}, claims())
    )
    assert tokens.read(f"{unsigned}.") is None
    assert tokens.read(jwt.encode(claims(), key * 2, "HS512")) is None
    assert tokens.read(jwt.encode(claims(), bytes(32), "HS256")) is None


@pytest.mark.parametrize("text", ["", ".", "a.b.c", "é" * 10, "[" * 1500, "x" * 3000])
def test_what_is_no_token_is_no_good(text: str) -> None:
    assert AccessTokens(KEY).read(text) is None
    assert AccessTokens(KEY).read(f"{base64.urlsafe_b64encode(b'[' * 1400).decode()}.e30.e30") is None


def test_the_eleventh_login_in_a_minute_is_one_too_many(server: Server) -> None:
    server.add_user("ada", "trader")
    answers = [server.login("ada", "wrong") for _ in range(11)]
    assert {answer.status_code for answer in answers[:10]} == {401}
    problem_of(answers[10], 429)
    assert 1 <= int(answers[10].headers["retry-after"]) <= 60
    assert server.login("admin").status_code == 200, "another name is not held up"


def test_a_user_makes_600_requests_a_minute(server: Server) -> None:
    limits, name = server.app.state.limits, server.get("/auth/me").json()["name"]
    assert all(limits.allows(REQUESTS, name) for _ in range(597))  # so quickly that no slow machine sees a minute pass
    assert [server.get("/auth/me").status_code for _ in range(4)] == [200, 200, 429, 429]


def test_the_first_admin_is_made_once(database: Database) -> None:
    access = Access(database)
    made = access.make_first_admin()
    assert made is not None
    name, password = made
    assert password.get_secret_value() not in repr(made)
    assert access.make_first_admin() is None
    assert access.login(name, password) is not None


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    first = load_master_key(tmp_path)
    path = tmp_path / "keys" / "access.key"
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert load_master_key(tmp_path).derive("x") == first.derive("x") != first.derive("y")
    assert first.derive("ab", "c") != first.derive("a", "bc")
    assert path.read_bytes().hex() not in repr(first)
    assert [each.name for each in path.parent.iterdir()] == ["access.key"]


def test_passwords_and_tokens_are_nowhere_in_the_database(server: Server, superuser_url: str) -> None:
    tokens = server.login("admin").json()
    with psycopg.connect(superuser_url) as connection:
        tables = ["users", "sessions", "refresh_tokens", "access_log"]
        kept = "".join(
            row[0] for table in tables for row in connection.execute(f"SELECT {table}::text FROM {table}".encode())
        )
    assert "$argon2id$" in kept
    for secret in (PASSWORD, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in kept


def test_the_access_log_says_what_was_done(server: Server) -> None:
    server.login("admin", "wrong")
    page = server.get("/auth/log?limit=2").json()
    assert [entry["action"] for entry in page["items"]] == ["login.refused", "login"]
    older = server.get(f"/auth/log?before={page['next']}").json()
    assert [entry["action"] for entry in older["items"]] == ["user.created:admin"]
    assert older["next"] is None


def test_guessing_for_ever_adds_a_few_rows_to_the_access_log(database: Database) -> None:
    access = Access(database)
    access.create_user("test", "ada", "trader", SecretStr(PASSWORD))
    for _ in range(70):
        assert access.login("ada", SecretStr("wrong"), "1.2.3.4") is None
    refused = [entry.action for entry in reversed(access.log(None, 500)) if entry.action.startswith("login.refused")]
    assert refused == ["login.refused"] * 10 + ["login.refused:16", "login.refused:32", "login.refused:64"]
    assert access.login("ada", SecretStr(PASSWORD)) is not None
    assert access.login("ada", SecretStr("wrong")) is None
    assert access.log(None, 1)[0].action == "login.refused"


def test_who_only_refreshes_keeps_no_old_tokens(database: Database, superuser_url: str) -> None:
    now = [1_000_000]
    access = Access(database, lambda: now[0])
    access.create_user("test", "ada", "trader", SecretStr(PASSWORD))
    access.login("ada", SecretStr(PASSWORD))
    session = access.login("ada", SecretStr(PASSWORD))
    for _ in range(10):
        assert session is not None
        now[0] += 2 * 86_400_000_000
        session = access.refresh(session.refresh_token)
    with psycopg.connect(superuser_url) as superuser:
        assert superuser.execute("SELECT count(*) FROM refresh_tokens").fetchone() == (4,)
        assert superuser.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
