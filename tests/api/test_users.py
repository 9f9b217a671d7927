"""Users and what their roles let them do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.access import Role
from infrastructure.event_store.database import Database
from tests.api.server import PASSWORD, V1, Server, problem_of, serving

NEW = {"name": "ada", "role": "trader", "password": PASSWORD}


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home, worker=False) as served:
        yield served


def change(server: Server, name: str, **what: object) -> int:
    return server.ask("PATCH", f"/users/{name}", what).status_code


def test_an_admin_adds_and_lists_users(server: Server) -> None:
    added = server.post("/users", NEW)
    assert added.status_code == 201
    assert {**added.json(), "created_at": ""} == {"name": "ada", "role": "trader", "disabled": False, "created_at": ""}
    assert [user["name"] for user in server.get("/users").json()["items"]] == ["ada", "admin"]
    assert problem_of(server.post("/users", NEW), 409)
    assert server.login("ada").status_code == 200


def test_a_change_ends_the_sessions(server: Server) -> None:
    server.add_user("ada", "trader")
    tokens = server.login("ada").json()
    assert change(server, "ada", role="viewer") == 200
    refreshed = server.client.post(f"{V1}/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401
    me = server.client.get(f"{V1}/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.status_code == 401


def test_a_disabled_user_is_out_until_enabled(server: Server) -> None:
    server.add_user("ada", "trader")
    assert change(server, "ada", disabled=True) == 200
    assert server.login("ada").status_code == 401
    assert change(server, "ada", disabled=False) == 200
    assert server.login("ada").status_code == 200


def test_a_new_password_counts_and_the_old_one_does_not(server: Server) -> None:
    server.add_user("ada", "trader")
    assert change(server, "ada", password="another-password-1") == 200
    assert server.login("ada").status_code == 401
    assert server.login("ada", "another-password-1").status_code == 200


@pytest.mark.parametrize("what", [{"role": "viewer"}, {"disabled": True}])
def test_the_last_administrator_stays(server: Server, what: dict[str, object]) -> None:
    problem_of(server.ask("PATCH", "/users/admin", what), 409)
    server.add_user("eve", "admin")
    assert server.ask("PATCH", "/users/admin", what).status_code == 200


def test_nobody_is_not_found(server: Server) -> None:
    problem_of(server.ask("PATCH", "/users/nobody", {"disabled": True}), 404)


@pytest.mark.parametrize(
    "body",
    [
        {**NEW, "name": "Ada"}, {**NEW, "name": "a b"}, {**NEW, "name": "a\0"}, {**NEW, "name": ""},
        {**NEW, "name": "a" * 65}, {**NEW, "role": "king"}, {**NEW, "password": "short"},
        {**NEW, "password": "x" * 129}, {**NEW, "password": 12}, {**NEW, "admin": True}, {}, [], None,
    ],
)  # fmt: skip
def test_what_is_no_user_is_refused_without_its_password(server: Server, body: object) -> None:
    answer = server.post("/users", body)
    problem_of(answer, 422)
    assert "short" not in answer.text
    assert "xxxx" not in answer.text


ALLOWED: dict[Role, dict[str, bool]] = {
    "viewer": {"GET /auth/me": True, "GET /auth/log": False, "GET /users": False, "POST /kill": False},
    "auditor": {"GET /auth/me": True, "GET /auth/log": True, "GET /users": False, "POST /kill": False},
    "trader": {"GET /auth/me": True, "GET /auth/log": False, "GET /users": False, "POST /kill": True},
    "admin": {"GET /auth/me": True, "GET /auth/log": True, "GET /users": True, "POST /kill": True},
}


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_may_what_it_may(server: Server, role: Role) -> None:
    server.add_user("ada", role)
    server.act_as("ada")
    for route, allowed in ALLOWED[role].items():
        method, path = route.split()
        assert (server.ask(method, path).status_code != 403) is allowed, route
