"""A webhook's mapping changes while it is in use: the next delivery is read anew, and a replay reads the old ones as then."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run
from infrastructure.worker import Worker
from replay.verify import verify
from tests.api.server import Server, problem_of, serving, tags

OLD = {"id": "$.n", "symbol": "$.s", "action": "$.old"}
NEW = {"id": "$.n", "symbol": "$.s", "action": "$.new.do"}
MAPPING = "/bots/dca/webhook/mapping"


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        set_up(served)
        yield served


def set_up(server: Server) -> None:
    server.open_account()
    server.push(0, "100")
    server.create_bot()
    server.post("/bots/dca/start")


def make(server: Server, **body: object) -> str:
    answer = server.post("/bots/dca/webhook", body or None)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["path"])


def deliver(server: Server, path: str, number: int, **body: Any) -> int:
    """One delivery that both mappings could read, unless told otherwise; its row."""
    content = {"n": number, "s": "BTCUSDT", "old": "buy", "new": {"do": "exit"}, **body}
    answer = server.client.post(path, content=json.dumps(content))
    assert answer.status_code == 200, answer.text
    return int(answer.json()["row"])


def judged(server: Server, count: int) -> list[dict[str, Any]]:
    """The deliveries, oldest first, once there are so many with a verdict."""
    for _ in range(100):
        items: list[dict[str, Any]] = server.get("/deliveries").json()["items"]
        if len(items) == count and all(item["verdict"] != "received" for item in items):
            return items[::-1]
        time.sleep(0.05)
    raise AssertionError(f"{count} verdicts never came: {items}")


def test_a_mapping_is_changed_by_somebody_for_the_next_delivery(server: Server) -> None:
    path = make(server, mapping=OLD)
    deliver(server, path, 1)
    answer = server.ask("PUT", MAPPING, {"mapping": NEW})
    assert answer.status_code == 200, answer.text
    assert tags(answer) == ["signal.source_mapped.v1"]
    assert (answer.json()["events"][0]["actor"], answer.json()["events"][0]["data"]["mapping"]) == ("user:admin", NEW)
    deliver(server, path, 2)
    assert [item["action"] for item in judged(server, 2)] == ["buy", "exit"]
    same = server.ask("PUT", MAPPING, {"mapping": dict(reversed(NEW.items()))})
    assert (same.status_code, same.json()["events"]) == (200, [])


def test_a_mapping_is_read_as_it_stands_and_as_it_stood(server: Server) -> None:
    problem_of(server.get("/bots/dca/webhook"), 404)
    make(server, mapping=OLD, lag_seconds_max=60, follow="position")
    position = server.ask("PUT", MAPPING, {"mapping": {}}).json()["position"]
    now = server.read("/bots/dca/webhook", position)
    assert (now["mapping"], now["lag_seconds_max"], now["follow"], now["bot"]) == ({}, 60, "position", "dca")
    assert now["mapped_at"] >= now["opened_at"]
    then = server.get(f"/bots/dca/webhook?as_of={position - 1}").json()
    assert (then["mapping"], then["mapped_at"]) == (OLD, then["opened_at"])


@pytest.mark.parametrize(
    "body",
    [
        {}, {"mapping": None}, {"mapping": {"action": "$.a"}}, {"mapping": {"symbol": "$.s", "action": "$.a b"}},
        {"mapping": {"symbol": "$.s", "action": "$.a", "x": "$.x"}}, {"mapping": {"symbol": "$.s", "action": 5}},
        {"mapping": NEW, "follow": "action"},
    ],
)  # fmt: skip
def test_a_mapping_that_makes_no_sense_is_refused(server: Server, body: dict[str, Any]) -> None:
    make(server, mapping=OLD)
    problem_of(server.ask("PUT", MAPPING, body), 422)
    assert server.get("/events?tag=signal.source_mapped").json()["items"] == []


def test_who_may_not_or_has_none(server: Server) -> None:
    problem_of(server.ask("PUT", MAPPING, {"mapping": NEW}), 404)
    problem_of(server.ask("PUT", "/bots/other/webhook/mapping", {"mapping": NEW}), 404)
    problem_of(server.get("/bots/other/webhook"), 404)
    make(server)
    server.add_user("vera", "viewer")
    server.act_as("vera")
    problem_of(server.ask("PUT", MAPPING, {"mapping": NEW}), 403)
    assert server.get("/bots/dca/webhook").status_code == 200


def test_a_change_counts_once_under_its_key(server: Server) -> None:
    make(server, mapping=OLD)
    first, second = (server.ask("PUT", MAPPING, {"mapping": NEW}, Idempotency_Key="k") for _ in range(2))
    assert first.json() == second.json()
    assert len(server.get("/events?tag=signal.source_mapped").json()["items"]) == 1


def test_a_rerun_reads_each_delivery_by_the_mapping_of_then(database: Database, home: Path) -> None:
    """Over changes, rows that wait in the inbox together, and a worker that starts again between them."""
    with serving(database, home, worker=False) as server:
        with Worker(database):
            set_up(server)
            path = make(server, mapping=OLD)
            deliver(server, path, 1)
            deliver(server, path, 2, old="exit")
            server.ask("PUT", MAPPING, {"mapping": NEW})
        deliver(server, path, 3)  # nobody takes it yet
        with Worker(database):
            deliver(server, path, 4, new={"do": "buy"})
            server.ask("PUT", MAPPING, {"mapping": {}})
            deliver(server, path, 5)
            server.ask("PUT", MAPPING, {"mapping": OLD})
            deliver(server, path, 6, old="hold")
            seen = [(item["action"], item["verdict"], item["code"]) for item in judged(server, 6)]
    assert seen == [
        ("buy", "accepted", None), ("exit", "accepted", None), ("exit", "refused", "NOTHING_TO_EXIT"),
        ("buy", "accepted", None), (None, "malformed", "FIELD_MISSING"), (None, "malformed", "ACTION_UNKNOWN"),
    ]  # fmt: skip
    verdict = verify(database, home, find_run(database, 1))
    assert (verdict.status, verdict.divergence) == ("same", None)
