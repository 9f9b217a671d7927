"""When the connection is lost during an append, what was written is looked up, not guessed."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import ConflictError, InDoubtError, StoreError
from domain.signal.commands import OpenSource
from domain.values import InstrumentId
from infrastructure.embedded_postgres import WRITER
from infrastructure.event_store.append_statement import LOCK
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.ledger import PostgresLedger
from infrastructure.event_store.mapper import RecordMapper
from infrastructure.event_store.runs import records_of
from infrastructure.inbox import Entry, Inbox
from tests.conftest import TestServer
from tests.infrastructure.event_store.proxy import COMMIT, Fault, SlammingDoor
from tests.infrastructure.event_store.rows import begin, record


@pytest.fixture
def door(test_server: TestServer) -> Iterator[SlammingDoor]:
    folder = Path(test_server.server.folder)
    with SlammingDoor(str(folder)) as door:
        yield door


@pytest.fixture
def behind(door: SlammingDoor, database_name: str) -> Iterator[Database]:
    """The test's database, reached through the door."""
    with connect(door.url(WRITER, database_name)) as opened:
        yield opened


def versions(database: Database, run: int) -> list[int]:
    return [kept.decode().version for kept in records_of(database, run)][1:]


def test_a_commit_whose_answer_was_lost_is_a_success(behind: Database, door: SlammingDoor) -> None:
    ledger = begin(behind)
    ledger.append([record(1, 1, 2), record(1, 3)])
    door.arm("answer_lost")
    ledger.flush()
    assert door.slammed == 1
    assert versions(behind, ledger.run) == [1, 3]
    ledger.append([record(1, 4)])
    ledger.end()
    assert versions(behind, ledger.run) == [1, 3, 4]
    assert ledger.digest.records == 3


@pytest.mark.parametrize(("fault", "written"), [("answer_lost", [1]), ("commit_lost", [])])
def test_what_else_belongs_into_the_transaction_shares_its_fate(
    behind: Database, door: SlammingDoor, fault: Fault, written: list[int]
) -> None:
    run = begin(behind).run
    (asked,) = Inbox(behind).put([Entry("me", OpenSource("tv", "b", InstrumentId("SIM:BTCUSDT")))])
    rows = [RecordMapper(run).to_stored_event(record(1, 1))]

    def note(connection: psycopg.Connection[Any], positions: Sequence[int]) -> None:
        connection.execute(
            "INSERT INTO outcomes (id, first_position, last_position) VALUES (%s, %s, %s)",
            [asked, *positions, *positions],
        )

    door.arm(fault, at=COMMIT)
    with nullcontext() if written else pytest.raises(StoreError, match="nothing was appended"):
        behind.recorder.insert_events(rows, also=note)
    assert door.slammed == 1
    assert versions(behind, run) == written
    assert list(Inbox(behind).outcomes([asked])) == [asked] * len(written)


def test_a_commit_that_was_lost_wrote_nothing(behind: Database, door: SlammingDoor) -> None:
    ledger = begin(behind)
    ledger.append([record(1, 1)])
    door.arm("commit_lost")
    with pytest.raises(StoreError, match="nothing was appended"):
        ledger.flush()
    assert door.slammed == 1
    assert versions(behind, ledger.run) == []
    ledger.flush()
    assert versions(behind, ledger.run) == [1]
    assert ledger.digest.records == 1


def test_what_comes_late_is_not_appended_after_all(behind: Database, door: SlammingDoor, database: Database) -> None:
    """The connection breaks while the append is on its way: the server carries it out after the writer has looked."""
    ledger = begin(behind)
    ledger.append([record(1, 1)])
    door.arm("late")
    with pytest.raises(StoreError, match="nothing was appended"):
        ledger.flush()
    door.deliver()
    assert versions(database, ledger.run) == []
    ledger.flush()
    assert versions(database, ledger.run) == [1]


def shut_after(door: SlammingDoor, fault: Fault) -> None:
    """Lose the next append or its answer, and let nobody in after it."""

    def shut() -> None:
        door.shut = True

    door.arm(fault, meanwhile=shut)


