"""Row history: the projections' rows as they stood at every boundary of sealed segments, so that the past can be read.

The same folds as the read models', over segments only, which never change. Segments, the versions that they made and the
position of the last one are one transaction under a lock of each projection, so a crash loses a batch whole, and two
that do this take turns. The history of a changed fold is begun anew: versions of an older schema are never read.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile

import psycopg
from msgspec import structs
from psycopg.rows import TupleRow

from domain.errors import StoreError
from domain.message import Event, Record
from domain.values import LARGEST
from infrastructure.event_store.database import Database
from infrastructure.event_store.segments import Segment, read_segments, segment_at
from infrastructure.projection_batches import advance, is_old, lock, read_positions, read_tracked, session
from infrastructure.projection_stops import ProjectionStoppedError, forget_stops, note_stop
from infrastructure.row_tables import KEPT_ROWS
from infrastructure.row_versions import VersionedRows, versions_of
from projections.catalogue import PROJECTIONS
from projections.rows import Context, Fold, Projection

BATCH = 8
"""Segments that one transaction folds, and a living server at a time."""
_FORGET = "DELETE FROM notification_tracking WHERE starts_with(application_name, %s)"

Cursor = psycopg.Cursor[TupleRow]


def keep_history(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    most: int = LARGEST,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> int:
    """Fold what is sealed, at most so many batches of segments; return the boundary that all have reached.

    Those furthest behind go on together until they stand where the next ones do. One that stops does not stop the
    others; raises StoreError with what has stopped those that had to, when the others are through.
    """
    going = [_historian(each) for each in projections]
    stopped: list[ProjectionStoppedError] = []
    while going:
        try:
            reached = _fold_on(database, going, most, batch, kept_rows)
        except ProjectionStoppedError as error:
            stopped.append(error)
            (at,) = (each for each in going if each.name == error.projection)
            with session(database, [at]) as (_, cursor):
                boundary = max(read_positions(cursor).get(at.name, {}).values(), default=0)
            note_stop(database, at, boundary, str(error))
            going.remove(at)
        else:
            break
    if stopped:
        raise StoreError("\n".join(map(str, stopped))) from stopped[0]
    return reached if going else 0


def begin_anew(database: Database, projections: Sequence[Projection] = PROJECTIONS) -> None:
    """Forget the history; what is read meanwhile is folded from the log."""
    for projection in map(_historian, projections):
        with session(database, [projection]) as (connection, cursor), connection.transaction():
            lock(cursor, [projection])
            _clear(cursor, projection)


def boundaries_of(cursor: Cursor) -> dict[str, int]:
    """How far the history of each projection goes that is of this program's schema, by the projection's name."""
    tracked = read_positions(cursor)
    return {each.name: tracked.get(_historian(each).name, {}).get(each.schema_version, 0) for each in PROJECTIONS}


def _historian(projection: Projection) -> Projection:
    """The projection under the name that its history is locked and tracked by."""
    return structs.replace(projection, name=f"{projection.name}.history")


def _fold_on(database: Database, projections: Sequence[Projection], most: int, batch: int, kept_rows: int) -> int:
    with session(database, projections) as (connection, cursor):
        histories = {each.name: _History(cursor, each, kept_rows) for each in projections}
        for _ in range(most):
            with connection.transaction():
                if not _fold_batch(database, cursor, histories, batch):
                    break
        return min(_reached(cursor, projections).values())


def _fold_batch(database: Database, cursor: Cursor, histories: Mapping[str, "_History"], batch: int) -> bool:
    """Fold the next segments of those furthest behind; whether there were any."""
    projections = [each.projection for each in histories.values()]
    lock(cursor, projections)
    for each, tracked in zip(projections, read_tracked(cursor, projections).values(), strict=True):
        if is_old(each, tracked):
            _clear(cursor, each)
    reached = _reached(cursor, projections)
    lowest = min(reached.values())
    behind = [histories[name] for name, boundary in reached.items() if boundary == lowest]
    stop = min((boundary for boundary in reached.values() if boundary > lowest), default=LARGEST)
    segments = list(islice(_sealed(database, lowest, stop), batch))
    if not segments:
        return False
    for history in behind:
        history.go_to(lowest)
    _fold_segments(behind, segments)
    for history in behind:
        advance(database, cursor, history.projection, segments[-1].end - 1)
    forget_stops(cursor, [history.projection for history in behind])
    return True


class _History:
    """One projection's rows of every run, as of the boundary that they have been folded to."""

    def __init__(self, cursor: Cursor, projection: Projection, kept_rows: int) -> None:
        self.projection = projection
        self._cursor = cursor
        self._kept_rows = kept_rows
        self._boundary = 0
        self._of: dict[int, VersionedRows] = {}

    def go_to(self, boundary: int) -> None:
        """Forget what is kept, if somebody else has folded on."""
        if boundary != self._boundary:
            self._of.clear()
            self._boundary = boundary

    def rows(self, run: int) -> VersionedRows:
        rows = self._of.get(run)
        if rows is None:
            rows = self._of[run] = VersionedRows(self._cursor, run, self._kept_rows)
        return rows

    def mark(self, boundary: int) -> None:
        for rows in self._of.values():
            rows.mark(boundary)
        self._boundary = boundary

    def flush(self) -> None:
        try:
            for rows in self._of.values():
                rows.flush()
        except StoreError as error:
            message = f"{self.projection.name} stopped before position {self._boundary}: {error}"
            raise ProjectionStoppedError(self.projection.name, message, 1) from error


def _fold_segments(histories: Sequence[_History], segments: Sequence[Segment]) -> None:
    folds: dict[type[Event], list[tuple[_History, Fold]]] = {}
    for history in histories:
        for event_type, fold in history.projection.folds.items():
            folds.setdefault(event_type, []).append((history, fold))
    for segment in segments:
        for run in segment.runs:
            for position, record in zip(*segment.records(run), strict=True):
                _fold_record(folds, run, position, record)
        for history in histories:
            history.mark(segment.end - 1)
    for history in histories:
        history.flush()


def _fold_record(
    folds: Mapping[type[Event], Sequence[tuple[_History, Fold]]], run: int, position: int, record: Record[Event]
) -> None:
    """Raises ProjectionStoppedError, which names the event that a fold cannot take."""
    for index, event in enumerate(record.events):
        for history, fold in folds.get(type(event), ()):
            try:
                fold(history.rows(run), Context(record.stream, record.version + index, record.at), event)
            except psycopg.Error:
                raise  # the database's trouble, not the event's
            except Exception as error:
                where = f"position {position + index} of run {run}, {event.__struct_config__.tag}"
                message = f"{history.projection.name} stopped at {where}: {error}"
                raise ProjectionStoppedError(history.projection.name, message, 1) from error


def _sealed(database: Database, after: int, upto: int) -> Iterator[Segment]:
    """The segments that begin behind a boundary and end at or before another."""
    found = read_segments(database, segment_at(database, after + 1))
    return takewhile(lambda each: each.end - 1 <= upto, (each for each in found if each.first_position > after))


def _clear(cursor: Cursor, projection: Projection) -> None:
    for row_type in projection.tables:
        cursor.execute(versions_of(row_type).clear)
    cursor.execute(_FORGET, [f"{projection.name}.v"])


def _reached(cursor: Cursor, projections: Sequence[Projection]) -> dict[str, int]:
    """How far the history of this program's schema goes, by name."""
    tracked = read_tracked(cursor, projections)
    return {each.name: tracked[each.name].get(each.schema_version, 0) for each in projections}
