"""Limits over HTTP: set, in force at the next order, told; halts, and the second confirmation that ends them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.event_store.database import Database
from tests.api.server import Server, problem_of, serving, tags

LIMIT = {"account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "limit", "quantity": "0.1", "limit": "90"}
MARKET = {"account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "market", "quantity": "1"}


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        served.push(0, "100")
        yield served


def put_limits(server: Server, **limits: Any) -> Any:
    return server.ask("PUT", "/risk/main/limits", {"limits": limits})


def test_limits_are_told_set_and_in_force_at_the_next_order(server: Server) -> None:
    before = server.get("/risk/main").json()
    assert (before["version"], before["set_at"], before["state"], before["bots"]) == (0, None, "ACTIVE", {})
    assert before["limits"]["order_notional_max"] is None
    answer = put_limits(server, currency="USDT", order_notional_max="8.99")
    assert tags(answer) == ["account.risk_limits_set.v1"]
    denied = problem_of(server.post("/orders", LIMIT), 409)
    assert (denied["code"], denied["detail"]) == ("ORDER_NOTIONAL", "notional=9, limit=8.99")
    assert denied["events"][-1]["data"]["settings"] == 1
    position = put_limits(server, currency="USDT", order_notional_max="9").json()["position"]
    assert server.post("/orders", LIMIT).status_code == 201
    after = server.read("/risk/main", position)
    assert (after["version"], after["limits"]["order_notional_max"]) == (2, "9")


def test_the_limits_of_then_are_told_as_of_then(server: Server) -> None:
    first = put_limits(server, open_orders_max=5).json()["position"]
    put_limits(server, open_orders_max=6)
    assert server.get(f"/risk/main?as_of={first}").json()["limits"]["open_orders_max"] == 5


def test_the_schema_names_every_limit(server: Server) -> None:
    schema = server.get("/risk/schema").json()
    assert "daily_loss_max_pct" in schema["$defs"]["RiskLimits"]["properties"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"order_notional_max": "5"}, "limits.order_notional_max is 5; allowed: only with a currency"),
        ({"price_collar_pct": 0.5}, 'limits.price_collar_pct: write the number as text, such as "0.5"'),
        ({"price_collar_pct": "NaN"}, "limits.price_collar_pct is NaN"),
        ({"price_collar_pct": "-1"}, "limits.price_collar_pct is -1"),
        ({"collar": "1"}, "unknown field `collar`"),
        ({"open_orders_max": 0}, "limits.open_orders_max is 0; allowed: 1 to 100000"),
        ({"currency": "US\u0000D"}, "limits.currency: must be printable characters"),
        ({"event_windows": [{"start": 2, "end": 1, "name": "x"}]}, "limits.event_windows[x] is 1"),
        ({"correlations": [[[[[[[1]]]]]]]}, "no deeper than the schema"),
        ({"modes": ["live"] * 1001}, "at most 1000 parts"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(server: Server, limits: dict[str, Any], said: str) -> None:
    assert said in problem_of(server.ask("PUT", "/risk/main/limits", {"limits": limits}), 422)["detail"]


def test_nothing_there_is_not_found(server: Server) -> None:
    server.open_account("second")
    server.create_bot()
    problem_of(server.ask("PUT", "/risk/x/limits", {"limits": {}}), 404)
    problem_of(server.get("/risk/x"), 404)
    problem_of(server.get("/risk/x/halts"), 404)
    problem_of(server.post("/risk/x/halt", {"reason": "r"}), 404)
    problem_of(server.post("/risk/main/halt", {"bot": "x", "reason": "r"}), 404)
    problem_of(server.post("/risk/second/halt", {"bot": "dca", "reason": "r"}), 404)
    problem_of(server.post("/risk/x/resume", {}), 404)
    problem_of(server.post("/risk/x/reference", {"index": "VIX", "price": "1"}), 404)


def test_a_loss_halts_and_is_resumed_by_the_number_that_the_first_answer_tells(server: Server) -> None:
    server.post("/orders", MARKET)
    server.push(1, "100")
    put_limits(server, currency="USDT", daily_loss_max="10")
    server.post("/orders", {**LIMIT, "limit": "50"})
    server.push(2, "89")
    denied = server.post("/orders", LIMIT)
    assert problem_of(denied, 409)["code"] == "TRADING_HALTED"
    told = problem_of(server.post("/risk/main/resume", {}), 409)
    assert (told["code"], told["halt"], told["halt_code"]) == ("HALT_UNCONFIRMED", 1, "DAILY_LOSS")
    assert "loss=11" in told["halt_reason"]
    assert problem_of(server.post("/risk/main/resume", {"halt": 2}), 409)["code"] == "HALT_UNCONFIRMED"
    everything = {"scope": "account", "account": "main", "confirm": True}
    assert problem_of(server.post("/kill/resume", everything), 409)["code"] == "HALT_UNCONFIRMED"
    assert tags(server.post("/risk/main/resume", {"halt": 1})) == ["account.trading_resumed.v1"]
    assert problem_of(server.post("/risk/main/resume", {"halt": 1}), 409)["code"] == "NOT_HALTED"
    assert server.post("/orders", LIMIT).status_code == 201


def test_halts_are_told_with_how_long_they_took(server: Server) -> None:
    server.create_bot()
    server.post("/orders", MARKET)
    server.push(1, "100")
    server.post("/orders", LIMIT)
    server.post("/risk/main/halt", {"bot": "dca", "state": "REDUCING", "reason": "drift"})
    answer = server.post("/risk/main/halt", {"reason": "kill"})
    assert tags(answer)[:2] == ["account.trading_halted.v1", "account.cancel_requested.v1"]
    risk = server.read("/risk/main", answer.json()["position"])
    assert (risk["state"], risk["bots"]) == ("HALTED", {"dca": "REDUCING"})
    kill, drift = server.read("/risk/main/halts", answer.json()["position"])["items"]
    assert (drift["number"], drift["bot"], drift["state"], drift["code"]) == (1, "dca", "REDUCING", "KILL")
    assert (drift["working"], drift["time_to_last_cancel_us"], drift["time_to_flat_us"]) == (0, 0, 0)
    assert (kill["number"], kill["bot"], kill["resumed_at"], kill["reason"]) == (2, None, None, "kill")
    assert (kill["working"], kill["time_to_last_cancel_us"], kill["time_to_flat_us"]) == (0, 0, None)
    server.post("/kill", {"scope": "account", "account": "main", "flatten": True, "reason": "flat"})
    position = server.push(3, "100").json()["position"]
    assert server.read("/risk/main/halts", position)["items"][0]["time_to_flat_us"] > 0
    resumed = server.post("/risk/main/resume", {"halt": 2})
    assert tags(resumed) == ["account.trading_resumed.v1"]
    assert server.read("/risk/main", resumed.json()["position"])["state"] == "ACTIVE"


def test_the_breakers_index_is_told(server: Server) -> None:
    reference = {"index": "INDIAVIX", "price": "14.25"}
    assert problem_of(server.post("/risk/main/reference", reference), 409)["code"] == "INDEX_NOT_WATCHED"
    put_limits(server, breaker={"index": "INDIAVIX", "samples": 2})
    assert tags(server.post("/risk/main/reference", reference)) == ["account.reference_priced.v1"]
    server.post("/risk/main/reference", {**reference, "price": "14.5"})
    answer = server.post("/risk/main/reference", {**reference, "price": "90"})
    assert tags(answer) == ["account.reference_priced.v1", "account.trading_halted.v1"]
    problem_of(server.post("/risk/main/reference", {**reference, "price": "0.123456789"}), 422)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/risk/main/halt", {}),
        ("/risk/main/halt", {"reason": "x", "state": "ACTIVE"}),
        ("/risk/main/resume", {"halt": 0}),
        ("/risk/main/resume", {"halt": "x"}),
        ("/risk/main/reference", {"index": "VIX", "price": "-1"}),
    ],
)
def test_what_is_no_request_is_refused(server: Server, path: str, body: dict[str, object]) -> None:
    problem_of(server.post(path, body), 422)
