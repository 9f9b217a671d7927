"""The past of a run: its rows as of a position, one projection after the other as somebody asks for them.

Where a projection has a history, its rows are those of the last boundary at or before the position, under a fold of the
events between the two: at most a segment's, once sealing and history have caught up. Where it has none, because nothing
has folded it yet or the fold has changed since, or where that ends before half the way, they are a fold of the run's
whole log up to there in memory: some 15 microseconds an event, and the memory of the rows.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from msgspec import Struct, structs
from psycopg import Cursor
from psycopg.rows import TupleRow

from domain.message import Event, Record
from infrastructure.event_store.database import Database
from infrastructure.event_store.history import history_of
from infrastructure.row_history import boundaries_of
from infrastructure.row_overlay import OverlaidRows, Overlay, fold_over
from infrastructure.row_queries import Filters, FoldedRows, Page, RowSource, StoredRows
from projections.catalogue import PROJECTIONS
from projections.rows import MemoryRows, Projection, Row, fold_records

R = TypeVar("R", bound=Row)

PROJECTION_OF: dict[type[Row], Projection] = {
    row_type: projection for projection in PROJECTIONS for row_type in projection.tables
}

_BOUNDARY = """
SELECT coalesce(max(last), 0) FROM (
    SELECT first_position + events - 1 AS last FROM segments WHERE first_position <= %s ORDER BY first_position DESC LIMIT 2
) AS near WHERE last <= %s
"""


class _Laid(Struct, frozen=True):
    """A projection's changes since a boundary."""

    boundary: int
    overlay: Overlay


class Past:
    """What has been folded of a run up to a position. One fold is made at a time."""

    def __init__(self, database: Database, run: int, position: int) -> None:
        self.run = run
        self._database = database
        self._position = position
        self._folding = threading.Lock()
        self._whole: dict[str, FoldedRows] = {}
        self._laid: dict[str, _Laid] = {}

    def source(self, projection: Projection, cursor: Cursor[TupleRow]) -> RowSource:
        """The rows of a projection, read through a cursor where they come from its history."""
        with self._folding:
            whole = self._whole.get(projection.name)
            if whole is not None:
                return whole
            reached = boundaries_of(cursor)[projection.name]
            laid = self._laid.get(projection.name)
            if laid is None or laid.boundary > reached:  # the latter where the history has been begun anew
                boundary = _boundary(cursor, min(reached, self._position))
                if 2 * boundary < self._position:
                    whole = self._whole[projection.name] = self._fold_whole(projection)
                    return whole
                before = StoredRows(cursor, self.run, boundary)
                laid = _Laid(boundary, fold_over(projection, before, self._records(boundary)))
                self._laid[projection.name] = laid
        return OverlaidRows(StoredRows(cursor, self.run, laid.boundary), laid.overlay)

    def _fold_whole(self, projection: Projection) -> FoldedRows:
        rows = MemoryRows()
        for records in self._records(0):
            fold_records([projection], rows, records)
        return FoldedRows(rows)

    def _records(self, after: int) -> Iterator[list[Record[Event]]]:
        """The run's records behind a boundary, up to the position; of the last one, the events up to there."""
        for stretch in history_of(self._database, self.run, after, self._position):
            records, start = stretch.records, stretch.positions[-1]
            records[-1] = structs.replace(records[-1], events=records[-1].events[: self._position - start + 1])
            yield records


class PastRows:
    """The rows of a past, through one cursor."""

    def __init__(self, past: Past, cursor: Cursor[TupleRow]) -> None:
        self._past = past
        self._cursor = cursor

    def one(self, row_type: type[R], *key: str | int) -> R | None:
        return self._source(row_type).one(row_type, *key)

    def some(self, row_type: type[R], where: Filters, page: Page | None = None) -> list[R]:
        return self._source(row_type).some(row_type, where, page)

    def sums(self, row_type: type[Row], fields: Sequence[str], where: Filters, page: Page) -> list[tuple[Any, ...]]:
        return self._source(row_type).sums(row_type, fields, where, page)

    def _source(self, row_type: type[Row]) -> RowSource:
        return self._past.source(PROJECTION_OF[row_type], self._cursor)


def _boundary(cursor: Cursor[TupleRow], position: int) -> int:
    """The last boundary at or before a position, 0 before the first."""
    (boundary,) = cursor.execute(_BOUNDARY, [position, position]).fetchone() or (0,)
    return int(boundary)
