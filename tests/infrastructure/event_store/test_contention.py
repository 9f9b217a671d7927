"""Several processes on the same streams: nothing lost, nothing missed; and what counts that finds a loss."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from msgspec import structs

from infrastructure.embedded_postgres import OWNER
from infrastructure.event_store.database import Database
from tests.conftest import TestServer
from tests.infrastructure.event_store.contention import (
    Plan,
    contend,
    library_recorder,
    positions_of,
    processes,
    reading_faults,
    tailing,
)
from tests.infrastructure.event_store.rows import begin

PLAN = Plan("ours", "", 0, processes=2, threads=4, appends=25, readers=4, seed=1)


@pytest.fixture
def empty(test_server: TestServer) -> Iterator[str]:
    """An empty database, as its owner."""
    name = test_server.create("template0")
    yield test_server.url(name, OWNER)
    test_server.drop(name)


def test_processes_that_contend_lose_nothing_and_readers_miss_nothing(database: Database) -> None:
    plan = structs.replace(PLAN, url=database.url, run=begin(database).run)
    with processes(plan.processes) as pool:
        counted = contend(plan, pool)
    assert counted.found == []
    assert counted.missed == 0
    assert counted.conflicts
    assert counted.records > plan.processes * plan.threads * plan.appends


def test_a_loss_of_the_librarys_functions_is_counted(empty: str) -> None:
    """Without its lock, numbers are given before the commits that they belong to, and readers pass the late ones over."""
    recorder = library_recorder(empty, 3)
    recorder.create_table()
    insert = "SELECT es_insert_events_text(ARRAY[ROW('1', 1, 'late', '')]::stored_event_text[])"
    try:
        with tailing(recorder, 1) as readers:
            with psycopg.connect(empty) as slow:
                slow.execute(insert.encode())
                recorder.insert_events([StoredEvent("2", 1, "early", b"")])
                readers[0].wait_for(2)
            recorder.insert_events([StoredEvent("3", 1, "last", b"")])
            readers[0].read_to(3)
    finally:
        recorder.datastore.close()
    assert readers[0].seen == [2, 3]
    assert list(reading_faults(readers)) == []
    plan = structs.replace(PLAN, kind="the library", url=empty)
    assert sorted(positions_of(plan)) == [("early", 2), ("last", 3), ("late", 1)]
