"""What a superuser changes is found against an earlier checkpoint from outside, and the first changed event is named."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import DamagedError
from infrastructure.event_store.database import Database
from infrastructure.proof.checkpoint_folder import block_name, run_name
from infrastructure.proof.checkpoints import Checkpoints, Made, open_checkpoints
from infrastructure.proof.exported_log import ExportedLog
from infrastructure.proof.log_check import Checked, check_log
from infrastructure.settings import Settings
from tests.infrastructure.event_store.rows import begin, record
from tests.infrastructure.proof.tampering import (
    COLUMNS,
    FLIPS,
    KINDS,
    Bench,
    Row,
    change_run,
    make_trial,
    rechained,
    restated,
    write_log,
)

TRIALS = int(os.environ.get("TAMPERINGS", "63"))
RECORDS = 40
LATER = 10


@pytest.fixture
def checkpoints(database: Database, home: Path) -> Checkpoints:
    """A log with a checkpoint in its middle, and some records behind that."""
    write_log(database, RECORDS)
    found = open_checkpoints(database, Settings(home=home))
    found.make()
    write_log(database, LATER, seed=2)
    return found


@pytest.fixture
def bench(checkpoints: Checkpoints, superuser_url: str) -> Iterator[Bench]:
    assert checkpoints.newest() is not None
    bench = Bench(superuser_url)
    yield bench
    bench.close()


def newest(checkpoints: Checkpoints) -> Made:
    made = checkpoints.newest()
    assert made is not None
    return made


def checked(database: Database, checkpoints: Checkpoints) -> Checked:
    return check_log(database, newest(checkpoints).checkpoint, ExportedLog(checkpoints))


def restate(row: Row) -> Row:
    return restated(row, actor="somebody else")


@pytest.mark.timeout(1800)
def test_every_tampering_is_found_and_named(database: Database, checkpoints: Checkpoints, bench: Bench) -> None:
    known = newest(checkpoints).checkpoint
    found = checked(database, checkpoints)
    assert (found.damage, found.records, found.covered) == (None, len(bench.rows), known.size)
    assert known.size < len(bench.rows)
    unseen, tried = [], set()
    for number in range(TRIALS):
        trial = make_trial(bench.rows, known.size, number)
        tried.add(trial.kind)
        bench.write(trial.rows)
        damage = checked(database, checkpoints).damage
        assert damage is not None, (number, trial.kind)
        assert (damage.position, damage.last) == (trial.position, None), (number, trial.kind, damage)
        if check_log(database).damage is None:
            unseen.append(trial.kind)
    assert tried == set(KINDS)
    # Without a checkpoint what was made to agree is sound: it is the checkpoint that finds it.
    assert set(unseen) >= {"truncate", "insert", "rewrite"}
    bench.write(bench.rows)
    assert checked(database, checkpoints).damage is None, "the bench restores what it spoils"


def test_every_column_of_a_row_is_held_against_something(
    database: Database, checkpoints: Checkpoints, bench: Bench
) -> None:
    covered = newest(checkpoints).checkpoint.size
    for place in (covered // 2, len(bench.rows) - 2):
        row = bench.rows[place]
        for name in COLUMNS:
            value = row[name] + 10**6 if name == "position" else FLIPS[name](row[name], random.Random(place))
            changed = {**row, name: value}
            bench.write([*bench.rows[:place], changed, *bench.rows[place + 1 :]])
            for found in (checked(database, checkpoints).damage, check_log(database).damage):
                assert found is not None, name
                assert found.position == row["position"], (name, found)


def test_a_whole_stream_moved_to_another_run_is_found(
    database: Database, checkpoints: Checkpoints, superuser_url: str
) -> None:
    """Everything in the database agrees with it: versions are dense, and no byte of a record says its run."""
    ledger = begin(database)
    ledger.append([record(50, version) for version in (1, 2, 3)])
    ledger.flush()
    checkpoints.make()
    bench = Bench(superuser_url)
    moved = [{**row, "run": 1} if row["stream"] == 50 else row for row in bench.rows]
    bench.write(moved)
    first = next(row["position"] for row in moved if row["stream"] == 50)
    bench.close()
    assert check_log(database).damage is None
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert (damage.kind, damage.position) == ("run", first)
    assert damage.message == f"the record belongs to run 1; when it was exported, to {ledger.run}"


def test_a_row_before_the_first_is_seen(database: Database, checkpoints: Checkpoints, bench: Bench) -> None:
    forged = {**restated(bench.rows[3], stream=77, version=1), "position": -5}
    bench.write([forged, *bench.rows])
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert (damage.kind, damage.position) == ("overlap", 1)


@pytest.mark.parametrize("what", ["label", "settings", "tape_digest"])
def test_what_a_run_was_opened_as_is_covered(
    what: str, database: Database, checkpoints: Checkpoints, bench: Bench
) -> None:
    change_run(bench, 2, what)
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert (damage.kind, damage.position) == ("run", 2)
    assert "run 2 is not what it was opened as" in damage.message


def test_behind_the_checkpoint_a_record_is_held_against_itself_only(
    database: Database, checkpoints: Checkpoints, bench: Bench
) -> None:
    *rows, last = bench.rows
    bench.write([*rows, restate(last)])
    assert checked(database, checkpoints).damage is None, "nothing outside knows of it"
    bench.write([*rows, {**last, "actor": "somebody else"}])
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert (damage.kind, damage.position) == ("envelope", last["position"])


def test_where_the_index_is_lost_the_checkpoints_bound_the_damage(
    database: Database, checkpoints: Checkpoints, bench: Bench
) -> None:
    first = newest(checkpoints).checkpoint
    second = checkpoints.make().checkpoint
    assert second.size == len(bench.rows) > first.size
    (checkpoints.folder.path / block_name(0)).unlink()
    assert checked(database, checkpoints).damage is None
    last = bench.rows[-1]
    bench.write([*bench.rows[:-1], restate(last)])
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert (damage.kind, damage.position, damage.last) == ("altered", first.position + 1, second.position)
    bench.write(rechained([restate(bench.rows[0]), *bench.rows[1:]]))
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert (damage.position, damage.last) == (1, first.position)


@pytest.mark.parametrize("name", [block_name(0), run_name(1)])
def test_an_index_that_was_changed_is_not_believed(
    name: str, database: Database, checkpoints: Checkpoints, bench: Bench
) -> None:
    path = checkpoints.folder.path / name
    content = path.read_bytes()
    path.write_bytes(content[:8] + bytes([content[8] ^ 1]) + content[9:])
    assert checked(database, checkpoints).damage is None, "the log is what the signed checkpoint says"
    bench.write(rechained([*bench.rows[:9], restate(bench.rows[9]), *bench.rows[10:]]))
    damage = checked(database, checkpoints).damage
    assert damage is not None
    assert damage.position == 1
    assert damage.last == newest(checkpoints).checkpoint.position


def test_a_checkpoint_of_a_changed_log_is_refused(checkpoints: Checkpoints, bench: Bench) -> None:
    before = checkpoints.folder.sizes()
    for number in range(14):
        trial = make_trial(bench.rows, newest(checkpoints).checkpoint.size, number)
        if trial.kind in {"flip", "truncate"}:
            continue  # a flipped column is the check's to find; a log that was cut has its own test
        bench.write(trial.rows)
        with pytest.raises(DamagedError, match=rf"event {trial.position} (differs|is missing)"):
            checkpoints.make()
        with pytest.raises(DamagedError, match=r"event \d+ (differs|is missing)"):
            checkpoints.make(whole=False)
    bench.write(bench.rows[:9])
    position = bench.rows[9]["position"]
    with pytest.raises(DamagedError, match=f"event {position} is missing: the log ends there after 9 records"):
        checkpoints.make()
    assert checkpoints.folder.sizes() == before
