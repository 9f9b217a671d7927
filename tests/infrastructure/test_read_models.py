"""The read models are the fold of the log, each record once, whatever the batch, the crash or the company."""

from collections.abc import Callable, Sequence
from random import Random
from threading import Event as Signal
from threading import Thread
from time import sleep
from typing import Any, cast

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import IntegrityError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from psycopg.rows import tuple_row

from domain.account.events import OrderFilled, OrderIntended, RiskPassed
from domain.errors import StoreError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.projection_batches import ProjectionTracking
from infrastructure.projection_stops import find_stops
from infrastructure.read_models import position_of, rows_of, update, update_all
from infrastructure.row_rebuild import Difference, differences, rebuild
from infrastructure.row_tables import PostgresRows, columns_of
from projections.catalogue import PROJECTIONS
from projections.fills import FILLS, FillRow
from projections.orders import ORDERS, OrderRow
from projections.portfolio import PORTFOLIO
from projections.positions import PoolRow
from projections.rows import Context, Fold, MemoryRows, Projection, Row, Rows, fold_records, key_getter
from tests.projections.story import random_story

ROW_TYPES: list[type[Row]] = [row_type for projection in PROJECTIONS for row_type in projection.tables]


def keep(database: Database, records: Sequence[Record[Event]]) -> int:
    """Keep a run of its own; return its number."""
    ledger = PostgresLedger.begin(database, RunOpening("test", "backtest", {}), Time(1))
    ledger.append(list(records))
    ledger.flush()
    return ledger.run


def story(seed: int = 7, steps: int = 60) -> list[Record[Event]]:
    return random_story(Random(seed), steps).records


def folded(records: Sequence[Record[Event]]) -> dict[str, list[Row]]:
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, records)
    return {row_type.table: sorted(rows.all(row_type), key=key_getter(row_type)) for row_type in ROW_TYPES}


def stored(database: Database, run: int) -> dict[str, list[Row]]:
    return {
        row_type.table: sorted(rows_of(database, row_type, run), key=key_getter(row_type)) for row_type in ROW_TYPES
    }


def ask(database: Database, statement: str, *parameters: object) -> list[Any]:
    with (
        database.datastore.get_connection() as connection,
        connection.cursor(row_factory=tuple_row) as cursor,
    ):
        cursor.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def with_fold(projection: Projection, event: type[Event], wrap: Callable[[Fold], Fold]) -> Projection:
    """The projection with one of its folds replaced."""
    return structs.replace(projection, folds={**projection.folds, event: wrap(projection.folds[event])})


def at_call(number: int, trouble: Callable[[], None]) -> Callable[[Fold], Fold]:
    """Make trouble before a fold's n-th call, once."""
    calls = 0

    def wrap(fold: Fold) -> Fold:
        def folding(rows: Rows, context: Context, event: Event) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                trouble()
            fold(rows, context, event)

        return folding

    return wrap


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_table_is_its_row(database: Database, row_type: type[Row]) -> None:
    found = ask(
        database,
        "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
        row_type.table,
    )
    assert found == [
        ("run", "bigint", False),
        *((column.name, column.type, column.nullable) for column in columns_of(row_type)),
    ]
    [(key,)] = ask(
        database,
        "SELECT array_agg(attname::text ORDER BY array_position(conkey, attnum)) FROM pg_constraint"
        " JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY(conkey)"
        " WHERE contype = 'p' AND conrelid = %s::regclass",
        row_type.table,
    )
    assert tuple(key) == ("run", *row_type.key)


def test_a_row_holds_nothing_else() -> None:
    bad = msgspec.defstruct("Bad", [("weight", float)], frozen=True)
    with pytest.raises(TypeError, match=r"Bad\.weight is <class 'float'>"):
        columns_of(cast("type[Row]", bad))


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "get", "get", "flush", "reopen"]), st.integers(0, 2), st.integers(0, 99)),
    min_size=4,
    max_size=20,
)


OVERWRITE: list[Step] = [("put", 0, 1), ("reopen", 0, 0), ("put", 0, 2), ("get", 1, 0), ("get", 0, 0)]
"""What was put is newer than what a table read afterwards says."""


