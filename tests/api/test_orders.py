"""Orders by hand, and the simulated market that fills them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.event_store.database import Database
from tests.api.server import Server, problem_of, serving, tags

LIMIT = {
    "account": "main",
    "instrument": "BTC/USDT",
    "side": "buy",
    "type": "limit",
    "quantity": "0.01",
    "limit": "100",
}
MARKET = {"account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "market", "quantity": "0.1"}
CANDLE = {"open_time": "2026-01-01T00:00:00Z", "open": "100", "high": "110", "low": "90", "close": "105"}


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        yield served


def test_a_limit_rests_and_is_cancelled(server: Server) -> None:
    placed = server.post("/orders", {**LIMIT, "quantity": "0.5"})
    assert placed.status_code == 201
    assert tags(placed) == ["account.order_intended.v1", "account.risk_passed.v1", "account.order_accepted.v1"]
    intended = placed.json()["events"][0]["data"]
    assert (intended["bot"], intended["role"], intended["limit"], intended["quantity"]) == ("", "manual", "100", "0.5")
    cancelled = server.ask("DELETE", "/orders/main/1")
    assert tags(cancelled) == ["account.cancel_requested.v1", "account.order_canceled.v1"]
    assert cancelled.json()["events"][0]["data"]["reason"] == "by user:admin"
    assert problem_of(server.ask("DELETE", "/orders/main/1"), 409)["code"] == "ORDER_NOT_WORKING"
    problem_of(server.ask("DELETE", "/orders/main/2"), 404)
    problem_of(server.ask("DELETE", "/orders/nobody/1"), 404)


def test_a_market_order_needs_a_price_and_fills_at_the_next_candle(server: Server) -> None:
    assert problem_of(server.post("/orders", MARKET), 409)["code"] == "PRICE_UNKNOWN"
    assert server.push(0, "100").status_code == 200
    placed = server.post("/orders", MARKET)
    assert placed.json()["events"][0]["data"]["reference"] == "100"
    filled = server.push(1, "101")
    (fill,) = [event["data"] for event in filled.json()["events"] if event["event"] == "account.order_filled.v1"]
    assert (fill["price"], fill["quantity"]) == ("101", "0.1")


def test_a_denial_is_a_conflict_with_its_numbers(server: Server) -> None:
    denied = problem_of(server.post("/orders", {**LIMIT, "quantity": "1000"}), 409)
    assert denied["code"] == "BALANCE_INSUFFICIENT"
    assert "free=10000" in denied["detail"]
    assert [event["event"] for event in denied["events"]] == ["account.order_intended.v1", "account.order_denied.v1"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"quantity": "0"}, "quantity must be above 0"),
        ({"quantity": "0.000001"}, "quantity"),
        ({"limit": "100.001"}, "limit"),
        ({"limit": None}, "a limit order has limit"),
        ({"stop": "1"}, "a limit order has limit"),
        ({"type": "market"}, "neither limit nor stop"),
        ({"type": "stop"}, "a stop order has stop"),
        ({"quantity": "99999999999999999999"}, "64 bits"),
        ({"side": "hold"}, "side"),
        ({"quantity": 1}, "quantity"),
    ],
)
def test_what_is_no_order_is_refused_by_name(server: Server, change: dict[str, object], named: str) -> None:
    assert named in problem_of(server.post("/orders", {**LIMIT, **change}), 422)["detail"]


@pytest.mark.parametrize("change", [{"account": "nobody"}, {"instrument": "ETH/USDT"}])
def test_what_is_not_there_cannot_be_traded(server: Server, change: dict[str, str]) -> None:
    problem_of(server.post("/orders", {**LIMIT, **change}), 404)


def test_a_trade_fills_what_it_meets(server: Server) -> None:
    server.push(0, "105")
    server.post("/orders", {**LIMIT, "quantity": "0.5"})
    trade = {"at": "2026-01-01T00:01:00Z", "price": "99", "quantity": "0.2"}
    answer = server.post("/market/sim/BTC-USDT/trades", [trade])
    (fill,) = [event["data"] for event in answer.json()["events"] if event["event"] == "account.order_filled.v1"]
    assert fill["quantity"] in {"0.2", "0.5"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"open": "100.001"}, "[0].open"),
        ({"high": "99"}, "[0]"),
        ({"low": "101"}, "[0]"),
        ({"low": "0"}, "[0]"),
        ({"volume": "0.000001"}, "[0].volume"),
        ({"open_time": "2026-01-01T00:00:00"}, "UTC"),
        ({"open_time": "9999-01-01T00:00:00Z"}, "between"),
        ({"open_time": "0001-01-01T00:00:00+23:59"}, "between"),
        ({"close": "NaN"}, "close"),
    ],
)
def test_what_is_no_candle_is_refused_by_name(server: Server, change: dict[str, str], named: str) -> None:
    answer = server.post("/market/sim/BTC-USDT/candles", [{**CANDLE, **change}])
    assert named in problem_of(answer, 422)["detail"]


def test_a_market_does_not_go_back(server: Server) -> None:
    assert server.push(1, "100").status_code == 200
    assert problem_of(server.push(1, "100"), 409)["code"] == "OUT_OF_ORDER"
    twice = server.post("/market/sim/BTC-USDT/candles", [CANDLE, CANDLE])
    assert problem_of(twice, 422)["code"] == "OUT_OF_ORDER"
    problem_of(server.post("/market/sim/DOGE-USDT/candles", [CANDLE]), 404)
    problem_of(server.post("/market/sim/BTC-USDT/candles", []), 422)


def test_a_repeated_push_is_no_second_candle(server: Server) -> None:
    first = server.post("/market/sim/BTC-USDT/candles", [CANDLE], Idempotency_Key="c1")
    assert server.post("/market/sim/BTC-USDT/candles", [CANDLE], Idempotency_Key="c1").json() == first.json()


def test_a_reached_stop_is_said_and_since_when(server: Server) -> None:
    assert server.push(0, "100").status_code == 200
    placed = server.post("/orders", {**LIMIT, "type": "stop_limit", "quantity": "0.1", "stop": "102", "limit": "101"})
    assert placed.status_code == 201, placed.text
    resting = server.read("/orders/main/1", placed.json()["position"])
    assert (resting["status"], resting["triggered_at"]) == ("ACCEPTED", None)
    pushed = server.push(1, "103")
    (reached,) = [each for each in pushed.json()["events"] if each["event"] == "account.order_triggered.v1"]
    listed = server.read("/orders?status=TRIGGERED", reached["position"])["items"]
    for view in (server.get("/orders/main/1").json(), *listed):
        assert (view["status"], view["triggered_at"]) == ("TRIGGERED", reached["at"])
    assert len(listed) == 1
