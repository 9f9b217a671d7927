"""Snapshots in Postgres: the newest that holds is read, whatever is wrong with others, and the log is the truth."""

import gc
import logging
from pathlib import Path
from shutil import copytree

import psycopg
import pytest
from msgspec import structs

from domain.engine import Core
from domain.message import Event, Record
from infrastructure.event_store import segments, snapshot_codec, snapshots
from infrastructure.event_store.database import Database
from infrastructure.event_store.engine_version import rules_hash
from infrastructure.event_store.segments import seal
from infrastructure.event_store.snapshots import kept_snapshots, newest_snapshot, write_snapshot
from infrastructure.restoring import Restored, collection_paused, restore
from tests.domain.engine_floor import portrait
from tests.domain.lived import LivedFloor, live, rich_setup
from tests.infrastructure.event_store.rows import begin

ROOT = Path(__file__).parents[3]
SMALL = 16


class KeptRun:
    """A run in Postgres, a part of it sealed, with the positions of its records."""

    def __init__(self, database: Database, number: int = 1) -> None:
        self.records: list[Record[Event]] = live(LivedFloor, rich_setup(number), number, 10).records
        ledger = begin(database)
        ledger.append(self.records)
        ledger.flush()
        self.database, self.run = database, ledger.run
        kept = list(segments_positions(database, self.run))
        self.positions = kept[1:]
        """Behind the record that opens the run."""

    def save(self, count: int, *, wrong: bool = False) -> None:
        """A snapshot after so many records; a wrong one has lost the account's cash."""
        core = Core()
        core.restore_all(self.records[:count])
        if wrong:
            core.state("account", "main").cash.clear()
        write_snapshot(self.database, self.run, self.positions[count - 1], core.snapshot())

    def restored(self) -> Restored:
        """What a start makes of it; it must be what the log says."""
        found = restore(self.database, self.run)
        whole = restore(self.database, self.run, snapshots=False)
        assert whole.records == len(self.records) + 1
        assert found.position == whole.position == self.positions[-1]
        for core in (found.core, whole.core):
            core.start_clock(self.records[-1].at)
        assert portrait(found.core) == portrait(whole.core)
        return found


def segments_positions(database: Database, run: int) -> list[int]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT position FROM records WHERE run = %s ORDER BY position", [run]).fetchall()
    return [row[0] for row in rows]


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch) -> KeptRun:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", SMALL)
    begin(database).end()  # a run before it
    made = KeptRun(database)
    assert seal(database) > 2
    return made


def test_without_a_snapshot_the_whole_log_is_read(run: KeptRun) -> None:
    assert newest_snapshot(run.database, run.run) is None
    assert run.restored().records == len(run.records) + 1


@pytest.mark.parametrize("count", [1, SMALL - 2, SMALL - 1, SMALL, 3 * SMALL + 5])
def test_only_what_came_after_a_snapshot_is_read(run: KeptRun, count: int) -> None:
    run.save(count)
    assert run.restored().records == len(run.records) - count


def test_after_the_last_record_nothing_is_read(run: KeptRun) -> None:
    run.save(len(run.records))
    assert run.restored().records == 0


def test_the_newest_counts_in_whatever_order_they_were_written(run: KeptRun) -> None:
    for count in (20, 40, 30):
        run.save(count)
    assert run.restored().records == len(run.records) - 40
    assert [kept.position for kept in kept_snapshots(run.database, run.run)] == [
        run.positions[count - 1] for count in (40, 30, 20)
    ]


def test_said_twice_the_first_stands(run: KeptRun) -> None:
    run.save(20)
    run.save(20, wrong=True)
    assert run.restored().records == len(run.records) - 20


def test_of_another_run_it_is_none_of_this_ones(run: KeptRun) -> None:
    run.save(20)
    other = KeptRun(run.database, 2)
    assert other.restored().records == len(other.records) + 1


def test_a_snapshot_is_what_is_read_so_a_wrong_one_would_be_found(run: KeptRun) -> None:
    run.save(20, wrong=True)
    with pytest.raises((AssertionError, KeyError)):
        run.restored()


@pytest.mark.parametrize("change", ["state = state || 'x'", "position = {next}", "digest = sha256('x')"])
def test_one_that_was_changed_is_passed_over_by_name(
    run: KeptRun, superuser_url: str, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    run.save(20)
    run.save(40)
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE snapshots DISABLE TRIGGER append_only")
        statement = f"UPDATE snapshots SET {change} WHERE position = {run.positions[39]}"
        connection.execute(statement.format(next=run.positions[40]).encode())
    with caplog.at_level(logging.WARNING):
        assert run.restored().records == len(run.records) - 20
    assert "is not what was written" in caplog.text


def test_one_of_a_record_that_the_log_has_not_is_passed_over(run: KeptRun) -> None:
    run.save(20)
    core = Core()
    write_snapshot(run.database, run.run, run.positions[-1] + 1000, core.snapshot())
    assert run.restored().records == len(run.records) - 20


def test_one_of_other_rules_is_passed_over(run: KeptRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold is changed: what was folded by the old one must not be gone on from."""
    run.save(20)
    copytree(ROOT / "domain", tmp_path / "domain")
    copytree(ROOT / "infrastructure/venues", tmp_path / "infrastructure/venues")
    folds = tmp_path / "domain/position_group/state.py"
    folds.write_text(folds.read_text().replace("held=state.held - event.quantity", "held=state.held + event.quantity"))
    changed = rules_hash(tmp_path)
    assert changed != rules_hash()
    monkeypatch.setattr(snapshot_codec, "rules_hash", lambda: changed)
    assert run.restored().records == len(run.records) + 1
    run.save(40)
    assert run.restored().records == len(run.records) - 40
    monkeypatch.undo()
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", SMALL)
    assert run.restored().records == len(run.records) - 20


def test_one_that_cannot_be_read_is_passed_over(run: KeptRun, caplog: pytest.LogCaptureFixture) -> None:
    run.save(20)
    place, version, state = run.positions[40], snapshot_codec.schema(), b"\x00"
    digest = snapshots._digest_of(run.run, place, version, state)  # noqa: SLF001
    with psycopg.connect(run.database.url) as connection:
        connection.execute(
            "INSERT INTO snapshots (run, position, schema_version, state, digest) VALUES (%s, %s, %s, %s, %s)",
            [run.run, place, version, state, digest],
        )
    with caplog.at_level(logging.WARNING):
        assert run.restored().records == len(run.records) - 20
    assert "a snapshot cannot be read" in caplog.text


def test_collection_goes_on_after_history_was_read_and_after_it_could_not_be(run: KeptRun) -> None:
    assert gc.isenabled()
    run.restored()
    assert gc.isenabled()
    broken = structs.replace(run.records[5], stream=99, version=7)
    with pytest.raises(AssertionError, match="begins at version"), collection_paused():
        Core().restore(broken)
    assert gc.isenabled()
    with collection_paused():
        assert not gc.isenabled()
