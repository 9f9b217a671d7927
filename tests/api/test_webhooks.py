"""Deliveries: taken quickly, told apart, and never with their secret."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from httpx2 import Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from api.limits import Limits
from api.webhooks import WrongSecretError, read_delivery, shape
from domain.signal.commands import DeliverAlert
from domain.signal.decider import DECIDER as SIGNAL
from domain.signal.events import SourceOpened
from infrastructure.event_store.database import Database
from infrastructure.inbox import Inbox
from infrastructure.master_key import MasterKey
from infrastructure.webhook_keys import UNAUTHORIZED_KEPT, WebhookKey, Webhooks
from tests.api.server import Server, problem_of, serving
from tests.conftest import shared_data
from tests.spec import BTC, Story, kinds

ALERT = {"id": "1", "time": "2026-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": "buy"}
SECRET = "tts_canarycanarycanarycanarycanarycanarycanary1"
TOKEN = "ttw_canarycanarycanarycanarycanarycanarycanary2"
KEY = WebhookKey("wh_1", 1, "dca", 3, None, SecretStr(SECRET), SecretBytes(b"seal"))


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        served.create_bot()
        served.post("/bots/dca/start")
        yield served


def make(server: Server, **body: object) -> dict[str, str]:
    answer = server.post("/bots/dca/webhook", body or None)
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def deliver(server: Server, path: str, body: Any, **headers: str) -> Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.client.post(path, content=content, headers={"Content-Type": "text/plain", **named})


def recorded(server: Server, row: int) -> str:
    (kept,) = Inbox(server.database).rows(row - 1, 1)
    assert kept.id == row
    content: Any = kept.content()
    return str(content.body)


def test_an_alert_becomes_a_signal_of_its_webhook(server: Server) -> None:
    made = make(server, lag_seconds_max=60)
    answer = deliver(server, made["path"], {**ALERT, "secret": made["secret"]})
    assert answer.status_code == 200
    body = recorded(server, answer.json()["row"])
    assert made["secret"] not in body
    assert f"key:{made['webhook']}.1 hmac:" in body
    (kept,) = Inbox(server.database).rows(answer.json()["row"] - 1, 1)
    assert kept.actor == f"webhook:{made['webhook']}"
    for _ in range(100):
        found = server.get("/deliveries").json()["items"]
        if found:
            break
        time.sleep(0.05)
    assert (found[0]["source"], found[0]["verdict"]) == (made["webhook"], "stale"), "it is older than a minute"


def settled(server: Server, source: str) -> dict[str, Any]:
    """The newest delivery of a webhook, once it has its verdict."""
    for _ in range(100):
        found = server.get(f"/deliveries?source={source}").json()["items"]
        if found and found[0]["verdict"] != "received":
            delivery: dict[str, Any] = found[0]
            return delivery
        time.sleep(0.05)
    raise AssertionError("no verdict came")


def test_a_webhook_reads_what_its_mapping_says_and_the_log_says_so(server: Server) -> None:
    mapping = {"action": "$.data['strategy-order-action']", "symbol": "$.data.ticker", "id": "$.n"}
    made = make(server, mapping=mapping, follow="action")
    body = {"data": {"strategy-order-action": "buy", "ticker": "BTC/USDT"}, "n": 7, "key": made["secret"]}
    deliver(server, made["path"], body)
    found = settled(server, made["webhook"])
    assert (found["alert_id"], found["action"], found["code"]) == ("7", "buy", "PRICE_UNKNOWN")
    (opened,) = [
        event["data"]
        for event in server.get("/events?limit=100").json()["items"]
        if event["event"] == "signal.source_opened.v1"
    ]
    assert (opened["mapping"], opened["follow"]) == (mapping, "action")


def test_a_webhook_that_follows_positions_says_the_target(server: Server) -> None:
    made = make(server, follow="position")
    info = {"market_position": "short", "market_position_size": "0.5"}
    shape = {"timestamp": "2026-01-01T00:00:00Z", "tv_instrument": "BTCUSDT", "action": "sell", "strategy_info": info}
    deliver(server, made["path"], {**shape, "secret": made["secret"]})
    found = settled(server, made["webhook"])
    assert (found["action"], found["target"]) == ("target", "-0.5")


@pytest.mark.parametrize(
    "body",
    [
        {"mapping": {"action": "$.a"}},
        {"mapping": {"symbol": "$.s", "action": "$.a b"}},
        {"mapping": {"symbol": "$.s", "action": "$.a", "x": "$.x"}},
        {"mapping": {"symbol": "$.s", "action": 5}},
        {"mapping": []},
        {"follow": "both"},
    ],
)
def test_a_mapping_that_makes_no_sense_makes_no_webhook(server: Server, body: dict[str, Any]) -> None:
    problem_of(server.post("/bots/dca/webhook", body), 422)
    make(server)


def test_the_path_under_the_version_works_too(server: Server) -> None:
    assert deliver(server, "/api/v1" + make(server)["path"], ALERT).status_code == 200


def test_a_bot_has_one_webhook_and_its_secret_is_shown_once(server: Server) -> None:
    first = server.post("/bots/dca/webhook", Idempotency_Key="hook")
    assert first.status_code == 201
    assert problem_of(server.post("/bots/dca/webhook"), 409)["code"] == "WEBHOOK_EXISTS"
    again = problem_of(server.post("/bots/dca/webhook", Idempotency_Key="hook"), 409)
    assert again["code"] == "SECRET_SHOWN"
    problem_of(server.post("/bots/nobody/webhook"), 404)


def test_a_rotation_ends_the_old_token_at_once_or_after_its_grace(server: Server) -> None:
    problem_of(server.post("/bots/dca/webhook/rotate"), 404)
    first = make(server)
    assert deliver(server, first["path"], ALERT).status_code == 200
    second = server.post("/bots/dca/webhook/rotate", Idempotency_Key="r").json()
    assert second["webhook"] == first["webhook"]
    assert {first["token"], first["secret"]}.isdisjoint({second["token"], second["secret"]})
    problem_of(deliver(server, first["path"], ALERT), 401)
    assert problem_of(server.post("/bots/dca/webhook/rotate", Idempotency_Key="r"), 409)["code"] == "SECRET_SHOWN"
    third = server.post("/bots/dca/webhook/rotate", {"grace_seconds": 60}).json()
    assert deliver(server, second["path"], {**ALERT, "secret": second["secret"]}).status_code == 200
    assert deliver(server, third["path"], {**ALERT, "secret": third["secret"]}).status_code == 200
    problem_of(deliver(server, third["path"], {**ALERT, "secret": second["secret"]}), 401)


def test_a_grace_ends_and_a_later_rotation_does_not_prolong_it(database: Database, server: Server) -> None:
    now = 1_767_225_600_000_000
    webhooks = Webhooks(database, MasterKey(bytes(32)), lambda: now)
    first = webhooks.create(1, "other", "wh_x")
    webhooks.rotate(1, "other", 10)
    webhooks.rotate(1, "other", 1000)
    now += 9_999_999
    assert webhooks.key_of(first.token) is not None
    now += 1
    assert webhooks.key_of(first.token) is None


def test_a_deleted_bots_webhook_is_unknown(server: Server) -> None:
    made = make(server)
    assert deliver(server, made["path"], ALERT).status_code == 200
    server.post("/bots/dca/stop")
    server.post("/bots/dca/close")
    server.push(0, "100")
    server.push(1, "100")
    deleted = server.ask("DELETE", "/bots/dca")
    assert deleted.status_code == 200, deleted.text
    problem_of(deliver(server, made["path"], ALERT), 401)
    server.create_bot()
    assert make(server)["webhook"] != made["webhook"]


def test_what_nobody_may_deliver_is_kept_without_its_words(server: Server, database: Database) -> None:
    made = make(server)
    before = Inbox(database).rows(0, 100)
    body = {**ALERT, "secret": "canary-wrong-secret"}
    assert problem_of(deliver(server, made["path"], body), 401)["code"] == "SECRET_WRONG"
    unknown = deliver(server, f"/webhooks/tradingview/{TOKEN}", "passphrase=canary-wrong-secret")
    assert problem_of(unknown, 401)["code"] == "TOKEN_UNKNOWN"
    assert TOKEN not in unknown.text
    assert Inbox(database).rows(0, 100) == before
    page = server.get("/webhooks/unauthorized?limit=1").json()
    (latest,) = page["items"]
    assert latest["webhook"] is None
    assert latest["prefix"] == "passphrase=xxxxxx-xxxxx-secret"
    (older,) = server.get(f"/webhooks/unauthorized?before={page['next']}").json()["items"]
    assert older["webhook"] == made["webhook"]
    assert (older["verdict"], latest["verdict"]) == ("unauthorized", "unauthorized")
    assert older["reason"] == "secret in the body is not the secret of this webhook"
    assert "canary" not in json.dumps([latest, older])


def test_the_unauthorized_are_bounded(server: Server, database: Database, superuser_url: str) -> None:
    webhooks = Webhooks(database, MasterKey(bytes(32)))
    with psycopg.connect(superuser_url) as connection:
        connection.execute(
            "INSERT INTO unauthorized_deliveries (at, address, reason, length, prefix)"
            " SELECT n, '', '', 0, '' FROM generate_series(1, 1500) AS n"
        )
    webhooks.note_unauthorized("", None, "last", 0, "")
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute("SELECT count(*), max(reason) FROM unauthorized_deliveries").fetchone()
    assert row == (UNAUTHORIZED_KEPT, "last")


def test_a_webhook_delivers_so_much_a_minute(server: Server) -> None:
    path = make(server)["path"]
    server.app.state.limits.webhook = Limits(3).webhook
    assert [deliver(server, path, "x").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_too_many_unauthorized_are_turned_away(server: Server) -> None:
    answers = [deliver(server, "/webhooks/tradingview/x", "") for _ in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {401}
    problem_of(answers[60], 429)


def test_a_body_is_64_kib_at_most(server: Server) -> None:
    path = make(server)["path"]
    assert deliver(server, path, b"x" * (64 << 10)).status_code == 200
    problem_of(deliver(server, path, b"x" * ((64 << 10) + 1)), 413)
    chunks = (b"x" * 1024 for _ in range(65))
    problem_of(server.client.post(path, content=chunks), 413)


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "", "application/x-www-form-urlencoded", "\x7f"]
)
def test_any_content_type_is_taken(server: Server, content_type: str) -> None:
    path = make(server)["path"]
    assert deliver(server, path, ALERT, Content_Type=content_type).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"\0\0", b"\xff\xfe", b"[" * 60_000, b'{"a":' * 9_000, b"9" * 60_000, b'"\\ud800"']
)
def test_no_body_breaks_it_and_every_one_gets_a_verdict(server: Server, body: bytes) -> None:
    answer = deliver(server, make(server)["path"], body)
    assert answer.status_code == 200
    for _ in range(100):
        found = server.get("/deliveries").json()["items"]
        if found:
            break
        time.sleep(0.05)
    assert found[0]["verdict"] == "malformed"


def test_every_body_that_users_write_is_recorded_or_refused_by_name(server: Server) -> None:
    path = make(server)["path"]
    lines = shared_data("webhooks/tradingview_payloads.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        body = json.loads(line)["body"]
        answer = deliver(server, path, body)
        if answer.status_code != 200:
            assert problem_of(answer, 401)["code"] == "SECRET_WRONG"
            assert json.loads(body).keys() & {"secret", "token", "apikey", "key"}


def test_a_signed_delivery_counts_once_and_only_if_it_is_right(server: Server) -> None:
    made = make(server)
    body = json.dumps(ALERT)

    def sign(at: int, secret: str = made["secret"]) -> str:
        return f"t={at},v1={hmac.new(secret.encode(), f'{at}.{body}'.encode(), hashlib.sha256).hexdigest()}"

    now = int(time.time())
    first = deliver(server, made["path"], body, X_Truetape_Signature=sign(now))
    again = deliver(server, made["path"], body, X_Truetape_Signature=sign(now))
    assert first.json() == again.json()
    for wrong in (sign(now, "other"), sign(now - 301), sign(now + 400), "v1=nonsense", ""):
        problem_of(deliver(server, made["path"], body, X_Truetape_Signature=wrong), 401)


def test_secrets_are_nowhere(server: Server, superuser_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx2")  # the sender's own log
    made = make(server)
    secret, token = made["secret"], made["token"]
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in secret)
    for body in (
        {**ALERT, "secret": secret}, {**ALERT, "note": f"it is {secret}!"}, {**ALERT, "deep": [{"token": token}]},
        f'{{"secret": "{escaped}"}}', f"buy secret={secret}", f"buy {token}", {**ALERT, "secret": secret + "x"},
    ):  # fmt: skip
        deliver(server, made["path"], body)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "POST", made["path"], "1.1", 200)
    with psycopg.connect(superuser_url) as connection:
        tables = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        kept = "".join(
            row[0] for table in tables for row in connection.execute(f'SELECT "{table}"::text FROM "{table}"'.encode())
        )
    assert made["webhook"] in kept
    everything = kept + caplog.text
    for canary in (secret, token):
        assert canary not in everything
        assert canary.encode().hex() not in everything, "nor in what is kept as bytes"


NESTED = {"a": [{"Secret": "exchange-key-1"}, {"passphrase": 'p"q'}]}


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        (f'{{"secret": "{SECRET}"}}', SECRET),
        (f'{{"SECRET" : "{SECRET}", "a": 1.10}}', SECRET),
        (f'{{"secret": "wrong", "secret": "{SECRET}"}}', "wrong"),
        (json.dumps(NESTED), "exchange-key-1"),
        (json.dumps(NESTED), 'p\\"q'),
        ('{"x": "\\u0074ts_canarycanarycanarycanarycanarycanarycanary1"}', "canary"),
        ('{"token": "YOUR_SECRET", "price": {{close}}}', "YOUR_SECRET"),
        ("secret=hunter2&symbol=BTC", "hunter2"),
        ("API_KEY: hunter2, buy", "hunter2"),
        (f"buy {TOKEN}", TOKEN),
        ("buy tts_somebodyelsessecret123456789", "somebodyelse"),
    ],
)
def test_what_may_be_a_secret_is_redacted(body: str, gone: str) -> None:
    redacted = read_delivery(KEY, TOKEN, body.encode(), None).body
    assert gone not in redacted
    assert f"key:wh_1.3 hmac:{hmac.new(b'seal', body.encode(), hashlib.sha256).hexdigest()}" in redacted
    if body.startswith('{"') and "{{" not in body:
        json.loads(redacted)


def test_what_is_no_secret_stays_byte_for_byte() -> None:
    body = '{"id": "a\\n\\u00e9", "price": 1.10, "keyboard": "x", "n": 1e400}\r\n'
    assert read_delivery(KEY, TOKEN, body.encode(), None).body == body


@pytest.mark.parametrize("name", ["secret", "Token", "APIKEY", "key", "passphrase", "api_key"])
@pytest.mark.parametrize("value", ["wrong", "", 5, True, [], {}, SECRET[:-1], SECRET + "x"])
def test_a_wrong_claim_is_refused_without_saying_it(name: str, value: object) -> None:
    with pytest.raises(WrongSecretError) as caught:
        read_delivery(KEY, TOKEN, json.dumps({name: value}).encode(), None)
    assert SECRET[:-1] not in str(caught.value)
    assert "wrong" not in str(caught.value)


PARTS = st.lists(
    st.one_of(
        st.just(SECRET), st.just(TOKEN), st.text(max_size=8), st.sampled_from(['"', "\\", "{", "secret", ":", "=", "\\u0074"])
    ),
    max_size=12,
)  # fmt: skip


@given(PARTS)
def test_no_text_carries_a_secret_through(parts: list[str]) -> None:
    body = "".join(parts).encode(errors="replace")
    try:
        redacted = read_delivery(KEY, TOKEN, body, None).body
    except WrongSecretError:
        return
    assert SECRET not in redacted
    assert TOKEN not in redacted
    assert "\0" not in redacted


@given(st.binary(max_size=60) | PARTS.map(lambda parts: "".join(parts).encode(errors="replace")), st.booleans())
def test_any_bytes_are_unauthorized_or_get_a_verdict(body: bytes, mapped: bool) -> None:
    story = Story(
        SIGNAL, [SourceOpened("wh_1", "dca", BTC, None, {"symbol": "BTCUSDT", "action": "$.a"} if mapped else {})]
    )
    try:
        text = read_delivery(KEY, TOKEN, body, None).body
    except WrongSecretError:
        return
    happened = story.when(DeliverAlert("wh_1", text), at=5)
    assert kinds(happened)[0] == "AlertReceived"
    assert len(msgspec.msgpack.encode(happened)) > 0


@given(
    st.recursive(
        st.text(max_size=5) | st.just(SECRET), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_json_carries_a_secret_through(content: object) -> None:
    for ascii_only in (True, False):
        body = json.dumps(content, ensure_ascii=ascii_only).encode(errors="replace")
        try:
            redacted = read_delivery(KEY, TOKEN, body, None).body
        except WrongSecretError:
            continue
        assert SECRET not in redacted
        assert SECRET not in repr(json.loads(redacted))


@given(st.binary(max_size=400))
def test_a_shape_shows_no_words(body: bytes) -> None:
    shown = shape(body + b' {"secret": "hunter2"}')
    assert "hunter" not in shown
    assert len(shown) <= 80
    assert shown.isprintable()


def test_a_key_says_nothing_in_its_repr() -> None:
    assert SECRET not in repr(KEY)
    assert "seal'" not in repr(KEY)
    encoded = base64.b64encode(SECRET.encode()).decode()
    assert encoded not in repr(KEY)
