"""Segments: what was sealed is what was appended, in one chain that shows every change."""

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.errors import StoreError
from domain.message import Event, Record
from infrastructure.event_store import segments
from infrastructure.event_store.codec import leaf_of
from infrastructure.event_store.database import Database
from infrastructure.event_store.history import history_of
from infrastructure.event_store.merkle import root_of
from infrastructure.event_store.runs import records_of
from infrastructure.event_store.segments import Segment, fault_of, read_segments, seal
from tests.infrastructure.event_store.rows import begin, record

SMALL = 8
"""Records of a segment in these tests: a power of two, as it is in earnest."""


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", SMALL)


def write(database: Database, sizes: list[int], runs: int = 1) -> list[int]:
    """Append records of so many events to the runs in turn; returns the runs."""
    ledgers = [begin(database) for _ in range(runs)]
    versions = [1] * runs
    for number, size in enumerate(sizes):
        ledger = ledgers[number % runs]
        ledger.append([record(1, versions[number % runs], size)])
        ledger.flush()
        versions[number % runs] += size
    return [ledger.run for ledger in ledgers]


def test_only_what_is_full_is_sealed_and_once(database: Database) -> None:
    write(database, [1, 2, 3, 1, 1, 2, 1])
    assert seal(database) == 1  # with the record that opens the run, exactly full
    assert seal(database) == 0
    write(database, [1] * (2 * SMALL))
    assert seal(database, 1) == 1
    assert seal(database) == 1
    assert [each.segment for each in read_segments(database)] == [0, 1, 2]


def test_a_segment_is_its_records(database: Database) -> None:
    one, other = write(database, [1, 3, 2, 1, 1, 2, 5, 1, 1, 2, 1, 1, 4, 2], runs=2)
    assert seal(database) == 2
    found = list(read_segments(database))
    kept = sorted([*records_of(database, one), *records_of(database, other)], key=lambda each: each.position)
    assert [state for each in found for state in each.states()] == [each.state for each in kept]
    assert [run for each in found for run in each.runs_of_records()] == [each.run for each in kept]
    assert [each.root for each in found] == [
        root_of([leaf_of(each.state) for each in kept[start : start + SMALL]]) for start in (0, SMALL)
    ]
    for run in (one, other):
        mine = [each for each in kept if each.run == run]
        placed = [each.records(run) for each in found]
        assert [position for positions, _ in placed for position in positions] == [each.position for each in mine]
        assert [each for _, records in placed for each in records] == [each.decode() for each in mine]


def test_segments_without_a_run_are_not_read_for_it(database: Database) -> None:
    (one,) = write(database, [1] * (SMALL - 1))
    (other,) = write(database, [1] * (SMALL - 1))
    seal(database)
    assert [each.segment for each in read_segments(database, run=one)] == [0]
    assert [each.segment for each in read_segments(database, run=other)] == [1]


def _changed(value: bytes | int | tuple[int, ...]) -> bytes | int | tuple[int, ...]:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return (*value, 99) if isinstance(value, tuple) else value + 1


@pytest.mark.parametrize(
    "field", ["lengths", "block", "root", "digest", "previous", "events", "first_position", "runs"]
)
def test_any_change_of_a_segment_is_its_fault(database: Database, field: str) -> None:
    write(database, [1, 2, 3, 1, 1, 2, 1])
    seal(database)
    (sealed,) = read_segments(database)
    assert fault_of(sealed, bytes(32)) is None
    value = getattr(sealed, field)
    damaged = structs.replace(sealed, **{field: _changed(value)})
    assert fault_of(damaged, bytes(32)) is not None
    if field not in {"digest", "previous"}:
        # Whoever computes the digest anew breaks the chain to the next one.
        mended = structs.replace(damaged, digest=segments.digest_of(damaged))
        assert mended.digest != sealed.digest


def test_the_chain_is_checked(database: Database) -> None:
    write(database, [1] * (2 * SMALL - 1))
    seal(database)
    one, two = read_segments(database)
    assert two.previous == one.digest
    assert fault_of(two, one.digest) is None
    assert fault_of(two, bytes(32)) == "segment 1 does not follow the one before it: its chain is broken"


def test_a_gap_is_not_sealed(database: Database, superuser_url: str) -> None:
    write(database, [1] * (SMALL + 3))
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM records WHERE position = 4")
    with pytest.raises(StoreError, match="position 4 is missing, and nothing is sealed"):
        seal(database)
    assert list(read_segments(database)) == []


def test_segments_are_append_only(database: Database) -> None:
    write(database, [1] * SMALL)
    seal(database)
    for statement in ("UPDATE segments SET events = 1", "DELETE FROM segments", "TRUNCATE segments"):
        with (
            pytest.raises(psycopg.Error, match=r"permission denied|append-only"),
            psycopg.connect(database.url) as connection,
        ):
            connection.execute(statement.encode())


def placed(database: Database, run: int, after: int, upto: int) -> list[tuple[int, Record[Event]]]:
    stretches = list(history_of(database, run, after, upto))
    assert all(each.records for each in stretches)
    return [pair for each in stretches for pair in zip(each.positions, each.records, strict=True)]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 3), max_size=40),
    st.integers(1, 2),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=1, max_size=5),
)
def test_history_is_the_rows_wherever_it_was_sealed(
    database: Database, sizes: list[int], runs: int, sealed: int, spans: list[tuple[int, int]]
) -> None:
    numbers = write(database, sizes, runs)
    seal(database, sealed)
    for run in numbers:
        rows = [(each.position, each.decode()) for each in records_of(database, run)]
        assert placed(database, run, 0, 2**62) == rows
        for after, upto in spans:
            assert placed(database, run, after, upto) == [pair for pair in rows if after < pair[0] <= upto]


def test_two_that_seal_at_once_make_one_chain(database: Database) -> None:
    write(database, [1] * (4 * SMALL - 1))
    first: list[Segment] = []
    original = segments.digest_of

    def slower(segment: Segment) -> bytes:
        if not first:
            first.append(segment)
            assert seal(database) == 4  # somebody else, meanwhile
        return original(segment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "digest_of", slower)
        seal(database)
    found = list(read_segments(database))
    assert [each.segment for each in found] == [0, 1, 2, 3]
    digest = bytes(32)
    for each in found:
        assert fault_of(each, digest) is None
        digest = each.digest
