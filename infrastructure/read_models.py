"""Read models: the projections' rows in Postgres, each record in them exactly once.

A batch of records, the rows that it changed and the position of its last record are one transaction, under a lock of
the projection; so a crash loses a batch whole, and two runners take turns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from msgspec import Struct
from psycopg.rows import TupleRow, tuple_row

from domain.errors import StoreError
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.row_tables import KEPT_ROWS, SCHEMA, SHADOWS, PostgresRows, Table, table_of
from projections import PROJECTIONS
from projections.rows import Context, Projection, Row, Rows

BATCH = 5000
"""Records that one transaction folds."""
_LOCK = 0x7472_7565
"""The advisory locks of whoever writes a projection's rows; the projection's name is the second half of the key."""

_RECORDS = "SELECT position, run, state FROM records WHERE position > %s ORDER BY position LIMIT %s"
_TRACKED = "SELECT application_name, notification_id FROM notification_tracking WHERE starts_with(application_name, %s)"

R = TypeVar("R", bound=Row)
Cursor = psycopg.Cursor[TupleRow]


class Difference(Struct, frozen=True):
    """A row that is not what the log says: missing, extra, or changed in these fields to (stored, folded)."""

    table: str
    run: int
    key: tuple[Any, ...]
    kind: Literal["missing", "extra", "changed"]
    fields: dict[str, tuple[Any, Any]]


class ProjectionTracking(PostgresTrackingRecorder):
    """The library's tracking, moved inside a transaction of ours; its table is made by migrations."""

    def advance(self, cursor: psycopg.Cursor[Any], name: str, position: int) -> None:
        """Move a projection on; the library refuses any step that is not forward."""
        self._insert_tracking(cursor, Tracking(name, position))


class _Runs:
    """The rows of every run that a runner meets. What they keep in memory is true up to `position`."""

    def __init__(self, cursor: Cursor, schema: str, kept_rows: int) -> None:
        self.position = 0
        self._cursor = cursor
        self._schema = schema
        self._kept_rows = kept_rows
        self._of: dict[int, PostgresRows] = {}

    def of(self, run: int) -> PostgresRows:
        rows = self._of.get(run)
        if rows is None:
            rows = self._of[run] = PostgresRows(self._cursor, run, self._schema, self._kept_rows)
        return rows

    def flush(self) -> None:
        for rows in self._of.values():
            rows.flush()

    def go_to(self, position: int) -> None:
        """Forget what is kept, if somebody else has moved the projection there."""
        if position != self.position:
            self._of.clear()
            self.position = position


def update(database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS) -> int:
    """Fold every record that the projection has not seen; return the position it has reached.

    Raises StoreError where an event cannot be folded or the rows are of a newer program; rows of an older
    `schema_version` are folded anew.
    """
    with _session(database, projection) as (connection, cursor):
        runs = _Runs(cursor, SCHEMA, kept_rows)
        while True:
            with connection.transaction():
                _lock(cursor, projection)
                tracked = _tracked(cursor, projection)
                if tracked and projection.schema_version not in tracked:
                    _rebuild(database, cursor, projection, batch, kept_rows)
                    continue
                position = tracked.get(projection.schema_version, 0)
                runs.go_to(position)
                if not _fold_batch(cursor, projection, runs, batch):
                    return position
                _advance(database, cursor, projection, runs.position)


def update_all(database: Database, projections: Sequence[Projection] = PROJECTIONS, batch: int = BATCH) -> None:
    """Update every projection; one that stops does not stop the others, and is said at the end."""
    stopped: list[StoreError] = []
    for projection in projections:
        try:
            update(database, projection, batch)
        except StoreError as error:
            stopped.append(error)
    if stopped:
        raise StoreError("\n".join(map(str, stopped))) from stopped[0]


def rebuild(database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS) -> int:
    """Fold the log from its beginning beside the rows and put the new ones in their place; return the position."""
    with _session(database, projection) as (connection, cursor), connection.transaction():
        return _rebuild(database, cursor, projection, batch, kept_rows)


