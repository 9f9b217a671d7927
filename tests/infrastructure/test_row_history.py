"""The history of rows tells what every row was at any position, whatever the segments, the batch, the crash or the company."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from threading import Thread
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from psycopg.rows import tuple_row

from domain.account.events import OrderFilled
from domain.errors import MissingError, StoreError
from domain.message import Event, Record
from domain.values import Time
from infrastructure import row_views
from infrastructure.event_store import segments
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.event_store.segments import seal
from infrastructure.projection_stops import find_stops
from infrastructure.row_history import begin_anew, keep_history
from infrastructure.row_overlay import OverlaidRows
from infrastructure.row_past import Past
from infrastructure.row_queries import FoldedRows, Page, RowSource, Unequal
from infrastructure.row_tables import columns_of
from infrastructure.row_versions import STANDING, VersionedRows, history_table
from infrastructure.row_views import AsOf, Views
from projections.catalogue import PROJECTIONS
from projections.orders import ORDERS, OrderRow
from projections.portfolio import PORTFOLIO
from projections.positions import PoolRow
from projections.rows import MemoryRows, Row, fold_records, key_getter
from tests.api.reading import records
from tests.domain.test_laws import Play, plays
from tests.infrastructure.test_read_models import at_call, with_fold
from tests.projections.story import random_story

ROW_TYPES: list[type[Row]] = [row_type for projection in PROJECTIONS for row_type in projection.tables]
SMALL = 8
"""Records of a segment in these tests."""


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", SMALL)


def keep(database: Database, records: list[Record[Event]]) -> int:
    """Put records on the log as a run of their own; return the position of its last event."""
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1))
    ledger.append(list(records))
    ledger.flush()
    return row_views.log_end(database)


def story(seed: int = 7, steps: int = 60) -> list[Record[Event]]:
    return random_story(Random(seed), steps).records


def ask(database: Database, statement: str, *parameters: object) -> list[Any]:
    with database.datastore.get_connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def versions(database: Database) -> dict[str, list[Any]]:
    return {
        row_type.table: sorted(ask(database, f"SELECT * FROM {history_table(row_type)}"), key=str)
        for row_type in ROW_TYPES
    }


def folded(records: list[Record[Event]], first: int, position: int) -> FoldedRows:
    """All rows as of a position, by folding everything: what history is held against."""
    rows = MemoryRows()
    for record in records:
        events = record.events[: position - first + 1] if position >= first else ()
        fold_records(PROJECTIONS, rows, [structs.replace(record, events=events)])
        first += len(record.events)
    return FoldedRows(rows)


def questions(rows: RowSource, row_type: type[Row], chance: Random) -> Iterator[tuple[Any, ...]]:
    """Whole, by key, filtered by what a row has, page by page, and in sums."""
    found = rows.some(row_type, {})
    names = [column.name for column in columns_of(row_type)]
    numbers = [column.name for column in columns_of(row_type) if column.type == "bigint" and not column.nullable]
    yield ("some", {}, None)
    for row in chance.sample(found, min(3, len(found))):
        name = chance.choice(names)
        value = getattr(row, name)
        yield ("one", *key_getter(row_type)(row))
        if value is not None:
            yield ("some", {name: value}, None)
            yield ("some", {name: value}, Page(row_type.key, limit=2))
            yield ("some", {name: (value,)}, Page(row_type.key, chance.random() < 0.5, None, chance.randint(1, 4)))
            if all(getattr(each, name) is not None for each in found):
                yield ("some", {name: Unequal(value)}, None)
        after = tuple(getattr(row, each) for each in row_type.key)
        yield ("some", {}, Page(row_type.key, chance.random() < 0.5, after, chance.randint(1, 4)))
        if numbers:
            where = {} if value is None else {name: value}
            added = chance.sample(numbers, min(2, len(numbers)))
            by = chance.randint(1, len(row_type.key))
            limit = chance.choice((None, 1, 2, 5))
            for page in (
                Page(row_type.key[:by], chance.random() < 0.5, None, limit),
                Page(row_type.key[:by], False, after[:by], 2),
            ):
                yield ("sums", added, chance.choice(({}, where)), page)


def compare(
    database: Database, expected: RowSource, position: int, chance: Random, row_types: list[type[Row]] = ROW_TYPES
) -> None:
    with Views(database).open(row_types, AsOf(position=position)) as view:
        for row_type in row_types:
            for method, *asked in questions(expected, row_type, chance):
                answer = getattr(view.rows, method)(row_type, *asked)
                assert answer == getattr(expected, method)(row_type, *asked), (position, row_type, method, asked)


def compare_everywhere(database: Database, records: list[Record[Event]], chance: Random, count: int = 3) -> None:
    """Keep the records, fold the history of some of them, and ask at random positions."""
    before = row_views.log_end(database)
    last = keep(database, records)
    seal(database, chance.choice((None, 1, 3)))
    with suppress(StoreError):
        keep_history(
            database, most=chance.choice((1, 100)), batch=chance.randint(1, 4), kept_rows=chance.choice((0, 3, 5000))
        )
    for position in (last, *(chance.randint(before + 2, last) for _ in range(count))):
        expected = folded(records, before + 2, position)
        filled = [row_type for row_type in ROW_TYPES if expected.some(row_type, {})]
        compare(database, expected, position, chance, chance.sample(filled, min(4, len(filled))))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plays(), st.integers(0, 2**32))
def test_the_past_is_what_the_log_says_of_the_engine(database: Database, play: Play, seed: int) -> None:
    compare_everywhere(database, play.ledger.records, Random(seed))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(5, 90))
def test_the_past_is_what_the_log_says_of_books(database: Database, seed: int, steps: int) -> None:
    compare_everywhere(database, story(seed, steps), Random(seed))


def _late(rows: VersionedRows, boundary: int) -> None:
    rows._fresh, fresh = {}, rows._fresh  # noqa: SLF001  (the planted bug forgets what a boundary should have marked)
    for row_type, changed in fresh.items():
        rows._marked.setdefault(row_type, []).append((boundary + 1, changed))  # noqa: SLF001


@pytest.mark.parametrize(
    ("owner", "bug"),
    [
        (OverlaidRows, ("_changed", lambda *_: {})),
        (OverlaidRows, ("_replaced", lambda *_: 0)),
        (Past, ("_records", lambda *_: iter(()))),
        (VersionedRows, ("mark", _late)),
    ],
    ids=["no overlay", "pages too short", "nothing since the boundary", "versions from the wrong position on"],
)
def test_the_law_finds_a_bug(
    database: Database, monkeypatch: pytest.MonkeyPatch, owner: type, bug: tuple[str, Any]
) -> None:
    happened = records()

    def look() -> None:
        for position in range(last // 2, last + 1, 3):
            compare(database, folded(happened, 2, position), position, Random(position), [OrderRow, PoolRow])

    monkeypatch.setattr(owner, *bug)
    last = keep(database, happened)
    seal(database)
    keep_history(database)
    with pytest.raises((AssertionError, MissingError)):
        look()


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_a_history_is_its_row_with_two_boundaries(database: Database, row_type: type[Row]) -> None:
    columns = (
        "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s"
    )
    rows, kept = (set(ask(database, columns, name)) for name in (row_type.table, history_table(row_type)))
    assert kept == rows | {("since", "bigint", False), ("until", "bigint", False)}


def test_versions_follow_one_another(database: Database) -> None:
    last = keep(database, story(steps=90))
    seal(database)
    reached = keep_history(database)
    assert last - 2 * SMALL < reached <= last
    for row_type in ROW_TYPES:
        key = ", ".join(f'"{name}"' for name in ("run", *row_type.key))
        spans = ask(database, f"SELECT {key}, since, until FROM {history_table(row_type)} ORDER BY {key}, since")
        standing = {span[:-2]: STANDING for span in spans}
        for *named, since, until in reversed(spans):
            assert since < until == standing[tuple(named)]
            standing[tuple(named)] = since
    assert ask(database, "SELECT count(*) > 20 FROM pools_history WHERE until < %s", STANDING) == [(True,)]


def test_a_row_that_stays_gets_no_version(database: Database) -> None:
    keep(database, story(steps=90))
    seal(database)
    keep_history(database)
    assert ask(database, "SELECT count(*) FROM instruments_history") == [(2,)]


@pytest.mark.parametrize(("batch", "most", "kept_rows"), [(1, 1, 0), (2, 1, 5), (5, 100, 5000)])
def test_the_same_history_in_any_batches(
    database: Database, make_database: Callable[[], Any], batch: int, most: int, kept_rows: int
) -> None:
    keep(database, story())
    seal(database)
    reached = keep_history(database)
    with make_database() as other:
        keep(other, story())
        seal(other)
        while keep_history(other, most=most, batch=batch, kept_rows=kept_rows) < reached:
            pass  # a batch at a time
        assert versions(other) == versions(database)


def test_a_crash_loses_a_batch_whole(database: Database, make_database: Callable[[], Any], superuser_url: str) -> None:
    keep(database, story())
    seal(database)

    def kill() -> None:
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )

    crashing = with_fold(PORTFOLIO, OrderFilled, at_call(12, kill))
    others = [each for each in PROJECTIONS if each is not PORTFOLIO]
    with pytest.raises(StoreError):
        keep_history(database, [*others, crashing], batch=1)
    kept = ask(database, "SELECT max(since) FROM pools_history")
    reached = keep_history(database, most=0)
    assert 0 < reached == kept[0][0]
    assert keep_history(database) > reached
    with make_database() as other:
        keep(other, story())
        seal(other)
        keep_history(other)
        assert versions(database) == versions(other)


def test_two_at_once_keep_one_history(database: Database, make_database: Callable[[], Any]) -> None:
    keep(database, story(steps=150))
    seal(database)
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            keep_history(database, batch=1)
        except BaseException as error:  # noqa: BLE001  (a thread's failure is the test's)
            troubles.append(error)

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    with make_database() as other:
        keep(other, story(steps=150))
        seal(other)
        keep_history(other)
        assert versions(database) == versions(other)


def test_a_changed_fold_ignores_what_the_old_one_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    records = story()
    last = keep(database, records)
    seal(database)
    keep_history(database)
    ask(database, "UPDATE orders_history SET reason = 'of the old fold'")
    newer = structs.replace(ORDERS, schema_version=ORDERS.schema_version + 1)
    everyone = tuple(newer if each is ORDERS else each for each in PROJECTIONS)
    monkeypatch.setattr("infrastructure.row_history.PROJECTIONS", everyone)

    def reasons() -> set[str | None]:
        with Views(database).open([OrderRow], AsOf(position=last)) as view:
            return {row.reason for row in view.rows.some(OrderRow, {})}

    assert "of the old fold" not in reasons()
    keep_history(database, everyone)
    assert "of the old fold" not in reasons()
    names = ask(
        database, "SELECT application_name FROM notification_tracking WHERE application_name ^@ 'orders.history'"
    )
    assert names == [(f"orders.history.v{newer.schema_version}",)]
    with pytest.raises(StoreError, match="newer than this Truetape"):
        keep_history(database)


def test_one_that_stops_is_named_and_the_others_go_on(database: Database) -> None:
    keep(database, story())
    seal(database)

    def refuse() -> None:
        raise ValueError("that cannot be")

    poisoned = with_fold(PORTFOLIO, OrderFilled, at_call(3, refuse))
    others = [each for each in PROJECTIONS if each is not PORTFOLIO]
    with pytest.raises(StoreError, match=r"portfolio\.history stopped at position \d+ of run 1, account\.order_filled"):
        keep_history(database, [*others, poisoned])
    (stop,) = find_stops(database)
    assert (stop.projection, stop.position) == ("portfolio.history", 0)
    assert ask(database, "SELECT count(*) FROM pools_history") == [(0,)]
    assert keep_history(database, others) > 0
    compare(database, folded(story(), 2, 50), 50, Random(1))
    keep_history(database)
    assert find_stops(database) == []


def test_begun_anew_it_is_the_same(database: Database) -> None:
    last = keep(database, story())
    seal(database)
    keep_history(database)
    kept = versions(database)
    ask(database, "UPDATE pools_history SET cost = cost + 1")
    views = Views(database)
    with views.open(ROW_TYPES, AsOf(position=last)) as view:
        view.rows.some(PORTFOLIO.tables[2], {})
    begin_anew(database)
    assert versions(database) == {table: [] for table in kept}
    with views.open(ROW_TYPES, AsOf(position=last)) as view:  # what was kept of the history in memory is not believed
        assert view.rows.some(PORTFOLIO.tables[2], {}) == folded(story(), 2, last).some(PORTFOLIO.tables[2], {})
    keep_history(database)
    assert versions(database) == kept


def test_without_a_log_there_is_no_history(database: Database) -> None:
    assert keep_history(database) == 0
    assert versions(database) == {row_type.table: [] for row_type in ROW_TYPES}
