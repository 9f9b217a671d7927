"""Rows made again from the log: folded beside those that are read meanwhile, and put in their place or held against them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow

from domain.errors import StoreError
from domain.values import LARGEST
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.projection_batches import (
    Batch,
    Folding,
    Runs,
    UnreadableError,
    advance_together,
    flush,
    fold_batch,
    lock,
    note_rewritten,
    read_batch,
    read_tracked,
    sealed_batches,
    session,
    tracked_name,
)
from infrastructure.projection_stops import ProjectionStoppedError, forget_stops
from infrastructure.row_tables import KEPT_ROWS, SHADOWS, Table, table_of
from projections.catalogue import PROJECTIONS
from projections.rows import Projection

BATCH = 5000
"""Records of the unsealed end that are read at a time; before it a sealed segment is."""
_FORGET = "DELETE FROM notification_tracking WHERE application_name = ANY(%s)"

Cursor = psycopg.Cursor[TupleRow]


class Difference(Struct, frozen=True):
    """A row that is not what the log says: missing, extra, or changed in these fields to (stored, folded)."""

    table: str
    run: int
    key: tuple[Any, ...]
    kind: Literal["missing", "extra", "changed"]
    fields: dict[str, tuple[Any, Any]]


class Rebuilt(Struct, frozen=True):
    """The position that each projection's rows were rebuilt to, and what stopped those that keep their old rows."""

    reached: Mapping[str, int]
    stopped: Mapping[str, StoreError]


def rebuild(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> Rebuilt:
    """Fold the log from its beginning beside the rows, all projections in one pass, and put the new rows in their place.

    Whoever reads the rows meanwhile sees the old ones, and then all the new ones. One whose fold stops keeps its rows; the
    others begin again without it. Raises StoreError where a record cannot be read or rows are of a newer program.
    """
    going, stopped = list(projections), dict[str, StoreError]()
    while going:
        try:
            with session(database, going) as (connection, cursor), connection.transaction():
                position = _rebuild(database, cursor, going, batch, kept_rows)
            return Rebuilt({each.name: position for each in going}, stopped)
        except UnreadableError:
            raise
        except ProjectionStoppedError as error:
            if not error.records:
                raise
            stopped[error.projection] = error
            going = [each for each in going if each.name != error.projection]
    return Rebuilt({}, stopped)


def fold_anew(database: Database, cursor: Cursor, projections: Sequence[Projection], kept_rows: int) -> None:
    """Inside a transaction: rebuild, all or none; raises ProjectionStoppedError."""
    try:
        _rebuild(database, cursor, projections, BATCH, kept_rows)
    except ProjectionStoppedError as error:
        raise ProjectionStoppedError(error.projection, str(error), 1) from error


def differences(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> list[Difference]:
    """Compare the rows with a fold of the log up to the position they claim; nothing is written."""
    with session(database, projections) as (connection, cursor), connection.transaction(force_rollback=True):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tracked = read_tracked(cursor, projections)
        claimed = {each.name: max(tracked[each.name].values(), default=0) for each in projections}
        for stop in sorted(set(claimed.values())):
            _Fold(cursor, [each for each in projections if claimed[each.name] == stop], kept_rows).go_on(
                database, batch, stop
            )
        tables = [table for each in projections for table in _tables(each)]
        for table in tables:
            cursor.execute(table.measure_shadow)
        return [difference for table in tables for difference in _compare(cursor, table)]


class _Fold:
    """A fold of the log into empty tables beside the projections' own, gone with the transaction."""

    def __init__(self, cursor: Cursor, projections: Sequence[Projection], kept_rows: int) -> None:
        for each in projections:
            for table in _tables(each):
                cursor.execute(table.make_shadow)
        self.position = 0
        self._cursor = cursor
        self._kept_rows = kept_rows
        self._folding = [Folding(each, Runs(cursor, SHADOWS, kept_rows, empty=True)) for each in projections]

    def go_on(self, database: Database, size: int, stop: int = LARGEST) -> None:
        """Fold to the end of the log, or to `stop`: what is sealed by the segment, at first, and then the rest."""
        if not self.position:
            for batch in sealed_batches(database, stop):
                self._take(batch)
        while batch_or_none := read_batch(self._cursor, self.position, size, stop):
            self._take(batch_or_none)

    def _take(self, batch: Batch) -> None:
        last = fold_batch(self._folding, batch)
        for each in self._folding:
            try:
                with self._cursor.connection.transaction(), self._cursor.connection.pipeline():
                    flush([each], batch, last)
            except ProjectionStoppedError:
                self._one_by_one(each.projection, batch)
                raise
        self.position = last

    def _one_by_one(self, projection: Projection, batch: Batch) -> None:
        """Find the record that a projection stops at, from the rows before the batch; raises ProjectionStoppedError."""
        folding = [Folding(projection, Runs(self._cursor, SHADOWS, self._kept_rows))]
        position = batch.position
        for run, state in zip(batch.runs, batch.states, strict=True):
            alone = Batch(position, [run], [state])
            flush(folding, alone, fold_batch(folding, alone))
            position += len(codec.decode(state, run, position).events)


def _rebuild(database: Database, cursor: Cursor, projections: Sequence[Projection], batch: int, kept_rows: int) -> int:
    """Inside a transaction: most of the log is folded before the lock, so that runners wait for the rest only."""
    read_tracked(cursor, projections)
    fold = _Fold(cursor, projections, kept_rows)
    fold.go_on(database, batch)
    lock(cursor, projections)
    fold.go_on(database, batch)  # what came meanwhile
    tracked = read_tracked(cursor, projections)
    for table in (table for each in projections for table in _tables(each)):
        for statement in (table.measure_shadow, table.delete_extra, table.take_over, table.drop_shadow):
            cursor.execute(statement)
    older = [
        tracked_name(each, version)
        for each in projections
        for version in tracked[each.name].keys() - {each.schema_version}
    ]
    cursor.execute(_FORGET, [older])
    note_rewritten(cursor, projections)
    ahead = [each for each in projections if fold.position > tracked[each.name].get(each.schema_version, 0)]
    if ahead:
        advance_together(cursor, ahead, fold.position)
    forget_stops(cursor, projections)
    return fold.position


def _tables(projection: Projection) -> list[Table]:
    return [table_of(row_type) for row_type in projection.tables]


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
