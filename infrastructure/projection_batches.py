"""Batches of records folded into the rows of several projections at once, and the positions that these have reached."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from msgspec import Struct
from psycopg.rows import TupleRow, tuple_row

from domain.errors import StoreError
from domain.message import Event
from domain.values import LARGEST
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.segments import Segment, read_segments
from infrastructure.projection_stops import ProjectionStoppedError
from infrastructure.row_tables import PostgresRows
from projections.rows import Context, Fold, Projection

RUNS_KEPT = 8
"""Runs whose rows are kept in memory from batch to batch."""
_LOCK = 0x7472_7565
"""The advisory locks of whoever writes a projection's rows; the projection's name is the second half of the key."""

_RECORDS = "SELECT position, run, state FROM records WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"
_TRACKED = "SELECT application_name, notification_id, xmin::text FROM notification_tracking"
_ADVANCE = """
INSERT INTO notification_tracking AS tracked (application_name, notification_id) SELECT name, %s FROM unnest(%s::text[]) AS asked (name)
ON CONFLICT (application_name) DO UPDATE SET notification_id = EXCLUDED.notification_id
WHERE tracked.notification_id < EXCLUDED.notification_id RETURNING application_name, xmin::text
"""
_TOUCH = "UPDATE notification_tracking SET notification_id = notification_id WHERE application_name = ANY(%s)"
_LOCKED = "SELECT pg_advisory_xact_lock(%s, hashtext(name)) FROM unnest(%s::text[]) AS asked (name)"

Cursor = psycopg.Cursor[TupleRow]
T = TypeVar("T")


class ProjectionTracking(PostgresTrackingRecorder):
    """The library's tracking, moved inside a transaction of ours; its table is made by migrations."""

    def advance(self, cursor: psycopg.Cursor[Any], name: str, position: int) -> None:
        """Move a projection on; the library refuses any step that is not forward."""
        self._insert_tracking(cursor, Tracking(name, position))


class Mark(Struct, frozen=True):
    """The position that a projection has reached, and which transaction took it there, or wrote its rows anew."""

    position: int
    stamp: str


START = Mark(0, "")


class Runs:
    """The rows of every run that a runner meets. What they keep in memory is true as of `mark`.

    `empty` says that there are no rows yet.
    """

    def __init__(self, cursor: Cursor, schema: str, kept_rows: int, *, empty: bool = False) -> None:
        self.mark = START
        self._cursor = cursor
        self._schema = schema
        self._kept_rows = kept_rows
        self._empty = empty
        self._of: dict[int, PostgresRows] = {}
        self._left: set[int] = set()

    def of(self, run: int) -> PostgresRows:
        rows = self._of.get(run)
        if rows is None:
            empty = self._empty and run not in self._left
            rows = self._of[run] = PostgresRows(self._cursor, run, self._schema, self._kept_rows, empty=empty)
        return rows

    def flush(self) -> None:
        for run in [run for run, rows in self._of.items() if rows.has_changed]:
            rows = self._of[run] = self._of.pop(run)
            rows.flush()
        for run in list(self._of)[:-RUNS_KEPT]:
            del self._of[run]
            self._left.add(run)

    def use(self, cursor: Cursor) -> None:
        """Read and write through this cursor from now on."""
        self._cursor = cursor
        for rows in self._of.values():
            rows.use(cursor)

    def go_to(self, mark: Mark) -> None:
        """Forget what is kept, if somebody else has written the rows."""
        if mark != self.mark:
            self._of.clear()
            self.mark = mark


def lock(cursor: Cursor, projections: Sequence[Projection]) -> None:
    """In one order, whoever asks, so that two runners never wait for each other."""
    cursor.execute(_LOCKED, [_LOCK, sorted(each.name for each in projections)])


def tracked_name(projection: Projection, schema_version: int) -> str:
    return f"{projection.name}.v{schema_version}"


def read_marks(cursor: Cursor) -> dict[str, dict[int, Mark]]:
    """The mark of each projection under each schema version; there is one version at most."""
    found: dict[str, dict[int, Mark]] = {}
    for tracked, position, stamp in cursor.execute(_TRACKED):
        name, dot, version = tracked.rpartition(".v")
        if dot:
            found.setdefault(name, {})[int(version)] = Mark(position, stamp)
    return found


def read_positions(cursor: Cursor) -> dict[str, dict[int, int]]:
    """The position reached by each projection under each schema version."""
    return {
        name: {version: mark.position for version, mark in marks.items()} for name, marks in read_marks(cursor).items()
    }


def read_tracked(cursor: Cursor, projections: Sequence[Projection]) -> dict[str, dict[int, int]]:
    """The same of these projections; raises ProjectionStoppedError for rows of a newer program."""
    positions = read_positions(cursor)
    return {each.name: known_versions(each, positions) for each in projections}


def known_versions(projection: Projection, found: Mapping[str, dict[int, T]]) -> dict[int, T]:
    """What was found of a projection, by schema version; raises ProjectionStoppedError for rows of a newer program."""
    versions = found.get(projection.name, {})
    newest = max(versions, default=0)
    if newest > projection.schema_version:
        message = (
            f"the rows of projection {projection.name} are of schema version {newest}, newer than this Truetape's "
            f"{projection.schema_version}; upgrade Truetape"
        )
        raise ProjectionStoppedError(projection.name, message, 0)
    return versions


