"""Read models: the projections' rows in Postgres, each record in them exactly once.

A batch of records, the rows that it changed and the position of its last record are one transaction, under a lock of
each projection; so a crash loses a batch whole, and two runners take turns. All projections take a batch in the same
transaction, so that whoever reads the rows of several sees them at one position.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any, Literal, TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError
from msgspec import Struct
from psycopg.rows import TupleRow, tuple_row

from domain.errors import StoreError
from domain.values import LARGEST
from infrastructure.event_store.database import Database
from infrastructure.projection_batches import (
    Runs,
    advance,
    fold_batch,
    is_old,
    lock,
    read_positions,
    read_tracked,
    tracked_name,
)
from infrastructure.projection_stops import ProjectionStoppedError, Stop, find_stops, forget_stops, note_stop
from infrastructure.row_tables import KEPT_ROWS, SCHEMA, SHADOWS, Table, table_of
from projections import PROJECTIONS
from projections.rows import Projection, Row

BATCH = 5000
"""Records that one transaction folds."""
R = TypeVar("R", bound=Row)
Cursor = psycopg.Cursor[TupleRow]


class Difference(Struct, frozen=True):
    """A row that is not what the log says: missing, extra, or changed in these fields to (stored, folded)."""

    table: str
    run: int
    key: tuple[Any, ...]
    kind: Literal["missing", "extra", "changed"]
    fields: dict[str, tuple[Any, Any]]


def update(database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS) -> int:
    """Fold every record that this projection has not seen, whatever the others have; return the position it has reached.

    Raises StoreError where an event cannot be folded or the rows are of a newer program; rows of an older
    `schema_version` are folded anew. A projection that stops has taken in every record before the one that stops it.
    """
    first = size = batch
    stop = next((stop for stop in find_stops(database) if stop.projection == projection.name), None)
    if stop is not None:
        _stay_stopped(database, projection, stop)
        first = 1  # nearly always it stops again: that should cost one record
    while True:
        try:
            return _bring_forward(database, [projection], chain([first], repeat(size)), kept_rows)
        except ProjectionStoppedError as error:
            if error.records <= 1:
                if error.records:
                    note_stop(database, projection, position_of(database, projection), str(error))
                raise
            first = size = error.records // 2


def bring_forward(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> dict[str, StoreError]:
    """Update every projection, all of them in one transaction for each batch.

    One that stops does not stop the others: what stopped it is returned under its name.
    """
    apart = _apart(database, projections)
    going = [each for each in projections if each.name not in apart]
    while going:
        try:
            _bring_forward(database, going, repeat(batch), kept_rows)
            break
        except ProjectionStoppedError as error:
            apart.add(error.projection)
            going = [each for each in going if each.name != error.projection]
    stopped: dict[str, StoreError] = {}
    for projection in projections:
        if projection.name in apart:
            try:
                update(database, projection, batch, kept_rows)
            except StoreError as error:
                stopped[projection.name] = error
    return stopped


def update_all(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> None:
    """Bring every projection forward; raises StoreError with what has stopped those that had to."""
    stopped = list(bring_forward(database, projections, batch, kept_rows).values())
    if stopped:
        raise StoreError("\n".join(map(str, stopped))) from stopped[0]


def _bring_forward(database: Database, projections: Sequence[Projection], sizes: Iterator[int], kept_rows: int) -> int:
    """Fold batches of these sizes until there is nothing more to fold, and return the position of all.

    Those furthest behind go on together until they stand where the next ones do, and from there with them.
    """
    with _session(database, projections) as (connection, cursor):
        runs = {each.name: Runs(cursor, SCHEMA, kept_rows) for each in projections}
        while True:
            with connection.transaction():
                lock(cursor, projections)
                tracked = read_tracked(cursor, projections)
                old = [each for each in projections if is_old(each, tracked[each.name])]
                if old:
                    _fold_anew(database, cursor, old[0], kept_rows)
                    continue
                reached = {each.name: tracked[each.name].get(each.schema_version, 0) for each in projections}
                lowest = min(reached.values())
                behind = [each for each in projections if reached[each.name] == lowest]
                stop = min((position for position in reached.values() if position > lowest), default=LARGEST)
                for each in behind:
                    runs[each.name].go_to(lowest)
                position = fold_batch(cursor, [(each, runs[each.name]) for each in behind], next(sizes), stop)
                if position is None:
                    return lowest
                for each in behind:
                    advance(database, cursor, each, position)
                forget_stops(cursor, behind)


def _apart(database: Database, projections: Sequence[Projection]) -> set[str]:
    """The names of those that cannot go on with the others: stopped, or their rows of another fold."""
    apart = {stop.projection for stop in find_stops(database)}
    with _session(database, projections) as (_, cursor):
        found = read_positions(cursor)
    return apart | {each.name for each in projections if is_old(each, found.get(each.name, {}))}


def _stay_stopped(database: Database, projection: Projection, stop: Stop) -> None:
    """Where the rows could not be folded anew, do not try the whole log again each time."""
    with _session(database, [projection]) as (_, cursor):
        old = is_old(projection, read_tracked(cursor, [projection])[projection.name])
    if old and stop.schema_version == projection.schema_version:
        reason = f"{stop.reason}; once that is mended: truetape projections rebuild"
        raise ProjectionStoppedError(projection.name, reason, 0)


def _fold_anew(database: Database, cursor: Cursor, projection: Projection, kept_rows: int) -> None:
    try:
        _rebuild(database, cursor, projection, BATCH, kept_rows)
    except ProjectionStoppedError as error:
        raise ProjectionStoppedError(projection.name, str(error), 1) from error


def rebuild(database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS) -> int:
    """Fold the log from its beginning beside the rows and put the new ones in their place; return the position."""
    with _session(database, [projection]) as (connection, cursor), connection.transaction():
        return _rebuild(database, cursor, projection, batch, kept_rows)


def differences(
    database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS
) -> list[Difference]:
    """Compare the rows with a fold of the log up to the position they claim; nothing is written."""
    with _session(database, [projection]) as (connection, cursor), connection.transaction(force_rollback=True):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        stop = max(read_tracked(cursor, [projection])[projection.name].values(), default=0)
        tables = _make_shadows(cursor, projection)
        folding = [(projection, Runs(cursor, SHADOWS, kept_rows))]
        while fold_batch(cursor, folding, batch, stop):
            pass  # each batch moves the rows on
        return [difference for table in tables for difference in _compare(cursor, table)]


def position_of(database: Database, projection: Projection) -> int:
    """The position of the last record in the projection's rows, 0 where there is none."""
    with _session(database, [projection]) as (_, cursor):
        return max(read_tracked(cursor, [projection])[projection.name].values(), default=0)


