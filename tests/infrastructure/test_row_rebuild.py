"""A rebuild gives the rows that the log says, from segments and rows alike, whoever else is at work and whatever stops it."""

import signal
import subprocess
import sys
from collections.abc import Callable
from random import Random
from threading import Event as Signal
from typing import Any, cast

import psycopg
import pytest
from msgspec import structs

from domain.account.events import OrderFilled
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.event_store.segments import SEGMENT_RECORDS, read_segments, seal
from infrastructure.key_filter import KeyFilter
from infrastructure.projection_batches import RUNS_KEPT
from infrastructure.read_models import ProjectionRunner, position_of, rows_of, update_all
from infrastructure.row_rebuild import differences, rebuild
from projections.catalogue import PROJECTIONS
from projections.fills import FILLS
from projections.orders import ORDERS
from projections.portfolio import PORTFOLIO
from projections.positions import PoolRow
from projections.rows import Context, MemoryRows, Projection, Rows, fold_records, key_getter
from tests.conftest import ROOT
from tests.projections.story import random_story

OPENING = RunOpening("test", "backtest", {})
ROW_TYPES = [row_type for projection in PROJECTIONS for row_type in projection.tables]


def story(seed: int, steps: int = 60) -> list[Record[Event]]:
    return random_story(Random(seed), steps).records


def keep(database: Database, records: list[Record[Event]]) -> int:
    ledger = PostgresLedger.begin(database, OPENING, Time(1))
    ledger.append(records)
    ledger.flush()
    return ledger.run


def ask(database: Database, statement: str, *parameters: object) -> list[Any]:
    with database.datastore.get_connection() as connection:
        cursor = connection.execute(statement.encode(), parameters)
        return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []


def stored(database: Database, run: int) -> dict[str, list[Any]]:
    return {
        row_type.table: sorted(rows_of(database, row_type, run), key=key_getter(row_type)) for row_type in ROW_TYPES
    }


def folded(records: list[Record[Event]]) -> dict[str, list[Any]]:
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, records)
    return {row_type.table: sorted(rows.all(row_type), key=key_getter(row_type)) for row_type in ROW_TYPES}


def poisoned(projection: Projection, trouble: Callable[[Rows, Context, Any], None]) -> list[Projection]:
    """All projections, one of them with this before its fold of a fill."""
    fold = projection.folds[OrderFilled]

    def folding(rows: Rows, context: Context, event: Event) -> None:
        trouble(rows, context, event)
        fold(rows, context, event)

    changed = structs.replace(projection, folds={**projection.folds, OrderFilled: folding})
    return [changed if each is projection else each for each in PROJECTIONS]


@pytest.mark.parametrize("kept_rows", [0, 3, 5000])
def test_sealed_segments_of_several_runs_and_the_rows_behind_them(database: Database, kept_rows: int) -> None:
    """More runs than are kept in memory, taking turns, the first ones met again in each later round."""
    ledgers = [PostgresLedger.begin(database, OPENING, Time(1), 40) for _ in range(RUNS_KEPT + 3)]
    histories = [story(seed, 220) for seed in range(len(ledgers))]
    assert sum(map(len, histories)) > SEGMENT_RECORDS + 100
    for start in range(0, max(map(len, histories)), 40):
        for ledger, records in zip(ledgers, histories, strict=True):
            ledger.append(records[start : start + 40])
            ledger.flush()
    assert seal(database) >= 1
    assert len(next(iter(read_segments(database))).runs) > RUNS_KEPT
    rebuild(database, batch=50, kept_rows=kept_rows)
    for ledger, records in zip(ledgers, histories, strict=True):
        assert stored(database, ledger.run) == folded(records)
    assert differences(database, kept_rows=kept_rows) == []
    update_all(database)
    assert differences(database) == []


def test_a_rebuild_writes_only_what_differs(database: Database) -> None:
    run = keep(database, story(1))
    update_all(database)
    before = dict(ask(database, "SELECT version, xmin::text FROM fills"))
    ask(database, "UPDATE fills SET cash = cash + 1 WHERE version = (SELECT min(version) FROM fills)")
    rebuild(database)
    after = dict(ask(database, "SELECT version, xmin::text FROM fills"))
    assert {version for version in after if after[version] != before[version]} == {min(after)}
    assert stored(database, run) == folded(story(1))


def test_an_event_that_cannot_be_folded_stops_one_projection_of_a_rebuild_and_is_named(database: Database) -> None:
    records = story(1)
    run = keep(database, records)
    rebuild(database)
    for table in ("orders", "fills"):
        ask(database, f"UPDATE {table} SET cash = cash + 1")
    before = stored(database, run)["orders"]
    [(position,)] = ask(
        database,
        "SELECT min(position) FROM records WHERE position(convert_to('order_filled.v1', 'UTF8') IN state) > 0",
    )

    def trouble(rows: Rows, context: Context, event: Event) -> None:
        raise KeyError("planted")

    rebuilt = rebuild(database, poisoned(ORDERS, trouble))
    assert rebuilt.stopped.keys() == {"orders"}
    assert f"position {position} of run {run}, account.order_filled.v1: 'planted'" in str(rebuilt.stopped["orders"])
    assert rebuilt.reached.keys() == {each.name for each in PROJECTIONS} - {"orders"}
    assert stored(database, run) == {**folded(records), "orders": before}