@given(steps=steps, kept_rows=st.integers(0, 3))
@example(steps=OVERWRITE, kept_rows=3)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_in_postgres_behave_as_rows_in_memory(database: Database, steps: list[Step], kept_rows: int) -> None:
    with (
        database.datastore.get_connection() as connection,
        connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        connection.transaction(force_rollback=True),
    ):
        memory, rows, other = MemoryRows(), *(PostgresRows(cursor, run, kept_rows=kept_rows) for run in (1, 2))
        for kind, key, value in steps:
            if kind == "put":
                row = PoolRow("main", "BTC/USDT", "dca", key, quantity=value)
                memory.put(row)
                rows.put(row)
            elif kind == "get":
                expected = memory.get(PoolRow, "main", "BTC/USDT", "dca", key)
                assert rows.get(PoolRow, "main", "BTC/USDT", "dca", key) == expected
                assert other.get(PoolRow, "main", "BTC/USDT", "dca", key) is None
            else:
                rows.flush()
                if kind == "reopen":
                    rows = PostgresRows(cursor, 1, kept_rows=kept_rows)


# --- update ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "kept_rows"), [(1, 0), (1, 5000), (2, 3), (7, 0), (1000, 5000)])
def test_rows_are_the_fold_whatever_the_batch(database: Database, batch: int, kept_rows: int) -> None:
    records = story()
    run = keep(database, records)
    for projection in PROJECTIONS:
        update(database, projection, batch, kept_rows)
    assert stored(database, run) == folded(records)


def test_runs_do_not_touch_each_other(database: Database) -> None:
    first, second = story(1), story(2)
    ledgers = [PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1), 1) for _ in range(2)]
    for pair in zip(first, second, strict=False):
        for ledger, record in zip(ledgers, pair, strict=True):
            ledger.append([record])
    for ledger in ledgers:
        ledger.flush()
    length = min(len(first), len(second))
    update_all(database, batch=5)
    assert stored(database, ledgers[0].run) == folded(first[:length])
    assert stored(database, ledgers[1].run) == folded(second[:length])


def test_update_goes_on_where_it_was(database: Database) -> None:
    records = story()
    ledger = PostgresLedger.begin(database, RunOpening("test", "live", {}), Time(1), 1)
    for start in range(0, len(records), 20):
        ledger.append(records[start : start + 20])
        ledger.flush()
        update_all(database)
    assert stored(database, ledger.run) == folded(records)
    [(last,)] = ask(database, "SELECT max(position) FROM records")
    assert {position_of(database, projection) for projection in PROJECTIONS} == {last}


def test_nothing_to_fold_is_no_step(database: Database) -> None:
    assert update(database, ORDERS) == 0
    assert position_of(database, ORDERS) == 0
    keep(database, story(steps=5))
    reached = update(database, ORDERS)
    assert update(database, ORDERS) == reached > 0


def test_library_reads_the_tracking(database: Database) -> None:
    keep(database, story(steps=5))
    reached = update(database, FILLS)
    tracking = ProjectionTracking(database.datastore)
    assert tracking.max_tracking_id("fills.v1") == reached
    assert tracking.max_tracking_id("__migration__") == 1
    assert tracking.has_tracking_id("fills.v1", reached)
    tracking.wait("fills.v1", reached, timeout=1)


def test_tracking_moves_forward_only(database: Database) -> None:
    tracking = ProjectionTracking(database.datastore)
    with database.datastore.transaction(commit=True) as cursor:
        tracking.advance(cursor, "fills.v1", 7)
    for position in (7, 6):
        with pytest.raises(IntegrityError), database.datastore.transaction(commit=True) as cursor:
            tracking.advance(cursor, "fills.v1", position)