def rows_of(database: Database, row_type: type[R], run: int) -> list[R]:
    """Every row of a run, in the order of their keys."""
    table = table_of(row_type)
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            cursor.execute(table.select_ordered, [run])
            return [row_type(*row) for row in cursor]
    except PersistenceError as error:
        raise StoreError(f"{table.name} cannot be read: {error}") from error


@contextmanager
def _session(
    database: Database, projections: Sequence[Projection]
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Cursor[TupleRow]]]:
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            yield connection, cursor
    except PersistenceError as error:
        names = ", ".join(each.name for each in projections)
        raise StoreError(f"the rows of projection {names} cannot be brought up to date: {error}") from error


def _rebuild(database: Database, cursor: Cursor, projection: Projection, batch: int, kept_rows: int) -> int:
    """Inside a transaction: most of the log is folded before the lock, so that runners wait for the rest only."""
    tables = _make_shadows(cursor, projection)
    runs = Runs(cursor, SHADOWS, kept_rows)
    folding = [(projection, runs)]
    while fold_batch(cursor, folding, batch):
        pass  # each batch moves `runs` on
    lock(cursor, [projection])
    while fold_batch(cursor, folding, batch):
        pass  # what came meanwhile
    tracked = read_tracked(cursor, [projection])[projection.name]
    for table in tables:
        cursor.execute(table.clear)
        cursor.execute(table.fill_from_shadow)
        cursor.execute(table.drop_shadow)
    for version in tracked.keys() - {projection.schema_version}:
        cursor.execute(
            "DELETE FROM notification_tracking WHERE application_name = %s", [tracked_name(projection, version)]
        )
    if runs.position > tracked.get(projection.schema_version, 0):
        advance(database, cursor, projection, runs.position)
    forget_stops(cursor, [projection])
    return runs.position


def _make_shadows(cursor: Cursor, projection: Projection) -> list[Table]:
    """Empty temporary tables beside the projection's own, gone with the transaction."""
    tables = [table_of(row_type) for row_type in projection.tables]
    for table in tables:
        cursor.execute(table.make_shadow)
    return tables


def _compare(cursor: Cursor, table: Table) -> Iterator[Difference]:
    names = table.columns
    width = len(names)
    for row in cursor.execute(table.compare).fetchall():
        stored, folded = row[:width], row[width:]
        kind: Literal["missing", "extra", "changed"] = "changed"
        if stored[0] is None:
            kind = "missing"
        elif folded[0] is None:
            kind = "extra"
        known = folded if kind == "missing" else stored
        fields = {
            name: (before, after)
            for name, before, after in zip(names, stored, folded, strict=True)
            if kind == "changed" and before != after
        }
        yield Difference(table.name, known[0], tuple(known[1 : table.key_width]), kind, fields)