def test_an_amount_beyond_a_row_is_named_by_its_event_however_many_were_folded_with_it(database: Database) -> None:
    records = story(7)
    place = [number for number, each in enumerate(records) if isinstance(each.events[0], OrderFilled)][4]
    fill = cast("OrderFilled", records[place].events[0])
    dear = structs.replace(fill, cash=cast("Any", 2**63))
    records[place] = structs.replace(records[place], events=(dear, *records[place].events[1:]))
    run = keep(database, records)
    [(position,)] = ask(
        database, "SELECT position FROM records WHERE run = %s ORDER BY position OFFSET %s LIMIT 1", run, place + 1
    )
    rebuilt = rebuild(database)
    assert {"fills", "orders"} <= rebuilt.stopped.keys()
    for name, stop in rebuilt.stopped.items():
        assert str(stop).startswith(f"projection {name} stopped at position {position} of run {run}: ")
    assert rebuilt.reached
    assert f"cash is {2**63}; a row holds at most {2**63 - 1}" in str(rebuilt.stopped["fills"])


def test_a_runner_forgets_what_it_keeps_when_the_rows_are_written_anew(database: Database) -> None:
    """At the same position: only the transaction that wrote them tells the two apart."""
    records = story(1, 120)
    half, most = len(records) // 2, len(records) * 3 // 4
    ledger = PostgresLedger.begin(database, OPENING, Time(1), 1)
    runner = ProjectionRunner(database)

    def go_on(start: int, end: int) -> None:
        ledger.append(records[start:end])
        ledger.flush()
        assert runner.bring_forward() == {}

    go_on(0, half)
    ask(database, "UPDATE pools SET fees = fees + 7")
    runner = ProjectionRunner(database)
    go_on(half, most)
    reached = position_of(database, PORTFOLIO)
    assert differences(database, [PORTFOLIO]) != []
    rebuild(database)
    assert position_of(database, PORTFOLIO) == reached
    go_on(most, len(records))
    assert stored(database, ledger.run) == folded(records)


def test_two_runners_and_a_rebuild_that_keep_rows_in_memory_agree(database: Database) -> None:
    """Each finds that another has been there, whoever comes next."""
    records, chance = story(5, 150), Random(3)
    ledger = PostgresLedger.begin(database, OPENING, Time(1), 1)
    runners = [ProjectionRunner(database, batch=3, kept_rows=2), ProjectionRunner(database)]
    start = 0
    while start < len(records):
        step = chance.randint(1, 25)
        ledger.append(records[start : start + step])
        ledger.flush()
        start += step
        choice = chance.randrange(3)
        if choice == 2:
            rebuild(database, batch=10)
        else:
            assert runners[choice].bring_forward() == {}
    for runner in runners:
        assert runner.bring_forward() == {}
    assert stored(database, ledger.run) == folded(records)
    assert differences(database) == []


def test_a_runner_that_fails_does_not_believe_what_was_rolled_back(database: Database) -> None:
    records = story(1)
    run = keep(database, records)
    failing = Signal()

    def trouble(rows: Rows, context: Context, event: Event) -> None:
        if failing.is_set():
            raise KeyError("planted")

    runner = ProjectionRunner(database, poisoned(FILLS, trouble), batch=5)
    failing.set()
    assert runner.bring_forward().keys() == {"fills"}
    failing.clear()
    assert runner.bring_forward() == {}
    assert stored(database, run) == folded(records)


REBUILDING = """
import sys
from infrastructure.event_store.database import connect
from infrastructure.row_rebuild import rebuild
import infrastructure.row_rebuild as module

fill = module.note_rewritten
def told(cursor, projections):
    fill(cursor, projections)
    print("written", flush=True)
    sys.stdin.readline()
module.note_rewritten = told
with connect(sys.argv[1]) as database:
    rebuild(database)
"""


def test_a_rebuild_that_is_killed_leaves_the_rows_and_no_lock(database: Database) -> None:
    """Killed when every new row is written and nothing is committed."""
    run = keep(database, story(1))
    update_all(database)
    ask(database, "UPDATE pools SET realized = 12345")
    with subprocess.Popen(
        [sys.executable, "-c", REBUILDING, database.url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert {pool.realized for pool in rows_of(database, PoolRow, run)} == {12345}
    keep(database, story(2))
    update_all(database)
    assert differences(database, [FILLS, ORDERS]) == []
    assert {each.table for each in differences(database)} == {"pools"}
    assert rebuild(database).stopped == {}
    assert differences(database) == []


def test_an_unreadable_record_stops_a_rebuild_as_a_whole(database: Database, superuser_url: str) -> None:
    run = keep(database, story(1))
    with psycopg.connect(superuser_url) as superuser:
        superuser.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        superuser.execute("UPDATE records SET state = 'x' WHERE position = 3")
    with pytest.raises(Exception, match=f"the record at position 3 of run {run}"):
        rebuild(database)


def test_a_key_filter_has_what_was_added_and_hardly_anything_else() -> None:
    seen = KeyFilter([("main", number) for number in range(10_000)])
    assert all(("main", number) in seen for number in range(10_000))
    assert sum(("main", number) in seen for number in range(10_000, 20_000)) < 200
