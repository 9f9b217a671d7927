"""Ledgers: whole inputs only, one digest with the memory's, runs and their ends; a killed run ends at an input."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.engine_events import EngineStarted
from domain.errors import ConflictError, MissingError, StoreError
from domain.message import Event, Record
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.engine_version import engine_version, rules_hash
from infrastructure.event_store.ledger import MemoryLedger, PostgresLedger
from infrastructure.event_store.runs import find_run, list_runs, records_of
from tests.infrastructure.event_store.rows import OPENING, begin, record

ROOT = Path(__file__).parents[3]
INPUT = 3
"""Records of one input in the run that is killed."""


def counts(database: Database, run: int) -> int:
    return sum(1 for _ in records_of(database, run)) - 1


def test_a_run_says_what_it_is(database: Database) -> None:
    ledger = begin(database)
    run = find_run(database, ledger.run)
    assert (run.label, run.mode, run.settings, run.tape_name) == ("test", "backtest", {"seed": 7}, None)
    assert (run.engine_version, run.rules_hash) == (engine_version(), rules_hash())
    assert run.end is None
    first = next(records_of(database, ledger.run)).decode()
    assert (first.stream, first.version, first.key) == (0, 1, "engine")
    assert first.events == (EngineStarted(engine_version(), rules_hash(), "candle-v1"),)


def test_an_end_has_the_digest_of_the_stored_bytes(database: Database) -> None:
    ledger = begin(database)
    records = [record(1, 1, 2), record(2, 1), record(1, 3)]
    ledger.append(records)
    ledger.end()
    end = find_run(database).end
    assert end is not None
    states = [kept.state for kept in records_of(database, ledger.run)][1:]
    assert end.log_sha256 == hashlib.sha256(b"".join(states)).hexdigest() == ledger.digest.hexdigest()
    assert (end.records, end.events) == (3, 4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 4), max_size=12), st.integers(1, 7))
def test_groups_never_split_an_input_nor_change_the_digest(database: Database, sizes: list[int], group: int) -> None:
    batches: list[list[Record[Event]]] = []
    memory, ledger = MemoryLedger(batches.append), begin(database, group)
    version, boundaries = 1, {0}
    for size in sizes:
        records = [record(1, version + k) for k in range(size)]
        version += size
        boundaries.add(version - 1)
        memory.append(records)
        ledger.append(records)
        assert counts(database, ledger.run) in boundaries
    ledger.end()
    assert counts(database, ledger.run) == version - 1
    assert sum(map(len, batches)) == version - 1
    assert ledger.digest.hexdigest() == memory.digest.hexdigest()
    groups = _records_per_transaction(database, ledger.run)
    assert all(size <= max(group, *sizes) for size in groups)


def _records_per_transaction(database: Database, run: int) -> list[int]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM records WHERE run = %s AND stream > 0 GROUP BY xmin::text", [run]
        ).fetchall()
    return [row[0] for row in rows]


def test_nothing_is_written_before_a_group_is_full(database: Database) -> None:
    ledger = begin(database, group_size=4)
    ledger.append([record(1, 1), record(1, 2), record(1, 3)])
    assert counts(database, ledger.run) == 0
    ledger.append([record(1, 4)])  # on its way
    ledger.append([record(1, version) for version in range(5, 9)])  # which waits until those before are durable
    assert counts(database, ledger.run) >= 4
    ledger.append([record(1, 9)])
    ledger.flush()
    assert counts(database, ledger.run) == 9


def test_a_group_that_met_trouble_is_not_overtaken(database: Database) -> None:
    """What follows it may be about other streams; it waits all the same, and is written with it the next time."""
    ledger = begin(database, group_size=2)
    rival = PostgresLedger(database, ledger.run)
    rival.append([record(1, 1, 3)])
    rival.flush()
    ledger.append([record(1, 1), record(1, 2)])
    with pytest.raises(ConflictError):
        ledger.append([record(2, 1), record(2, 2)])
    with pytest.raises(ConflictError):
        ledger.flush()
    assert counts(database, ledger.run) == 1
    assert ledger.digest.records == 0


def test_a_stale_writer_writes_nothing(database: Database) -> None:
    ledger = begin(database)
    stale = PostgresLedger(database, ledger.run)
    stale.append([record(1, 1)])
    ledger.append([record(1, 1, 2)])
    ledger.flush()
    with pytest.raises(ConflictError):
        stale.flush()
    assert stale.digest.records == 0
    assert counts(database, ledger.run) == 1


def test_a_run_ends_once(database: Database) -> None:
    ledger = begin(database)
    ledger.end()
    with pytest.raises(StoreError, match=f"the end of run {ledger.run} was not recorded"):
        ledger.end()


def test_runs_are_found(database: Database) -> None:
    with pytest.raises(MissingError, match="no run is kept"):
        find_run(database)
    numbers = [begin(database).run, begin(database).run]
    assert [run.run for run in list_runs(database)] == numbers
    assert find_run(database).run == numbers[1]
    assert find_run(database, numbers[0]).run == numbers[0]
    with pytest.raises(MissingError, match="run 99 is not kept"):
        find_run(database, 99)


def test_a_mode_that_there_is_not(database: Database) -> None:
    opening = msgspec.structs.replace(OPENING, mode="dream")
    with pytest.raises(StoreError, match="the run cannot be opened"):
        PostgresLedger.begin(database, opening, record(1, 1).at)


def test_records_are_read_in_batches_from_a_position(database: Database) -> None:
    ledgers = ledger, _ = begin(database), begin(database)
    for version in range(1, 8):
        for each in ledgers:
            each.append([record(1, version)])
            each.flush()
    positions = [kept.position for kept in records_of(database, ledger.run)]
    assert len(positions) == 8
    for batch in (1, 3, 8, 9):
        assert [kept.position for kept in records_of(database, ledger.run, batch=batch)] == positions
    assert [kept.position for kept in records_of(database, ledger.run, after=positions[2])] == positions[3:]


def test_an_altered_record_shows(database: Database, superuser_url: str) -> None:
    ledger = begin(database)
    ledger.append([record(1, 1)])
    ledger.end()
    assert all(kept.is_intact() for kept in records_of(database, ledger.run))
    forged = codec.encode(msgspec.structs.replace(record(1, 1), actor="nobody"))
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        connection.execute("UPDATE records SET state = %s WHERE stream = 1", [forged])
    assert [kept.is_intact() for kept in records_of(database, ledger.run)] == [True, False]


def test_the_rules_hash_is_over_paths_and_contents(tmp_path: Path) -> None:
    simulator = tmp_path / "infrastructure" / "venues" / "simulated.py"
    simulator.parent.mkdir(parents=True)
    simulator.write_text("fills")
    (tmp_path / "domain").mkdir()
    hashes = set()
    for name, text in [("a.py", "x"), ("a.py", "y"), ("b.py", "y")]:
        (tmp_path / "domain" / name).write_text(text)
        hashes.add(rules_hash.__wrapped__(tmp_path))
    simulator.write_text("other fills")
    hashes.add(rules_hash.__wrapped__(tmp_path))
    assert len(hashes) == 4


APPENDER = f"""
import sys
from infrastructure.event_store.database import connect
from tests.infrastructure.event_store.rows import begin, record
ledger = begin(connect(sys.argv[1]), group_size=int(sys.argv[2]))
print(ledger.run, flush=True)
for number in range(10**6):
    ledger.append([record(1, number * {INPUT} + k + 1) for k in range({INPUT})])
"""


@pytest.mark.parametrize("group_size", [1, 100])
@pytest.mark.parametrize("delay", [0.05, 0.11, 0.23])
def test_a_killed_run_ends_at_a_whole_input(database: Database, group_size: int, delay: float) -> None:
    command = [sys.executable, "-c", APPENDER, database.url, str(group_size)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as writer:
        assert writer.stdout is not None
        run = int(writer.stdout.readline())
        deadline = time.monotonic() + 30
        while not counts(database, run):
            assert time.monotonic() < deadline
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
    # Its last transaction may still be on its way; a new append waits for it.
    begin(database)
    records = [kept.decode() for kept in records_of(database, run)][1:]
    assert records
    assert len(records) % INPUT == 0
    assert [each.version for each in records] == list(range(1, len(records) + 1))
    assert find_run(database, run).end is None
