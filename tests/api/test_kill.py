"""Kill: what it stops, what it closes, and that only its own resume ends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.standing import Standing
from domain.account.commands import PlaceOrder
from domain.account.events import OrderType
from domain.message import Command
from domain.strategy.commands import ResumeStrategy, StartStrategy
from domain.values import InstrumentId, Price, Quantity, Side
from infrastructure.event_store.database import Database
from infrastructure.inbox import Entry, Inbox
from tests.api.server import Server, problem_of, serving, tags

LIMIT = {"account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "limit", "quantity": "0.1", "limit": "90"}
MARKET = {"account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "market", "quantity": "0.1"}


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        served.push(0, "100")
        yield served


def kill(server: Server, **body: object) -> list[str]:
    answer = server.post("/kill", {"reason": "test", **body})
    assert answer.status_code == 200, answer.text
    return tags(answer)


def test_a_halted_account_cancels_and_denies_until_resumed(server: Server) -> None:
    server.post("/orders", LIMIT)
    assert kill(server, scope="account", account="main")[:3] == [
        "account.trading_halted.v1", "account.cancel_requested.v1", "account.order_canceled.v1",
    ]  # fmt: skip
    assert problem_of(server.post("/orders", LIMIT), 409)["code"] == "TRADING_HALTED"
    resumed = server.post("/kill/resume", {"scope": "account", "account": "main", "confirm": True})
    assert tags(resumed) == ["account.trading_resumed.v1"]
    assert server.post("/orders", LIMIT).status_code == 201


def test_everything_is_every_account(server: Server) -> None:
    server.open_account("second")
    events = server.post("/kill", {"scope": "everything", "reason": "test"}).json()["events"]
    assert {event["data"]["account"] for event in events} == {"main", "second"}
    server.post("/kill/resume", {"scope": "everything", "confirm": True})
    assert server.post("/orders", LIMIT).status_code == 201


def test_everything_may_be_nothing(database: Database, home: Path) -> None:
    with serving(database, home) as server:
        answer = server.post("/kill", {"scope": "everything", "reason": "test", "flatten": True})
    assert answer.json() == {"row": 0, "position": None, "events": [], "more": False}


def test_flatten_sells_what_belongs_to_no_bot(server: Server) -> None:
    server.post("/orders", MARKET)
    server.push(1, "100")
    events = kill(server, scope="account", account="main", flatten=True)
    assert "account.risk_passed.v1" in events
    position = server.read("/positions", server.push(2, "100").json()["position"])["items"][0]
    assert position["quantity"] == "0"


def test_flatten_closes_a_bots_group_and_leaves_the_rest(server: Server) -> None:
    server.create_bot()
    server.post("/bots/dca/start")
    made = server.post("/bots/dca/webhook").json()
    alert = {"id": "1", "time": "2026-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": "buy"}
    assert server.client.post(made["path"], json=alert).status_code == 200
    server.post("/orders", MARKET)
    server.push(1, "100")
    assert "bot.close_taken.v1" in kill(server, scope="bot", bot="dca", flatten=True)
    position = server.read("/positions", server.push(2, "100").json()["position"])["items"][0]
    assert position["quantity"] == "0.1", "what was bought by hand stays"
    assert server.post("/orders", LIMIT).status_code == 201, "the account goes on"
    resumed = server.post("/kill/resume", {"scope": "bot", "bot": "dca", "confirm": True})
    assert tags(resumed) == ["account.trading_resumed.v1"]


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "bot", "reason": "x"},
        {"scope": "account", "bot": "dca", "reason": "x"},
        {"scope": "everything", "account": "main", "reason": "x"},
        {"scope": "account", "account": "main"},
        {"scope": "account", "account": "main", "reason": "a\0b"},
        {"scope": "account", "account": "main", "reason": ""},
        {"scope": "all", "reason": "x"},
    ],
)
def test_what_is_no_kill_is_refused(server: Server, body: dict[str, object]) -> None:
    problem_of(server.post("/kill", body), 422)


def test_a_resume_says_that_it_is_meant(server: Server) -> None:
    problem_of(server.post("/kill/resume", {"scope": "everything"}), 422)
    problem_of(server.post("/kill/resume", {"scope": "everything", "confirm": False}), 422)


@pytest.mark.parametrize("scope", [{"scope": "account", "account": "x"}, {"scope": "bot", "bot": "x"}])
def test_nothing_there_is_not_found(server: Server, scope: dict[str, str]) -> None:
    problem_of(server.post("/kill", {**scope, "reason": "x"}), 404)


def strategy_order(side: Side, kind: OrderType, limit: int | None = None) -> PlaceOrder:
    """0.1 BTC for the strategy."""
    return PlaceOrder(
        "main", "s", 0, 0, "strategy", InstrumentId("BTC/USDT"), side, kind, Quantity(10_000),
        None if limit is None else Price(limit), None, Price(10_000), reduce_only=False,
    )  # fmt: skip


def put(server: Server, *commands: Command) -> None:
    """Straight into the inbox, as whatever may come to run strategies there will do it."""
    Inbox(server.database).put([Entry("user:admin", command) for command in commands])


@pytest.mark.parametrize("scope", [{"scope": "bot", "bot": "s"}, {"scope": "account", "account": "main"}])
def test_flatten_closes_a_strategy_and_resume_does_not_wake_it(server: Server, scope: dict[str, str]) -> None:
    # It waits for 20 candles, and meanwhile has what is put in its name.
    cross = '{"notional":"100","fast":5,"slow":20}'
    start = StartStrategy("s", "main", "sma_cross", "", Standing(server.database).listing("BTC/USDT"), cross)
    put(server, start, strategy_order("buy", "market"))
    server.push(1, "100")
    put(server, strategy_order("sell", "limit", 11_000))
    events = kill(server, **scope, flatten=True)
    assert events[:2] == ["account.trading_halted.v1", "account.cancel_requested.v1"]
    assert [each for each in events if each.startswith("strategy")] == [
        "strategy.paused.v1",
        *["strategy.acted.v1"] * 2,
    ]
    assert "account.order_denied.v1" not in events
    (row,) = server.read("/strategies", server.push(2, "100").json()["position"])["items"]
    assert (row["status"], row["position"], row["fills"]) == ("paused", "0", 2)
    resumed = server.post("/kill/resume", {**scope, "confirm": True})
    assert tags(resumed) == ["account.trading_resumed.v1"]
    assert server.read("/strategies", resumed.json()["position"])["items"][0]["status"] == "paused"
    put(server, ResumeStrategy("s"))
    server.push(3, "100")  # rows are taken in order
    assert server.read("/strategies", resumed.json()["position"] + 1)["items"][0]["status"] == "running"