def test_projections_go_on_together(database: Database) -> None:
    """Whoever looks while rows are folded sees all of them at one position, whatever the batch."""
    run = keep(database, story(1))
    update_all(database, batch=5)
    keep(database, story(2))
    seen: list[set[int]] = []

    def look() -> None:
        seen.append({position_of(database, projection) for projection in PROJECTIONS})

    watched = with_fold(
        PORTFOLIO, OrderFilled, lambda fold: at_call(1, look)(at_call(9, look)(at_call(25, look)(fold)))
    )
    update_all(database, [watched if each is PORTFOLIO else each for each in PROJECTIONS], batch=5)
    look()
    assert [len(positions) for positions in seen] == [1, 1, 1, 1]
    assert len(set().union(*seen)) > 2
    assert stored(database, run) == folded(story(1))


@given(behind=st.lists(st.sampled_from([each.name for each in PROJECTIONS]), max_size=8), batch=st.integers(1, 40))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_projections_that_were_apart_come_together(
    make_database: Callable[[], Any], behind: list[str], batch: int
) -> None:
    """Each has every record once, wherever it stood."""
    named = {each.name: each for each in PROJECTIONS}
    with make_database() as database:
        records = story(steps=20)
        ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1), 1)
        for start, name in enumerate(behind):
            ledger.append(records[start * 5 : start * 5 + 5])
            ledger.flush()
            update(database, named[name], batch)
        ledger.append(records[len(behind) * 5 :])
        ledger.flush()
        update_all(database, batch=batch)
        assert stored(database, ledger.run) == folded(records)
        assert len({position_of(database, projection) for projection in PROJECTIONS}) == 1


# --- crashes and company ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 4, 11])
def test_a_lost_connection_loses_a_batch_whole(database: Database, superuser_url: str, number: int) -> None:
    records = story()
    run = keep(database, records)

    def cut() -> None:
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )

    cut_off = with_fold(PORTFOLIO, OrderFilled, at_call(number, cut))
    with pytest.raises(StoreError, match="projection portfolio cannot be brought up to date"):
        update(database, cut_off, batch=7, kept_rows=0)
    update_all(database)
    assert stored(database, run) == folded(records)


def test_a_crash_between_batches_loses_nothing(database: Database) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    records = story()
    run = keep(database, records)
    for number in (1, 5, 9):
        with pytest.raises(Killed):
            update(database, with_fold(PORTFOLIO, OrderFilled, at_call(number, kill)), batch=2)
    update_all(database, batch=3)
    assert stored(database, run) == folded(records)


