"""The pool and the queue over HTTP: read, configured, and changed by hand with a name on it."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.execution_pool import commands as c
from domain.message import Record
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.read_models import update_all
from tests.api.server import Server, problem_of, serving, tags
from tests.domain.test_execution_pool import ETH, SOL, Desk
from tests.spec import BTC

START = Time(1_767_225_600_000_000)
POOL = "/accounts/main/pool"
QUEUE = "/accounts/main/queue"


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        yield served


@pytest.fixture
def recorded(database: Database, home: Path) -> Iterator[Server]:
    """A server on a log in which a pool of one slot has had five signals; nothing writes to it."""
    desk = Desk(expiry=90)
    desk.wants(1)
    desk.opened(1, 7)
    for number, name in enumerate((BTC, ETH, SOL, SOL), 2):
        desk.wants(number, name, price=Decimal("99.50"))
    desk.when(c.ReleaseGroupSlots("main", "dca", 7, "group closed"))
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), START)
    ledger.append(
        [
            Record(1, version, Time(START + version), "core", None, (event,), "execution_pool/main" if version == 1 else None)
            for version, event in enumerate(desk.past, 1)
        ]
    )  # fmt: skip
    ledger.flush()
    update_all(database)
    with serving(database, home, worker=False) as served:
        yield served


def test_an_account_has_a_pool_from_the_start(server: Server) -> None:
    position = server.ask("PUT", POOL + "/settings", {"max_open_groups": 9}).json()["position"]
    pool = server.read(POOL + f"?as_of={position - 1}", 1)
    assert pool["settings"] | {"since": ""} == {
        "version": 1, "max_open_groups": 10, "count_pyramids_toward_pool": False, "queue_expiry_minutes": None,
        "since": "",
    }  # fmt: skip
    assert (pool["reserved"], pool["waiting"], pool["slots"]) == (0, 0, [])
    assert server.get(QUEUE).json()["items"] == []


def test_settings_change_at_run_time_by_somebody(server: Server) -> None:
    answer = server.ask("PUT", POOL + "/settings", {"max_open_groups": 3, "queue_expiry_minutes": 60})
    assert answer.status_code == 200, answer.text
    assert tags(answer) == ["execution_pool.configured.v1"]
    assert answer.json()["events"][0]["actor"] == "user:admin"
    settings = server.read(POOL, answer.json()["position"])["settings"]
    assert (settings["version"], settings["max_open_groups"], settings["queue_expiry_minutes"]) == (2, 3, 60)
    assert settings["count_pyramids_toward_pool"] is False
    same = server.ask("PUT", POOL + "/settings", {"max_open_groups": 3, "queue_expiry_minutes": 60})
    assert (same.status_code, same.json()["events"]) == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        {"max_open_groups": 0}, {"max_open_groups": 1001}, {"queue_expiry_minutes": 0}, {"max_open_groups": None},
        {"slots": 3}, {"queue_expiry_minutes": 525_601},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(server: Server, body: dict[str, Any]) -> None:
    problem_of(server.ask("PUT", POOL + "/settings", body), 422)


def test_a_hand_on_what_does_not_wait_is_a_conflict(server: Server) -> None:
    named = {"bot": "dca", "source": "dca", "number": 1}
    assert problem_of(server.post(QUEUE + "/promote", named), 409)["code"] == "NOT_WAITING"
    assert problem_of(server.post(QUEUE + "/remove", {**named, "reason": "news"}), 409)["code"] == "NOT_WAITING"
    problem_of(server.post(QUEUE + "/remove", named), 422)
    problem_of(server.post(QUEUE + "/promote", {**named, "number": 0}), 422)


def test_no_such_account(server: Server) -> None:
    problem_of(server.get("/accounts/other/pool"), 404)
    problem_of(server.ask("PUT", "/accounts/other/pool/settings", {}), 404)
    problem_of(server.post("/accounts/other/queue/promote", {"bot": "a", "source": "b", "number": 1}), 404)
    assert server.get("/accounts/other/queue").json()["items"] == []


def test_a_viewer_reads_and_changes_nothing(server: Server) -> None:
    server.add_user("vera", "viewer")
    server.act_as("vera")
    assert server.get(QUEUE).status_code == 200
    problem_of(server.ask("PUT", POOL + "/settings", {"max_open_groups": 3}), 403)
    problem_of(server.post(QUEUE + "/promote", {"bot": "a", "source": "b", "number": 1}), 403)
    server.headers = {}
    problem_of(server.get(POOL), 401)


def test_the_pool_says_who_has_a_slot(recorded: Server) -> None:
    pool = recorded.get(POOL).json()
    assert (pool["reserved"], pool["waiting"]) == (1, 2)
    [slot] = pool["slots"]
    assert (slot["number"], slot["instrument"], slot["price"], slot["group"]) == (5, "SOL/USDT", "99.50", None)
    before = recorded.get(POOL + "?as_of=5").json()
    assert [(slot["number"], slot["group"]) for slot in before["slots"]] == [(1, 7)]


def test_the_queue_says_what_became_of_each_signal_and_why(recorded: Server) -> None:
    items = recorded.get(QUEUE).json()["items"]
    assert [(item["number"], item["status"]) for item in items] == [
        (5, "promoted"), (4, "replaced"), (3, "waiting"), (2, "waiting"),
    ]  # fmt: skip
    promoted, replaced, waiting, _ = items
    assert [each["number"] for each in promoted["ranking"]] == [5, 2, 3]
    assert promoted["candidates"] == 3
    assert replaced["replaced_by"] == {"bot": "dca", "source": "tv", "number": 5}
    assert (waiting["ranking"], waiting["replaced_by"], waiting["group"]) == (None, None, None)
    assert waiting["queued_at"] < waiting["expires_at"]
    page = recorded.get(QUEUE + "?status=waiting&limit=1").json()
    assert [item["number"] for item in page["items"]] == [3]
    more = recorded.get(QUEUE + f"?status=waiting&limit=1&cursor={page['next']}").json()
    assert ([item["number"] for item in more["items"]], more["next"]) == ([2], None)