@pytest.mark.parametrize("fault", ["answer_lost", "commit_lost"])
def test_what_is_in_doubt_is_known_when_the_database_is_back(
    behind: Database, door: SlammingDoor, fault: Fault
) -> None:
    ledger = begin(behind)
    ledger.append([record(1, 1), record(2, 1)])
    behind.datastore.pool.timeout = 0.1
    shut_after(door, fault)
    with pytest.raises(InDoubtError, match="whether it was written is not known"):
        ledger.flush()
    ledger.append([record(1, 2)])
    with pytest.raises(InDoubtError, match="still not known"):
        ledger.flush()
    door.shut = False
    behind.datastore.pool.timeout = 30
    ledger.flush()
    ledger.end()
    assert versions(behind, ledger.run) == [1, 1, 2]
    assert ledger.digest.records == 3


@pytest.mark.parametrize(("fault", "written"), [("answer_lost", [1, 1, 1]), ("commit_lost", [1])])
def test_of_several_in_doubt_none_is_refused(
    behind: Database, door: SlammingDoor, superuser_url: str, fault: Fault, written: list[int]
) -> None:
    """Asked again one by one, those that are written would be in conflict with themselves."""
    run = begin(behind).run
    rows = [RecordMapper(run).to_batch([record(stream, 1)]) for stream in (1, 2, 3)]
    with psycopg.connect(superuser_url) as held:
        held.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        submit = behind.recorder.sequencer.submit
        first = submit(rows[0])
        while not held.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'").fetchone():
            time.sleep(0.01)
            held.execute("SELECT pg_stat_clear_snapshot()")
        others = [submit(row) for row in rows[1:]]
        behind.datastore.pool.timeout = 0.1
        shut_after(door, fault)
    assert first.result(30) == [2]
    assert {type(each.exception(60)) for each in others} == {InDoubtError}
    door.shut = False
    behind.datastore.pool.timeout = 30
    assert versions(behind, run) == written


def test_somebody_elses_record_is_a_conflict(behind: Database, door: SlammingDoor, database: Database) -> None:
    ledger = begin(behind)
    ledger.append([record(1, 1)])
    other = PostgresLedger(database, ledger.run)
    other.append([record(1, 1, 2)])
    door.arm("commit_lost", meanwhile=other.flush)
    with pytest.raises(ConflictError, match="another writer"):
        ledger.flush()
    assert versions(behind, ledger.run) == [1]
    assert other.digest.events == 2


def test_a_part_of_what_was_asked_is_a_conflict(behind: Database, door: SlammingDoor, database: Database) -> None:
    ledger = begin(behind)
    ledger.append([record(1, 1), record(1, 2)])
    other = PostgresLedger(database, ledger.run)
    other.append([record(1, 1)])
    door.arm("commit_lost", meanwhile=other.flush)
    with pytest.raises(ConflictError, match="another writer"):
        ledger.flush()


def test_a_backend_that_is_terminated_wrote_nothing(database: Database, superuser_url: str) -> None:
    ledger = begin(database)
    ledger.append([record(1, 1)])
    outcome: list[str] = []

    def flush() -> None:
        try:
            ledger.flush()
        except StoreError as error:
            outcome.append(str(error))

    with psycopg.connect(superuser_url, autocommit=True) as other:
        with other.transaction():
            # Whoever waits for the lock that an append takes is in the middle of one.
            lock = other.execute("SELECT pg_advisory_xact_lock(%s)", [0x7472_7565_0002]).fetchone()
            assert lock is not None
            writer = threading.Thread(target=flush)
            writer.start()
            deadline = time.monotonic() + 30
            ended: list[tuple[bool]] = []
            while not ended:
                assert time.monotonic() < deadline
                ended = other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE wait_event = 'advisory' AND datname = current_database()"
                ).fetchall()
        writer.join(30)
    assert len(outcome) == 1
    assert "nothing was appended" in outcome[0]
    assert versions(database, ledger.run) == []