def test_two_runners_take_turns(database: Database) -> None:
    records = story(steps=120)
    run = keep(database, records)
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            update(database, PORTFOLIO, batch=1)
            update(database, ORDERS, batch=3)
        except BaseException as error:  # noqa: BLE001  (a thread's failure is the test's)
            troubles.append(error)

    runners = [Thread(target=work) for _ in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not troubles
    expected = folded(records)
    for row_type in (*PORTFOLIO.tables, *ORDERS.tables):
        assert stored(database, run)[row_type.table] == expected[row_type.table]


# --- what cannot be folded -------------------------------------------------------------------------------------------


def broken(rows: Rows, context: Context, event: Event) -> None:
    raise KeyError("planted")


def test_an_event_that_cannot_be_folded_stops_its_projection_alone(database: Database) -> None:
    records = story()
    run = keep(database, records)
    poisoned = with_fold(ORDERS, OrderFilled, lambda _: broken)
    [(position,)] = ask(
        database,
        "SELECT min(position) FROM records WHERE position(convert_to('order_filled.v1', 'UTF8') IN state) > 0",
    )
    expected = rf"projection orders stopped at position {position} of run {run}, account\.order_filled\.v1: 'planted'"
    with pytest.raises(StoreError, match=expected):
        update_all(database, [poisoned, FILLS, PORTFOLIO], batch=1)
    found = stored(database, run)
    assert found["fills"] == folded(records)["fills"]
    assert found["pools"] == folded(records)["pools"]
    assert 0 < position_of(database, ORDERS) < position
    update(database, ORDERS)
    assert stored(database, run)["orders"] == folded(records)["orders"]


def too_much(database: Database, projection: Projection) -> tuple[int, int]:
    """Keep a story with one fill that is worth more than a row holds; return the run and that record's position."""
    records = story(steps=30)
    large = next(place for place in range(20, len(records)) if isinstance(records[place].events[0], OrderFilled))
    fill = cast("OrderFilled", records[large].events[0])
    dear = structs.replace(fill, cash=cast("Any", 2**63))
    records[large] = structs.replace(records[large], events=(dear, *records[large].events[1:]))
    run = keep(database, records)
    [(position,)] = ask(
        database, "SELECT position FROM records WHERE run = %s ORDER BY position OFFSET %s LIMIT 1", run, large + 1
    )
    assert find_stops(database) == []
    return run, position


@pytest.mark.parametrize("batch", [1, 7, 5000])
def test_an_amount_beyond_a_row_stops_the_projection_where_it_is_and_says_so(database: Database, batch: int) -> None:
    run, position = too_much(database, FILLS)
    with pytest.raises(StoreError) as raised:
        update_all(database, batch=batch)
    [(before,)] = ask(database, "SELECT max(position) FROM records WHERE position < %s", position)
    stops = {stop.projection: stop for stop in find_stops(database)}
    assert {"fills", "orders"} <= stops.keys() < {each.name for each in PROJECTIONS}
    assert {stop.position for stop in stops.values()} == {before}
    for stop in stops.values():
        assert stop.reason.startswith(f"projection {stop.projection} stopped at position {position} of run {run}: ")
        assert stop.reason in str(raised.value)
    assert f"cash is {2**63}; a row holds at most {2**63 - 1}" in stops["fills"].reason
    [(last,)] = ask(database, "SELECT max(position) FROM records")
    assert {position_of(database, each) for each in PROJECTIONS if each.name not in stops} == {last}


def test_a_stopped_projection_tries_one_record_each_time_and_goes_on_when_it_can(database: Database) -> None:
    records = story()
    run = keep(database, records)
    calls: list[int] = []

    def counted(fold: Fold) -> Fold:
        def folding(rows: Rows, context: Context, event: Event) -> None:
            calls.append(context.version)
            if len(calls) > 3:
                raise KeyError("planted")
            fold(rows, context, event)

        return folding

    poisoned = with_fold(ORDERS, OrderFilled, counted)
    for _ in range(2):
        with pytest.raises(StoreError, match="planted"):
            update_all(database, [poisoned, FILLS])
        [stop] = find_stops(database)
        assert (stop.projection, stop.position) == ("orders", position_of(database, ORDERS))
    before = len(calls)
    with pytest.raises(StoreError, match="planted"):
        update_all(database, [poisoned, FILLS])
    assert len(calls) == before + 1
    update_all(database)
    assert find_stops(database) == []
    assert stored(database, run) == folded(records)


def test_rows_that_cannot_be_folded_anew_are_not_tried_again_until_somebody_rebuilds(database: Database) -> None:
    run = keep(database, story())
    update_all(database)
    calls: list[int] = []

    def counted(_: Fold) -> Fold:
        def folding(rows: Rows, context: Context, event: Event) -> None:
            calls.append(context.version)
            raise KeyError("planted")

        return folding

    poisoned = structs.replace(with_fold(ORDERS, OrderFilled, counted), schema_version=9)
    reached = position_of(database, ORDERS)
    for _ in range(3):
        with pytest.raises(StoreError, match="order_filled"):
            update_all(database, [poisoned])
        assert len(calls) == 1
    [stop] = find_stops(database)
    assert (stop.projection, stop.schema_version, stop.position) == ("orders", 9, reached)
    mended = structs.replace(ORDERS, schema_version=9)
    rebuild(database, [mended])
    update_all(database, [mended])
    assert find_stops(database) == []
    assert stored(database, run)["orders"] == folded(story())["orders"]


def test_a_later_event_of_a_record_has_a_position_of_its_own(database: Database) -> None:
    run = keep(database, story())
    [(position,)] = ask(
        database,
        "SELECT min(position) FROM records WHERE position(convert_to('risk_passed.v1', 'UTF8') IN state) > 0",
    )
    with pytest.raises(StoreError, match=f"position {position + 1} of run {run}, account.risk_passed.v1"):
        update(database, structs.replace(ORDERS, folds={RiskPassed: broken}))


def test_bytes_that_are_no_record_stop_the_projection(database: Database, superuser_url: str) -> None:
    run = keep(database, story(steps=5))
    with psycopg.connect(superuser_url) as superuser:
        superuser.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        superuser.execute("UPDATE records SET state = 'x' WHERE position = 3")
    with pytest.raises(StoreError, match=f"projection fills stopped: the record at position 3 of run {run}"):
        update(database, FILLS)


# --- rebuild and differences -----------------------------------------------------------------------------------------


def tamper(database: Database, run: int) -> None:
    ask(database, "UPDATE orders SET status = 'DENIED', filled = filled + 1 WHERE run = %s AND \"order\" = %s", run, 1)
    ask(database, 'DELETE FROM orders WHERE run = %s AND "order" = %s', run, 2)
    ask(
        database,
        "INSERT INTO orders SELECT o.* FROM orders x, jsonb_populate_record(x, '{\"order\": 999}') o"
        ' WHERE x.run = %s AND x."order" = %s',
        run,
        1,
    )


def two_orders() -> list[Record[Event]]:
    records = story(steps=80)
    numbers = [event.order for record in records for event in record.events if isinstance(event, OrderIntended)]
    renumbered = {number: place for place, number in enumerate(numbers, 1)}
    return [
        structs.replace(
            record,
            events=tuple(
                structs.replace(event, order=renumbered[event.order]) if hasattr(event, "order") else event
                for event in record.events
            ),
        )
        for record in records
    ]


@pytest.mark.parametrize("kept_rows", [0, 5000])
def test_differences_are_named_and_nothing_is_written(database: Database, kept_rows: int) -> None:
    records = two_orders()
    run = keep(database, records)
    update_all(database)
    assert differences(database, PROJECTIONS, 7, kept_rows) == []
    tamper(database, run)
    before = stored(database, run)
    [first, second, third] = differences(database, [ORDERS], 7, kept_rows)
    order = rows_of(database, OrderRow, run)[0]
    right = folded(records)["orders"][0]
    assert isinstance(right, OrderRow)
    fields = {"status": ("DENIED", right.status), "filled": (order.filled, right.filled)}
    assert first == Difference("orders", run, ("main", 1), "changed", fields)
    assert second == Difference("orders", run, ("main", 2), "missing", {})
    assert third == Difference("orders", run, ("main", 999), "extra", {})
    assert stored(database, run) == before
    assert differences(database, [FILLS]) == []


def test_differences_are_with_the_log_up_to_where_the_rows_claim_to_be(database: Database) -> None:
    keep(database, story(1))
    update_all(database)
    keep(database, story(2))
    assert differences(database, [PORTFOLIO]) == []


def test_rows_without_tracking_are_extra(database: Database) -> None:
    run = keep(database, two_orders())
    update(database, FILLS)
    ask(database, "DELETE FROM notification_tracking WHERE application_name = 'fills.v1'")
    found = differences(database, [FILLS])
    assert [difference.kind for difference in found] == ["extra"] * len(rows_of(database, FillRow, run))


@pytest.mark.parametrize(("batch", "kept_rows"), [(1, 0), (7, 3), (5000, 5000)])
def test_rebuild_puts_right_what_differs(database: Database, batch: int, kept_rows: int) -> None:
    records = two_orders()
    run = keep(database, records)
    update_all(database)
    tamper(database, run)
    reached = position_of(database, ORDERS)
    assert rebuild(database, [ORDERS], batch, kept_rows).reached == {"orders": reached}
    assert stored(database, run) == folded(records)
    assert differences(database, [ORDERS]) == []


def test_rebuild_from_nothing_is_an_update(database: Database) -> None:
    records = story()
    run = keep(database, records)
    rebuild(database, batch=7)
    assert stored(database, run) == folded(records)
    assert update(database, PORTFOLIO) == position_of(database, PORTFOLIO)


def test_rebuild_waits_for_runners_and_catches_up_with_them(database: Database) -> None:
    """One runner holds the lock, the next one waits for it, the rebuild behind both: then there is more to fold."""
    records = story()
    run = keep(database, records)
    holding, done = Signal(), Signal()

    def hold() -> None:
        holding.set()
        done.wait(timeout=30)

    slow = with_fold(PORTFOLIO, OrderFilled, at_call(1, hold))
    threads = [Thread(target=update, args=(database, slow, 5000))]
    threads[0].start()
    assert holding.wait(timeout=30)
    works: list[Callable[[], object]] = [lambda: update(database, PORTFOLIO), lambda: rebuild(database, [PORTFOLIO])]
    for waiting, work in enumerate(works, 1):
        threads.append(Thread(target=work))
        threads[-1].start()
        wait_for_locks(database, waiting)
    more = keep(database, story(2))
    done.set()
    for thread in threads:
        thread.join()
    assert stored(database, run)["pools"] == folded(records)["pools"]
    assert stored(database, more)["pools"] == folded(story(2))["pools"]
    assert differences(database, [PORTFOLIO]) == []


def wait_for_locks(database: Database, count: int) -> None:
    """Wait until so many wait for an advisory lock; a test that waits for ever is stopped by its time limit."""
    while ask(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != [(count,)]:
        sleep(0.01)


def test_differences_are_of_one_moment(database: Database) -> None:
    keep(database, story(1))
    update_all(database)

    def go_on() -> None:
        keep(database, story(2))
        update_all(database)

    assert differences(database, [with_fold(PORTFOLIO, OrderFilled, at_call(5, go_on))]) == []
    assert differences(database, [PORTFOLIO]) == []


def test_rebuild_catches_up_with_what_came_meanwhile(database: Database) -> None:
    run = keep(database, story(1))
    update_all(database)
    more: list[int] = []

    def go_on() -> None:
        more.append(keep(database, story(2)))
        update_all(database)

    rebuilt = rebuild(database, [with_fold(PORTFOLIO, OrderFilled, at_call(5, go_on))])
    assert rebuilt.reached["portfolio"] == position_of(database, PORTFOLIO) == update(database, PORTFOLIO)
    assert stored(database, run) == folded(story(1))
    assert stored(database, more[0]) == folded(story(2))


def test_rebuild_that_fails_leaves_the_rows(database: Database) -> None:
    run = keep(database, story())
    update_all(database)
    before = stored(database, run)
    rebuilt = rebuild(database, [with_fold(ORDERS, OrderFilled, lambda _: broken)])
    assert not rebuilt.reached
    assert "projection orders stopped" in str(rebuilt.stopped["orders"])
    assert stored(database, run) == before


def test_rows_of_an_older_fold_are_folded_anew(database: Database) -> None:
    records = story()
    run = keep(database, records)
    update_all(database)

    def without_fills(rows: Rows, context: Context, event: Event) -> None:
        """A newer fold, which counts no fills."""

    newer = structs.replace(with_fold(ORDERS, OrderFilled, lambda _: without_fills), schema_version=3)
    more = keep(database, story(3))
    update(database, newer)
    assert {row.filled for row in rows_of(database, OrderRow, run)} == {0}
    assert len(rows_of(database, OrderRow, more)) == len(folded(story(3))["orders"])
    assert ask(database, "SELECT application_name FROM notification_tracking WHERE application_name ^@ 'orders'") == [
        ("orders.v3",)
    ]
    for refused in (lambda: update(database, ORDERS), lambda: rebuild(database), lambda: differences(database)):
        with pytest.raises(StoreError, match="schema version 3, newer than this Truetape's 2; upgrade Truetape"):
            refused()


def test_readers_see_the_old_rows_until_a_rebuild_is_done(database: Database) -> None:
    run = keep(database, story())
    update_all(database)
    ask(database, "UPDATE pools SET realized = 12345")
    seen: list[int] = []

    def look() -> None:
        seen.extend(pool.realized for pool in rows_of(database, PoolRow, run))

    rebuild(database, [with_fold(PORTFOLIO, OrderFilled, at_call(5, look))])
    assert set(seen) == {12345}
    assert 12345 not in {pool.realized for pool in rows_of(database, PoolRow, run)}
