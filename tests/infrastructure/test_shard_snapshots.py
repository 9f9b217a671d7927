"""The worker's snapshots: made as it goes on and when it stops, and each start is what it was before the stop."""

import random
from typing import Any

import psycopg
import pytest

from domain.values import Time
from infrastructure import restoring, shard_snapshots
from infrastructure import worker as worker_module
from infrastructure.event_store.database import Database
from infrastructure.event_store.snapshots import kept_snapshots
from infrastructure.inbox import Entry, Inbox
from infrastructure.restoring import restore
from infrastructure.shard_snapshots import ShardSnapshots
from tests.domain.engine_floor import portrait
from tests.domain.test_laws import MODES, STOPS, make_alert, random_walk
from tests.infrastructure.test_worker import fills, in_order, log_of, opening, put, running, wait
from tests.simulator import START

ENDS: dict[str, Any] = {**MODES[2], **STOPS[2], "max_pyramids": 3, "time_limit_minutes": 7, "leg_expiry_minutes": 3}


def rows_of(seed: int) -> list[Any]:
    chance = random.Random(seed)
    walk = random_walk(chance, 40)
    return [*opening(**ENDS), *in_order(walk, [make_alert(chance, number, 40) for number in range(20)])]


def test_a_stop_leaves_a_snapshot_from_which_the_next_start_reads_nothing(database: Database) -> None:
    with running(database) as worker:
        wait(database, put(database, rows_of(3)))
    (kept,) = kept_snapshots(database, worker.run)
    found, whole = restore(database, worker.run), restore(database, worker.run, snapshots=False)
    assert (found.records, found.position) == (0, kept.position)
    assert whole.records > 100
    for core in (found.core, whole.core):
        core.start_clock(Time(START + 10**10))
    assert portrait(found.core) == portrait(whole.core)
    with running(database):
        pass
    assert len(list(kept_snapshots(database, worker.run))) == 1  # nothing has come


def test_stopped_at_every_other_row_the_log_is_that_of_one_that_never_stopped(
    make_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, logs = rows_of(5), []
    for stops, snapshots in ((0, False), (8, False), (8, True)):
        monkeypatch.setattr(worker_module, "restore", lambda *of, use=snapshots: restoring.restore(*of, snapshots=use))
        with make_database() as database:
            cuts = sorted(random.Random(1).sample(range(1, len(rows)), stops))
            for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
                ids = Inbox(database).put([Entry("test", row) for row in rows[start:end]], START)
                with running(database) as worker:
                    wait(database, ids)
            assert len(list(kept_snapshots(database, worker.run))) >= min(stops, 5)
            logs.append(log_of(database, worker.run))
    assert logs[0] == logs[1] == logs[2]
    assert fills(logs[0])


def test_one_is_made_whenever_so_many_records_have_come(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "EVERY_RECORDS", 10)
    rows = rows_of(3)
    with running(database) as worker:
        for start in range(0, len(rows), 10):
            wait(database, put(database, rows[start : start + 10]))
    kept = list(kept_snapshots(database, worker.run))
    assert len(kept) > 2
    last = restore(database, worker.run)
    assert last.position == kept[0].position
    assert last.records == 0


def test_one_that_cannot_be_written_is_missed_and_nothing_else(
    database: Database, owner_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("REVOKE INSERT ON snapshots FROM truetape_writer")
    with running(database) as worker:
        wait(database, put(database, rows_of(3)))
        assert worker.is_alive
    assert "the next start reads more of the log" in caplog.text
    assert restore(database, worker.run).records > 100


def test_a_bug_in_the_writing_is_named_and_trading_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(shard_snapshots, "write_snapshot", broken)
    monkeypatch.setattr(worker_module, "EVERY_RECORDS", 1)
    with running(database) as worker:
        wait(database, put(database, opening()))
        wait(database, put(database, rows_of(3)[len(opening()) :]))
        assert worker.is_alive
    assert "a snapshot cannot be made: RuntimeError('a bug of ours')" in caplog.text


def test_while_one_is_written_no_other_is_begun(database: Database, owner_url: str) -> None:
    """The table is locked, so that the first waits for as long as is wanted."""
    with running(database) as worker:
        wait(database, put(database, opening()))
    found = restore(database, worker.run)
    saving = ShardSnapshots(database, worker.run)
    with psycopg.connect(owner_url) as connection:
        connection.execute("LOCK TABLE snapshots")
        assert saving.offer(found.core, found.position)
        assert not saving.offer(found.core, found.position)
        saving.keep(found.core, found.position + 1)
    saving.close()
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT position FROM snapshots ORDER BY position").fetchall()
    assert rows == [(found.position,), (found.position + 1,)]
