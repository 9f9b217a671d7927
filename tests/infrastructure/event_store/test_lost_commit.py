"""When the connection is lost during an append, what was written is looked up, not guessed."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import ConflictError, StoreError
from domain.signal.commands import OpenSource
from domain.values import InstrumentId
from infrastructure.embedded_postgres import WRITER
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
