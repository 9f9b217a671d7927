"""The risk offset over HTTP: read, configured, and run, skipped and kept off by hand with a name on it."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.account.events import AccountOpened, InstrumentListed
from domain.message import Event, Record
from domain.portfolio_risk import commands as c
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.read_models import update_all
from tests.api.server import Server, problem_of, serving, tags
from tests.domain.portfolio_risk.desk import START, Desk, listed

OFFSET = "/accounts/main/offset"


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        yield served


@pytest.fixture
def recorded(database: Database, home: Path) -> Iterator[Server]:
    """A server on a log with one offset that is over and one under way; nothing writes to it."""
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.looks()
    desk.opens("WIN", 5000, 10000, 11000)
    desk.waits()
    desk.fills("WIN", 1000, 11000)
    desk.fills("LOSS", 1000, 8990)
    desk.closes("LOSS")
    desk.opens("NEXT", 1000, 10000, 9000)
    desk.when(c.BlockGroup("main", "WIN", 1))
    desk.waits()
    desk.when(c.UnblockGroup("main", "WIN", 1))
    desk.looks()
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(START))
    names = [
        InstrumentListed("main", listed(name), Decimal(0), Decimal(0), Decimal(0)) for name in ("LOSS", "WIN", "NEXT")
    ]
    ledger.append([record(1, 1, "account/main", AccountOpened("main", "margin"), *names)])
    ledger.append(
        [record(2, version, "portfolio_risk/main" if version == 1 else None, event) for version, event in enumerate(desk.past, 1)]
    )  # fmt: skip
    ledger.flush()
    update_all(database)
    with serving(database, home, worker=False) as served:
        yield served


def read(server: Server, position: int) -> Any:
    """The offset, once it is there and true at a position."""
    for _ in range(100):
        answer = server.get(OFFSET)
        if answer.status_code == 200 and answer.json()["as_of"]["position"] >= position:
            return answer.json()
        time.sleep(0.05)
    raise AssertionError(f"{OFFSET} never reached {position}: {answer.text}")


def record(stream: int, version: int, key: str | None, *events: Event) -> Record[Event]:
    return Record(stream, version, Time(START + version), "core", None, events, key)


def test_an_offset_is_configured_by_somebody(server: Server) -> None:
    problem_of(server.get(OFFSET), 404)
    answer = server.ask("PUT", OFFSET + "/settings", {"loss_threshold_pct": "-7.5", "minimum_age_minutes": 90})
    assert answer.status_code == 200, answer.text
    assert tags(answer) == ["portfolio_risk.configured.v1"]
    assert answer.json()["events"][0]["actor"] == "user:admin"
    said = read(server, answer.json()["position"])
    assert said["settings"] | {"since": ""} == {
        "version": 1, "enabled": True, "loss_threshold_pct": "-7.5", "require_full_pyramids": True,
        "post_full_wait_minutes": 60, "timer_start": "last_pyramid", "reset_on_replacement": False,
        "minimum_age_minutes": 90, "evaluate_seconds": 60, "cost_margin_pct": "0.2", "since": "",
    }  # fmt: skip
    assert (said["skip"], said["under_way"], said["latest"], said["groups"]) == (False, None, None, [])
    same = server.ask("PUT", OFFSET + "/settings", {"loss_threshold_pct": "-7.5", "minimum_age_minutes": 90})
    assert (same.status_code, same.json()["events"]) == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        {"loss_threshold_pct": "5"}, {"loss_threshold_pct": "-100"}, {"loss_threshold_pct": -5}, {"cost_margin_pct": "-1"},
        {"evaluate_seconds": 0}, {"evaluate_seconds": 86_401}, {"post_full_wait_minutes": -1}, {"minimum_age_minutes": 0},
        {"timer_start": "now"}, {"winners": 3},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(server: Server, body: dict[str, Any]) -> None:
    problem_of(server.ask("PUT", OFFSET + "/settings", body), 422)


@pytest.mark.parametrize("body", [{"loss_threshold_pct": "-0"}, {"cost_margin_pct": "100"}])
def test_what_only_the_core_finds_wrong_is_a_conflict(server: Server, body: dict[str, Any]) -> None:
    assert problem_of(server.ask("PUT", OFFSET + "/settings", body), 409)["code"] == "SETTINGS_INVALID"


def test_run_now_says_what_came_of_it(server: Server) -> None:
    assert problem_of(server.post(OFFSET + "/run"), 409)["code"] == "NOT_CONFIGURED"
    server.ask("PUT", OFFSET + "/settings", {})
    for _ in range(2):
        answer = server.post(OFFSET + "/run")
        assert tags(answer) == ["portfolio_risk.evaluated.v1"]
        assert answer.json()["events"][0]["actor"] == "user:admin"
    latest = read(server, answer.json()["position"])["latest"]
    assert (latest["number"], latest["outcome"], latest["needed"], latest["losers"]) == (2, "no_loser", "0", [])


def test_skip_once(server: Server) -> None:
    assert problem_of(server.post(OFFSET + "/skip"), 409)["code"] == "NOT_CONFIGURED"
    server.ask("PUT", OFFSET + "/settings", {})
    answer = server.post(OFFSET + "/skip")
    assert tags(answer) == ["portfolio_risk.skip_requested.v1"]
    assert read(server, answer.json()["position"])["skip"] is True
    assert tags(server.post(OFFSET + "/skip")) == []


def test_a_group_is_kept_out_and_let_in(server: Server) -> None:
    group = {"bot": "dca", "group": 1}
    assert problem_of(server.post(OFFSET + "/block", group), 409)["code"] == "GROUP_UNKNOWN"
    server.ask("PUT", OFFSET + "/settings", {})
    server.create_bot()
    server.post("/bots/dca/start")
    server.push(0, "100")
    made = server.post("/bots/dca/webhook").json()
    alert = {"id": "1", "time": "2026-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": "buy", "secret": made["secret"]}
    assert server.client.post(made["path"], json=alert).status_code == 200
    server.push(1, "100")  # the worker has taken the alert when it has taken this
    answer = server.post(OFFSET + "/block", group)
    assert tags(answer) == ["portfolio_risk.group_blocked.v1"], answer.text
    (watched,) = read(server, answer.json()["position"])["groups"]
    assert (watched["bot"], watched["group"], watched["blocked"]) == ("dca", 1, True)
    assert tags(server.post(OFFSET + "/unblock", group)) == ["portfolio_risk.group_unblocked.v1"]
    problem_of(server.post(OFFSET + "/block", {"bot": "dca", "group": 0}), 422)
    problem_of(server.post(OFFSET + "/block", {"bot": "dca"}), 422)


def test_no_such_account(server: Server) -> None:
    other = "/accounts/other/offset"
    problem_of(server.get(other), 404)
    problem_of(server.ask("PUT", other + "/settings", {}), 404)
    for path in ("/run", "/skip"):
        problem_of(server.post(other + path), 404)
    for path in ("/block", "/unblock"):
        problem_of(server.post(other + path, {"bot": "dca", "group": 1}), 404)
    assert server.get(other + "/evaluations").json()["items"] == []


def test_a_viewer_reads_and_changes_nothing(server: Server) -> None:
    server.add_user("vera", "viewer")
    server.act_as("vera")
    assert server.get(OFFSET + "/offsets").status_code == 200
    problem_of(server.ask("PUT", OFFSET + "/settings", {}), 403)
    for path in ("/run", "/skip"):
        problem_of(server.post(OFFSET + path), 403)
    server.headers = {}
    problem_of(server.get(OFFSET), 401)


def test_the_offset_under_way_and_the_groups_it_watches(recorded: Server) -> None:
    said = recorded.get(OFFSET).json()
    assert (said["under_way"]["number"], said["under_way"]["bot"], said["under_way"]["status"]) == (2, "NEXT", "paying")
    assert [part["bot"] for part in said["under_way"]["parts"]] == ["WIN"]
    watched = {group["bot"]: group for group in said["groups"]}
    assert set(watched) == {"WIN", "NEXT"}
    assert watched["WIN"]["timer_from"] == "2026-01-01T00:00:00Z"
    assert watched["WIN"]["ready_at"] == "2026-01-01T01:00:00Z"
    assert watched["WIN"]["blocked"] is False


def test_what_became_of_offsets(recorded: Server) -> None:
    second, first = recorded.get(OFFSET + "/offsets").json()["items"]
    assert second["ended_at"] is None
    assert (first["status"], first["needed"], first["paid"], first["lost"]) == ("completed", "10", "10", "-10.1")
    assert first["result"] == "-0.1"
    (loser,) = first["losers"]
    assert (loser["held"], loser["mark"], loser["loss"], loser["loss_pct"]) == ("1", "90", "10", "-10.0000")
    assert loser["timer_from"] == "2026-01-01T00:00:00Z"
    (part,) = first["parts"]
    assert (part["quantity"], part["pays"], part["profit"]) == ("1", "10", "50")
    only = recorded.get(OFFSET + "/offsets?status=completed").json()["items"]
    assert [item["number"] for item in only] == [1]


def test_why_nothing_happened(recorded: Server) -> None:
    items = recorded.get(OFFSET + "/evaluations").json()["items"]
    assert [(item["number"], item["outcome"]) for item in items] == [(2, "not_enough_profit"), (1, "no_loser")]
    assert (items[0]["needed"], items[0]["available"], items[0]["winners"]) == ("10", "0", [])
    assert items[1]["losers"][0]["verdict"] == "waiting"
    page = recorded.get(OFFSET + "/evaluations?limit=1").json()
    more = recorded.get(OFFSET + f"/evaluations?limit=1&cursor={page['next']}").json()
    assert ([item["number"] for item in more["items"]], more["next"]) == ([1], None)