def differences(
    database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS
) -> list[Difference]:
    """Compare the rows with a fold of the log up to the position they claim; nothing is written."""
    with _session(database, projection) as (connection, cursor), connection.transaction(force_rollback=True):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        stop = max(_tracked(cursor, projection).values(), default=0)
        tables = _make_shadows(cursor, projection)
        runs = _Runs(cursor, SHADOWS, kept_rows)
        while _fold_batch(cursor, projection, runs, batch, stop):
            pass  # each batch moves `runs` on
        return [difference for table in tables for difference in _compare(cursor, table)]


def position_of(database: Database, projection: Projection) -> int:
    """The position of the last record in the projection's rows, 0 where there is none."""
    with _session(database, projection) as (_, cursor):
        return max(_tracked(cursor, projection).values(), default=0)


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
    database: Database, projection: Projection
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Cursor[TupleRow]]]:
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            yield connection, cursor
    except PersistenceError as error:
        raise StoreError(f"the rows of projection {projection.name} cannot be brought up to date: {error}") from error


def _lock(cursor: Cursor, projection: Projection) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, projection.name])


def _name(projection: Projection, schema_version: int) -> str:
    return f"{projection.name}.v{schema_version}"


def _tracked(cursor: Cursor, projection: Projection) -> dict[int, int]:
    """The position reached under each schema version; there is one at most."""
    prefix = f"{projection.name}.v"
    found = {int(name.removeprefix(prefix)): position for name, position in cursor.execute(_TRACKED, [prefix])}
    newest = max(found, default=0)
    if newest > projection.schema_version:
        raise StoreError(
            f"the rows of projection {projection.name} are of schema version {newest}, newer than this Truetape's "
            f"{projection.schema_version}; upgrade Truetape"
        )
    return found


def _advance(database: Database, cursor: Cursor, projection: Projection, position: int) -> None:
    ProjectionTracking(database.datastore).advance(cursor, _name(projection, projection.schema_version), position)


def _fold_batch(cursor: Cursor, projection: Projection, runs: _Runs, batch: int, stop: int | None = None) -> bool:
    """Fold the next records, at most to `stop`, and write the changed rows; return whether there were any."""
    found = cursor.execute(_RECORDS, [runs.position, batch]).fetchall()
    if stop is not None:
        found = [row for row in found if row[0] <= stop]
    for position, run, state in found:
        _fold(projection, runs.of(run), run, position, state)
    if not found:
        return False
    runs.flush()
    runs.position = found[-1][0]
    return True


def _fold(projection: Projection, rows: Rows, run: int, position: int, state: bytes) -> None:
    """Fold one record; a StoreError says at which event of which run the projection had to stop."""
    try:
        record = codec.decode(state, run, position)
    except StoreError as error:
        raise StoreError(f"projection {projection.name} stopped: {error}") from error
    folds = projection.folds
    for index, event in enumerate(record.events):
        fold = folds.get(type(event))
        if fold is None:
            continue
        try:
            fold(rows, Context(record.stream, record.version + index, record.at), event)
        except psycopg.Error:
            raise  # the database's trouble, not the event's
        except Exception as error:
            tag = event.__struct_config__.tag
            raise StoreError(
                f"projection {projection.name} stopped at position {position + index} of run {run}, {tag}: {error}"
            ) from error


def _rebuild(database: Database, cursor: Cursor, projection: Projection, batch: int, kept_rows: int) -> int:
    """Inside a transaction: most of the log is folded before the lock, so that runners wait for the rest only."""
    tables = _make_shadows(cursor, projection)
    runs = _Runs(cursor, SHADOWS, kept_rows)
    while _fold_batch(cursor, projection, runs, batch):
        pass  # each batch moves `runs` on
    _lock(cursor, projection)
    while _fold_batch(cursor, projection, runs, batch):
        pass  # what came meanwhile
    tracked = _tracked(cursor, projection)
    for table in tables:
        cursor.execute(table.clear)
        cursor.execute(table.fill_from_shadow)
        cursor.execute(table.drop_shadow)
    for version in tracked.keys() - {projection.schema_version}:
        cursor.execute("DELETE FROM notification_tracking WHERE application_name = %s", [_name(projection, version)])
    if runs.position > tracked.get(projection.schema_version, 0):
        _advance(database, cursor, projection, runs.position)
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
