"""Bots by request: settings by schema, and a life that allows what it allows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.event_store.database import Database
from tests.api.server import SETTINGS, Server, problem_of, serving, tags


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        yield served


def test_a_strategy_says_what_its_settings_are(server: Server) -> None:
    strategy, *_ = server.get("/strategies/available").json()["items"]
    assert (strategy["name"], strategy["acts_on"]) == ("dca_signals", "signals")
    assert {"GroupForm", "LegSettings"} <= set(strategy["settings_schema"]["$defs"])


def test_a_bots_life(server: Server) -> None:
    created = server.create_bot()
    assert created.status_code == 201
    assert tags(created) == ["bot.created.v1"]
    assert problem_of(server.create_bot(), 409)["code"] == "BOT_EXISTS"
    refused = problem_of(server.post("/bots/dca/pause"), 409)
    assert refused["code"] == "STATUS_WRONG"
    assert refused["detail"] == "status=created"
    assert refused["events"][0]["event"] == "bot.command_refused.v1"
    for step, event in [("start", "started"), ("pause", "paused"), ("resume", "resumed"), ("stop", "stopped")]:
        assert tags(server.post(f"/bots/dca/{step}")) == [f"bot.{event}.v1"]
    assert problem_of(server.post("/bots/dca/close"), 409)["code"] == "NOTHING_TO_CLOSE"
    assert tags(server.ask("DELETE", "/bots/dca")) == ["bot.deleted.v1"]
    problem_of(server.post("/bots/dca/start"), 404)
    assert server.create_bot().status_code == 201, "the name is free again"


def test_settings_change_and_the_same_settings_change_nothing(server: Server) -> None:
    server.create_bot()
    changed = server.ask("PUT", "/bots/dca/settings", {"settings": {**SETTINGS, "capital": "500"}})
    assert tags(changed) == ["bot.configured.v1"]
    again = server.ask("PUT", "/bots/dca/settings", {"settings": {**SETTINGS, "capital": "500"}})
    assert again.json()["events"] == []
    assert again.json()["position"] is None


def test_a_bot_sized_by_its_risk_is_read_as_it_was_written_and_its_reading_can_be_written_again(server: Server) -> None:
    size = {"capital": None, "risk_pct_of_equity": "0.75", "stop_loss_pct": "4"}
    changed = server.ask("PUT", "/bots/dca/settings", {"settings": {**SETTINGS, **size}})
    assert changed.status_code == 404, "there is none yet"
    server.create_bot()
    assert tags(server.ask("PUT", "/bots/dca/settings", {"settings": {**SETTINGS, **size}})) == ["bot.configured.v1"]
    read = server.get("/bots/dca").json()["settings"]
    assert {key: read[key] for key in size} == size
    assert (read["capital_pct_of_equity"], read["risk_amount"]) == (None, None)
    assert server.ask("PUT", "/bots/dca/settings", {"settings": read}).json()["events"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"capital": None}, "group.capital is missing; allowed: exactly one of capital, "),
        ({"risk_amount": "1"}, "group.risk_amount is set beside capital"),
        ({"capital": None, "risk_amount": "1"}, "group.stop_loss_pct is missing"),
        ({"capital": "0"}, "group.capital"),
        ({"capital": "NaN"}, "group.capital"),
        ({"capital": "1e999999"}, "group.capital"),
        ({"capital": 0.5}, "settings.capital"),
        ({"capital": "9" * 5000}, "group.capital"),
        ({"capital": [[[[[[]]]]]]}, "$.capital"),
        ({"legs": []}, "group.legs"),
        ({"legs": [{"gap_pct": "0", "weight_pct": "50", "take_profit_pct": "1"}]}, "weight_pct"),
        ({"legs": [{"gap_pct": 0.5}]}, "settings.legs[0].gap_pct"),
        ({"entry": "hope"}, "$.entry"),
        ({"surprise": 1}, "surprise"),
        ({"capital": "\ud800"}, "settings"),
    ],
)
def test_what_are_no_settings_is_refused_by_name(server: Server, change: dict[str, object], named: str) -> None:
    body = {
        "name": "dca", "account": "main", "strategy": "dca_signals", "instrument": "BTC/USDT",
        "settings": {**SETTINGS, **change},
    }  # fmt: skip
    assert named in problem_of(server.post("/bots", body), 422)["detail"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"account": "nobody"}, 404),
        ({"instrument": "ETH/USDT"}, 404),
        ({"strategy": "luck"}, 422),
        ({"name": "../x"}, 422),
    ],
)
def test_what_is_no_bot_is_refused(server: Server, change: dict[str, object], status: int) -> None:
    body = {
        "name": "dca", "account": "main", "strategy": "dca_signals", "instrument": "BTC/USDT", "settings": SETTINGS,
    }  # fmt: skip
    problem_of(server.post("/bots", {**body, **change}), status)


@pytest.mark.parametrize("step", ["start", "pause", "resume", "stop", "close"])
def test_no_bot_is_not_found(server: Server, step: str) -> None:
    problem_of(server.post(f"/bots/nobody/{step}"), 404)
    problem_of(server.ask("DELETE", "/bots/nobody"), 404)


def test_a_repeated_delete_answers_as_the_first_did(server: Server) -> None:
    server.create_bot()
    first = server.ask("DELETE", "/bots/dca", Idempotency_Key="gone")
    assert server.ask("DELETE", "/bots/dca", Idempotency_Key="gone").json() == first.json()
    problem_of(server.ask("DELETE", "/bots/dca"), 404)
