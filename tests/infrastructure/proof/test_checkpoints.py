"""Checkpoints are made of the log as it is, continue each other, and leave the database before they are listed."""

from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import DamagedError, InputError, MissingError, StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import (
    consistency_proof,
    inclusion_proof,
    proves_consistency,
    proves_inclusion,
    root_of,
)
from infrastructure.event_store.segments import seal, segment_roots
from infrastructure.proof import log_leaves
from infrastructure.proof.checkpoint_folder import block_name, note_name, run_name
from infrastructure.proof.checkpoints import Checkpoints, open_checkpoints
from infrastructure.proof.exported_log import ExportedLog
from infrastructure.proof.log_check import check_log
from infrastructure.proof.log_leaves import BLOCK, LogLeaves, find_place, position_of, read_rows
from infrastructure.settings import Settings
from tests.infrastructure.event_store.rows import begin, record
from tests.infrastructure.proof.tampering import Bench, rechained, restated, write_log

TRIGGERED = ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"]


@pytest.fixture
def checkpoints(database: Database, home: Path) -> Checkpoints:
    return open_checkpoints(database, Settings(home=home))


class Kept:
    """A destination that keeps what it is given."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content


class Refusing:
    """A destination that cannot be reached."""

    def put(self, name: str, content: bytes) -> None:
        raise StoreError(f"nobody takes {name}")


def leaves_of(database: Database) -> list[bytes]:
    return [row.leaf for row in read_rows(database, 0, 100_000)]


def test_a_checkpoint_says_what_the_log_is(database: Database, checkpoints: Checkpoints) -> None:
    write_log(database, 20)
    made = checkpoints.make()
    leaves = leaves_of(database)
    found = made.checkpoint
    assert (made.is_new, found.size, found.root) == (True, len(leaves), root_of(leaves))
    assert found.position == read_rows(database, 0)[-1].position + read_rows(database, 0)[-1].events - 1
    assert checkpoints.folder.note(found.size) == made.note
    assert checkpoints.key.verifier.open(made.note) == found.text()
    assert found.origin == checkpoints.key.verifier.name == f"truetape/{checkpoints.folder.path.name}"
    assert (checkpoints.folder.path / "verifier.key").read_text() == checkpoints.key.verifier.text + "\n"
    (listed,) = checkpoints.listed(10)
    assert (listed.size, listed.root, listed.note) == (found.size, found.root, made.note)


def test_nothing_new_makes_nothing_new(database: Database, checkpoints: Checkpoints) -> None:
    with pytest.raises(MissingError, match="nothing on the log yet"):
        checkpoints.make()
    write_log(database, 5)
    made = checkpoints.make()
    for whole in (True, False):
        again = checkpoints.make(whole=whole)
        assert (again.note, again.is_new) == (made.note, False)
    assert len(checkpoints.listed(10)) == 1


def test_the_folder_can_lie_elsewhere_and_others_get_a_copy(database: Database, home: Path, tmp_path: Path) -> None:
    write_log(database, 5)
    kept = Kept()
    checkpoints = open_checkpoints(database, Settings(home=home, checkpoint_folder=tmp_path / "far"), [kept])
    made = checkpoints.make()
    folder = tmp_path / "far" / checkpoints.folder.path.name
    assert set(kept.files) == {block_name(0), run_name(1), run_name(2), note_name(made.checkpoint.size)}
    for name, content in kept.files.items():
        assert (folder / name).read_bytes() == content
    assert not (home / "checkpoints").exists()


def test_what_cannot_leave_the_database_is_not_listed(database: Database, home: Path) -> None:
    write_log(database, 5)
    checkpoints = open_checkpoints(database, Settings(home=home), [Refusing()])
    with pytest.raises(StoreError, match="nobody takes"):
        checkpoints.make()
    assert checkpoints.listed(10) == []
    blocked = home / "file"
    blocked.write_text("")
    checkpoints = open_checkpoints(database, Settings(home=home, checkpoint_folder=blocked))
    with pytest.raises(StoreError, match=r"cannot be (written|read): Not a directory"):
        checkpoints.make()


def test_a_checkpoint_of_another_log_or_key_is_not_taken(
    database: Database, checkpoints: Checkpoints, home: Path
) -> None:
    write_log(database, 5)
    note = checkpoints.make().note
    with pytest.raises(InputError, match="does not fit"):
        checkpoints.read(note.replace("position", "Position"))
    (home / "keys" / "checkpoint.key").unlink()
    other = open_checkpoints(database, Settings(home=home))
    with pytest.raises(InputError, match="not signed by"):
        other.newest()
    with pytest.raises(StoreError, match=r"is another key than keys/checkpoint\.key"):
        other.make()


@pytest.mark.parametrize("whole", [True, False])
def test_a_later_checkpoint_continues_each_earlier_one(
    whole: bool, database: Database, checkpoints: Checkpoints
) -> None:
    for seed in range(4):
        write_log(database, 7, seed)
        assert checkpoints.make(whole=whole).is_new
    sizes = checkpoints.folder.sizes()
    assert len(sizes) == 4
    subtree = LogLeaves(database).subtree
    for old in sizes:
        for new in sizes:
            if old <= new:
                before, after = checkpoints.exported(old).checkpoint, checkpoints.exported(new).checkpoint
                proof = consistency_proof(old, new, subtree)
                assert proves_consistency(old, new, before.root, after.root, proof)
    found = check_log(database, checkpoints.exported(sizes[-1]).checkpoint, ExportedLog(checkpoints))
    assert (found.damage, found.covered) == (None, sizes[-1])


@pytest.mark.parametrize("whole", [True, False])
def test_a_log_with_a_gap_is_not_signed(
    whole: bool, database: Database, checkpoints: Checkpoints, superuser_url: str
) -> None:
    """Behind the newest checkpoint as well, where no root says that something is missing."""
    write_log(database, 5)
    before = checkpoints.make().checkpoint
    write_log(database, 5)
    bench = Bench(superuser_url)
    gone = bench.rows[before.size + 2]
    bench.write([row for row in bench.rows if row is not gone])
    bench.close()
    with pytest.raises(DamagedError, match=f"event {gone['position']} is missing from the log"):
        checkpoints.make(whole=whole)
    assert checkpoints.folder.sizes() == [before.size]


@pytest.mark.parametrize("table", ["checkpoints", "log_identity"])
@pytest.mark.parametrize("change", TRIGGERED)
def test_the_list_is_append_only(table: str, change: str, database: Database, owner_url: str) -> None:
    statement = change.format(table, {"checkpoints": "note", "log_identity": "log"}[table]).encode()
    with psycopg.connect(database.url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)
    with psycopg.connect(owner_url) as connection, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute(statement)


# --- a log of several blocks -----------------------------------------------------------------------------------------


def write_blocks(database: Database, count: int) -> None:
    ledger = begin(database)
    ledger.append([record(1, number + 1, at=number) for number in range(count - 1)])
    ledger.flush()


@pytest.fixture
def long(database: Database, checkpoints: Checkpoints) -> Checkpoints:
    """A log of two whole blocks and some records more, with a checkpoint of all."""
    write_blocks(database, 2 * BLOCK + 100)
    checkpoints.make()
    return checkpoints


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 2 * BLOCK + 99), min_size=1, max_size=4), st.booleans())
def test_proofs_of_a_log_of_several_blocks(
    database: Database, long: Checkpoints, indices: list[int], is_sealed: bool
) -> None:
    made = long.newest()
    assert made is not None
    if is_sealed:
        seal(database)
    known, leaves = made.checkpoint, LogLeaves(database, segment_roots if is_sealed else lambda _: [])
    for index in indices:
        place = find_place(database, position_of(database, index))
        assert place.index == index
        proof = inclusion_proof(index, known.size, leaves.subtree)
        assert proves_inclusion(place.row.leaf, index, known.size, proof, known.root)
        if index:
            old = index
            earlier = root_of(leaves_of(database)[:old])
            proof = consistency_proof(old, known.size, leaves.subtree)
            assert proves_consistency(old, known.size, earlier, known.root, proof)


def test_a_pass_goes_on_from_the_last_whole_block(
    database: Database, long: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = log_leaves.read_rows

    def counted(database: Database, after: int, limit: int = BLOCK) -> list[log_leaves.LeafRow]:
        asked.append(after)
        return read(database, after, limit)

    write_log(database, 10)
    monkeypatch.setattr(log_leaves, "read_rows", counted)
    made = long.make(whole=False)
    assert asked == [2 * BLOCK], "events of this log are records"
    assert made.checkpoint.root == root_of(leaves_of(database))
    monkeypatch.undo()
    size = made.checkpoint.size
    assert [len((long.folder.path / block_name(number)).read_bytes()) // 40 for number in range(3)] == [
        BLOCK, BLOCK, size - 2 * BLOCK,
    ]  # fmt: skip
    assert check_log(database, made.checkpoint, ExportedLog(long)).damage is None


def test_where_a_base_was_changed_the_log_decides(database: Database, long: Checkpoints, superuser_url: str) -> None:
    write_log(database, 10)
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE checkpoints DISABLE TRIGGER ALL")
        connection.execute("UPDATE checkpoints SET base_roots = ARRAY[sha256('x')], base_runs = sha256('y')")
    made = long.make(whole=False)
    assert made.checkpoint.root == root_of(leaves_of(database))


def damage_of(database: Database, checkpoints: Checkpoints) -> tuple[str, int]:
    made = checkpoints.newest()
    found = check_log(database, made.checkpoint if made else None, ExportedLog(checkpoints)).damage
    assert found is not None
    return found.kind, found.position


SEALED = {
    "root": "root = sha256('x')",
    "digest": "digest = sha256('x')",
    "previous": "previous = sha256('x')",
    "block": "block = set_byte(block, 40, get_byte(block, 40) # 1)",
    "lengths": "lengths = substr(lengths, 5)",
    "runs": "runs = ARRAY[9::bigint]",
    "events": "events = events + 1",
}


@pytest.mark.parametrize("what", SEALED)
def test_segments_are_held_against_the_rows(
    what: str, database: Database, long: Checkpoints, superuser_url: str
) -> None:
    assert seal(database) == 2
    made = long.newest()
    assert made is not None
    assert check_log(database, made.checkpoint, ExportedLog(long)).damage is None
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE segments DISABLE TRIGGER ALL")
        connection.execute(f"UPDATE segments SET {SEALED[what]} WHERE segment = 1".encode())
    kind, position = damage_of(database, long)
    assert kind == "segment"
    assert BLOCK < position <= 2 * BLOCK


def test_a_segment_that_is_gone_is_missed(database: Database, long: Checkpoints, superuser_url: str) -> None:
    seal(database)
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE segments DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM segments WHERE segment = 0")
    found = check_log(database).damage
    assert found is not None
    assert (found.kind, found.position, found.message) == ("segment", 1, "segment 0 is missing: the next is 1")


def test_rows_that_were_rewritten_under_a_segment_are_named_without_a_checkpoint(
    database: Database, long: Checkpoints, superuser_url: str
) -> None:
    seal(database)
    bench = Bench(superuser_url)
    place = BLOCK + 7
    bench.write(rechained([*bench.rows[:place], restated(bench.rows[place], actor="x"), *bench.rows[place + 1 :]]))
    bench.close()
    found = check_log(database).damage
    assert found is not None
    assert (found.kind, found.position) == ("segment", place + 1)
    assert damage_of(database, long) == ("altered", place + 1)
    with pytest.raises(DamagedError, match=f"event {place + 1} differs"):
        long.make()