def is_old(projection: Projection, versions: Mapping[int, object]) -> bool:
    """Whether there are rows, of another fold than this program's."""
    return bool(versions) and projection.schema_version not in versions


def advance(database: Database, cursor: Cursor, projection: Projection, position: int) -> None:
    ProjectionTracking(database.datastore).advance(
        cursor, tracked_name(projection, projection.schema_version), position
    )


def advance_together(cursor: Cursor, projections: Sequence[Projection], position: int) -> dict[str, Mark]:
    """Move projections on in one statement, as the library's tracking does it; return their marks, by name."""
    names = {tracked_name(each, each.schema_version): each.name for each in projections}
    found = cursor.execute(_ADVANCE, [position, list(names)]).fetchall()
    if len(found) < len(names):
        stay = names.keys() - {name for name, _ in found}
        raise IntegrityError(f"{', '.join(sorted(stay))} cannot go to {position}: that is no step forward")
    return {names[name]: Mark(position, stamp) for name, stamp in found}


def note_rewritten(cursor: Cursor, projections: Sequence[Projection]) -> None:
    """Tell whoever keeps rows of these projections in memory that they have been written anew."""
    cursor.execute(_TOUCH, [[tracked_name(each, each.schema_version) for each in projections]])


class Batch(Struct, frozen=True):
    """Stored records that follow each other on the log, at least one: the first's position, and the run of each."""

    position: int
    runs: Sequence[int]
    states: Sequence[bytes]


class UnreadableError(ProjectionStoppedError):
    """A record cannot be decoded, so no projection goes past it."""


class Folding(Struct, frozen=True):
    """A projection and its rows."""

    projection: Projection
    runs: Runs


def read_batch(cursor: Cursor, after: int, size: int, stop: int = LARGEST) -> Batch | None:
    """At most so many records that begin behind `after` and at most at `stop`; None where there are none."""
    found = cursor.execute(_RECORDS, [after, stop, size]).fetchall()
    if not found:
        return None
    return Batch(found[0][0], [run for _, run, _ in found], [state for *_, state in found])


def sealed_batches(database: Database, stop: int = LARGEST) -> Iterator[Batch]:
    """The log from its beginning, a sealed segment at a time, as far as it is sealed and at most to `stop`.

    The bytes of a segment are read at once, which costs a third of reading its rows. Their records are decoded one by
    one all the same: to decode the block at once is no faster, and all its events would live at the same time.
    """
    for segment in read_segments(database):
        if segment.end - 1 > stop:
            return
        yield batch_of(segment)


def batch_of(segment: Segment) -> Batch:
    return Batch(segment.first_position, segment.runs_of_records(), segment.states())


def fold_batch(folding: Sequence[Folding], batch: Batch) -> int:
    """Fold the records; return the last one's position. What they change is written by `flush`.

    Raises ProjectionStoppedError, which says at which event of which run which projection had to stop.
    """
    tables: dict[int, Mapping[type[Event], Sequence[tuple[Fold, PostgresRows, Projection]]]] = {}
    position = last = batch.position
    for run, state in zip(batch.runs, batch.states, strict=True):
        try:
            record = codec.decode(state, run, position)
        except StoreError as error:
            name = folding[0].projection.name
            raise UnreadableError(name, f"projection {name} stopped: {error}", len(batch.runs)) from error
        table = tables.get(run)
        if table is None:
            table = tables[run] = _folds(folding, run)
        last = position
        for event in record.events:
            folds = table.get(type(event))
            if folds is not None:
                context = Context(record.stream, record.version + position - last, record.at)
                for fold, rows, projection in folds:
                    try:
                        fold(rows, context, event)
                    except psycopg.Error:
                        raise  # the database's trouble, not the event's
                    except Exception as error:
                        where = f"position {position} of run {run}, {event.__struct_config__.tag}"
                        message = f"projection {projection.name} stopped at {where}: {error}"
                        raise ProjectionStoppedError(projection.name, message, len(batch.runs)) from error
            position += 1
    return last


def _folds(folding: Sequence[Folding], run: int) -> dict[type[Event], list[tuple[Fold, PostgresRows, Projection]]]:
    folds: dict[type[Event], list[tuple[Fold, PostgresRows, Projection]]] = {}
    for each in folding:
        rows = each.runs.of(run)
        for event_type, fold in each.projection.folds.items():
            folds.setdefault(event_type, []).append((fold, rows, each.projection))
    return folds


def flush(folding: Iterable[Folding], batch: Batch, last: int) -> None:
    """Write what these records have changed; raises ProjectionStoppedError for what no column holds."""
    for each in folding:
        try:
            each.runs.flush()
        except StoreError as error:
            first = batch.position
            where = f"position {first} of run {batch.runs[0]}" if first == last else f"positions {first} to {last}"
            message = f"projection {each.projection.name} stopped at {where}: {error}"
            raise ProjectionStoppedError(each.projection.name, message, len(batch.runs)) from error


@contextmanager
def session(
    database: Database, projections: Sequence[Projection]
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Cursor[TupleRow]]]:
    """A connection and a cursor; raises StoreError, which names the projections, where the database fails."""
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            yield connection, cursor
    except PersistenceError as error:
        names = ", ".join(each.name for each in projections)
        raise StoreError(f"the rows of projection {names} cannot be brought up to date: {error}") from error
