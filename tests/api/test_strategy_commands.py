"""Strategies by request: started, configured, paused, resumed and closed; and what is refused, by name."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.strategy.registry import strategy_named
from infrastructure.event_store.database import Database
from infrastructure.plugins import code_of
from tests.api.server import Server, problem_of, serving, tags
from tests.plugged import package

GRID = {"quantity": "0.1", "spacing_pct": "0.5", "levels_each_side": 2}
CROSS = {"notional": "100", "fast": 1, "slow": 2}


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account("main", kind="margin")
        yield served


def start(server: Server, bot: str = "g", strategy: str = "grid", **changes: Any) -> Any:
    body = {
        "bot": bot, "account": "main", "strategy": strategy, "instrument": "BTC/USDT",
        "parameters": GRID if strategy == "grid" else CROSS, **changes,
    }  # fmt: skip
    return server.post("/strategies", body)


def row_of(server: Server, bot: str, answer: Any) -> Any:
    return server.read(f"/strategies/{bot}", answer.json()["position"])


def test_a_strategys_life(server: Server) -> None:
    server.push(0, "100")
    started = start(server)
    assert (started.status_code, tags(started)) == (201, ["strategy.started.v1"])
    row = row_of(server, "g", started)
    assert (row["status"], row["code"]) == ("running", code_of(strategy_named("grid")))
    assert (row["parameters"]["quantity"], row["parameters"]["levels_each_side"]) == ("0.1", 2)
    laid = server.push(1, "100")
    assert tags(laid)[0] == "strategy.acted.v1"
    assert tags(laid).count("account.order_accepted.v1") == 4
    assert tags(server.post("/strategies/g/pause")) == ["strategy.paused.v1"]
    refused = problem_of(server.post("/strategies/g/pause"), 409)
    assert (refused["code"], refused["detail"]) == ("STATUS_WRONG", "status=paused")
    assert refused["events"][0]["event"] == "strategy.command_refused.v1"
    assert tags(server.post("/strategies/g/resume")) == ["strategy.resumed.v1"]
    server.push(2, "99.4", low="99.4", high="100")
    closed = server.post("/strategies/g/close")
    assert tags(closed)[:2] == ["strategy.paused.v1", "strategy.acted.v1"]
    assert tags(closed).count("account.order_canceled.v1") == 4
    at_market = server.push(3, "99.5")
    row = row_of(server, "g", at_market)
    assert (row["status"], row["position"], row["fills"]) == ("paused", "0", 2)


def test_parameters_are_changed_whole_or_one_by_one(server: Server) -> None:
    start(server, "c", "sma_cross")
    whole = server.ask("PUT", "/strategies/c", {"parameters": {"notional": "200", "slow": 9, "fast": "3"}})
    assert tags(whole) == ["strategy.configured.v1"]
    assert row_of(server, "c", whole)["parameters"] == {"notional": "200", "fast": 3, "slow": 9}
    one = server.ask("PATCH", "/strategies/c", {"parameters": {"notional": "300", "fast": None}})
    problem = problem_of(one, 422)
    assert "parameter fast is 10; allowed: 1 or more, and below slow (9)" in problem["detail"]
    one = server.ask("PATCH", "/strategies/c", {"parameters": {"notional": "300", "slow": None}})
    assert row_of(server, "c", one)["parameters"] == {"notional": "300", "fast": 3, "slow": 30}
    same = server.ask("PATCH", "/strategies/c", {})
    assert row_of(server, "c", same)["parameters"] == {"notional": "300", "fast": 3, "slow": 30}


NO_PARAMETERS: list[tuple[Any, str]] = [
    ({}, "missing required field `quantity`"),
    ({**GRID, "quantity": "0"}, "parameter quantity is 0; allowed: above 0"),
    ({**GRID, "quantity": "0.000001"}, "parameter quantity"),
    ({**GRID, "quantity": "NaN"}, "parameter quantity"),
    ({**GRID, "quantity": "1e999999"}, "parameter"),
    ({**GRID, "quantity": 0.01}, "parameters.quantity: write the number as text"),
    ({**GRID, "levels_each_side": "many"}, "$.levels_each_side"),
    ({**GRID, "surprise": 1}, "surprise"),
    ({**GRID, "spacing": "\ud800"}, "parameters: a value"),
    ({**GRID, "lower": "1"}, "parameter lower"),
]
NO_STRATEGY: list[tuple[Any, int, str]] = [
    ({"strategy": "hope"}, 422, "STRATEGY_UNKNOWN"),
    ({"strategy": "dca_signals"}, 422, "STRATEGY_UNKNOWN"),
    ({"account": "nobody"}, 404, "NOT_FOUND"),
    ({"instrument": "ETH/USDT"}, 404, "NOT_FOUND"),
    ({"bot": "a b"}, 422, "INPUT_INVALID"),
    ({"surprise": 1}, 422, "INPUT_INVALID"),
]


def test_what_are_no_parameters_is_refused_by_name(server: Server) -> None:
    start(server, "there")
    for parameters, named in NO_PARAMETERS:
        for answer in (
            start(server, parameters=parameters),
            server.ask("PUT", "/strategies/there", {"parameters": parameters}),
        ):
            problem = problem_of(answer, 422)
            assert problem["code"] == "PARAMETERS_INVALID"
            assert named in problem["detail"]
    assert row_of(server, "there", server.push(0, "100"))["parameters"]["quantity"] == "0.1"
    assert problem_of(server.get("/strategies/g"), 404)


def test_what_is_no_strategy_is_refused(server: Server) -> None:
    for change, status, code in NO_STRATEGY:
        assert problem_of(start(server, **change), status)["code"] == code


def test_nobody_is_not_found(server: Server) -> None:
    for step in ("pause", "resume", "close"):
        assert problem_of(server.post(f"/strategies/nobody/{step}"), 404)["detail"] == "no strategy runs as nobody"
    assert problem_of(server.ask("PATCH", "/strategies/nobody", {}), 404)


def test_a_name_stands_for_one_bot_or_one_strategy(server: Server) -> None:
    start(server)
    assert problem_of(start(server), 409)["detail"] == "a strategy runs as g already"
    assert problem_of(server.create_bot("g"), 409)["detail"] == "a strategy runs as g already"
    server.create_bot("dca")
    assert problem_of(start(server, "dca"), 409)["code"] == "BOT_EXISTS"
    # What a bot has traded stays its own after its end.
    assert server.ask("DELETE", "/bots/dca").status_code == 200
    assert problem_of(start(server, "dca"), 409)["code"] == "BOT_EXISTS"


def test_a_repeated_request_is_carried_out_once(server: Server) -> None:
    body = {"bot": "g", "account": "main", "strategy": "grid", "instrument": "BTC/USDT", "parameters": GRID}
    first = server.post("/strategies", body, Idempotency_Key="once")
    again = server.post("/strategies", body, Idempotency_Key="once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = server.post("/strategies", {**body, "bot": "h"}, Idempotency_Key="once")
    assert problem_of(other, 422)["code"] == "IDEMPOTENCY_KEY_REUSED"


def test_who_asks_at_the_same_time_starts_one(server: Server) -> None:
    """Both may find the name free: the shard takes one of them, and the other is refused on the log."""
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(start(server))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
    assert {problem_of(each, 409)["code"] for each in answers if each.status_code == 409} <= {
        "BOT_EXISTS",
        "STATUS_WRONG",
    }


def test_code_that_has_changed_is_taken_and_told_of_every_bot_that_it_decides_for(
    server: Server, tmp_path: Path
) -> None:
    """A package that was not there when the server started, and a second version of it."""
    with package(tmp_path) as plugged:
        plugged.install(1000)
        for bot in ("one", "two"):
            assert tags(start(server, bot, "buyer", parameters={})) == ["strategy.started.v1"]
        server.push(0, "100")
        start(server)
        plugged.install(2000)
        new = code_of(strategy_named("buyer"))
        taken = server.ask("PATCH", "/strategies/one", {})
        told = [(each["stream"], each["data"]["code"]) for each in taken.json()["events"]]
        assert told == [("strategy/one", new), ("strategy/two", new)]
        orders = [each["data"] for each in server.push(1, "100").json()["events"] if "order_intended" in each["event"]]
        assert [each["quantity"] for each in orders if each["bot"] in {"one", "two"}] == ["0.02", "0.02"]
        assert server.ask("PATCH", "/strategies/two", {}).json()["events"][0]["data"]["code"] == new
        plugged.path.write_text("def on_candle(:")
        problem = problem_of(server.ask("PATCH", "/strategies/one", {}), 409)
        assert (problem["code"], problem["detail"][:42]) == ("NOT_TAKEN", "strategy buyer cannot be loaded again: Syn")
        assert [
            each["data"]["quantity"]
            for each in server.push(2, "100").json()["events"]
            if "order_intended" in each["event"] and each["data"]["bot"] == "one"
        ] == ["0.02"]


def test_a_viewer_may_look_and_no_more(server: Server) -> None:
    start(server)
    server.add_user("vera", "viewer")
    server.act_as("vera")
    assert server.get("/strategies").status_code == 200
    for answer in (
        start(server, "h"),
        server.post("/strategies/g/pause"),
        server.ask("PATCH", "/strategies/g", {}),
        server.ask("PUT", "/strategies/g", {"parameters": GRID}),
    ):
        assert problem_of(answer, 403)
