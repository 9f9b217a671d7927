"""Views: the rows of the current run, each set true at a position that it names.

What is asked for now is read from the read models, in one snapshot. What is asked for as of an earlier position is read
from the history of the rows as of the last boundary before it, under a fold of the events since (`row_past.py`). Folds of
the last few positions are kept, so that the pages of a list cost one.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from psycopg import Cursor
from psycopg.rows import TupleRow

from domain.errors import InputError
from domain.values import LARGEST, Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.log_search import last_decided
from infrastructure.event_store.reading import reading
from infrastructure.event_store.runs import Run, find_run
from infrastructure.row_past import PROJECTION_OF, Past, PastRows
from infrastructure.row_queries import FoldedRows, RowSource, StoredRows
from projections.rows import MemoryRows, Row

KEPT_FOLDS = 4
_ATTEMPTS = 5
_ATTEMPT_SECONDS = 0.02

_CURRENT = "SELECT run FROM runs WHERE mode = 'paper' ORDER BY run DESC LIMIT 1"
_TRACKED = """
SELECT
    coalesce(min(coalesce(notification_id, 0)), 0), coalesce(max(coalesce(notification_id, 0)), 0),
    EXISTS (SELECT FROM projection_stops WHERE projection || '.v' || schema_version = ANY(array_agg(name)))
FROM unnest(%s::text[]) AS asked (name) LEFT JOIN notification_tracking ON application_name = name
"""
_LAST_UPTO = """
SELECT position + events - 1, at FROM records WHERE run = %s AND position <= %s ORDER BY position DESC LIMIT 1
"""
_HEAD = "SELECT position + events - 1 FROM records ORDER BY position DESC LIMIT 1"


class AsOf(Struct, frozen=True):
    """A point of the log that somebody asks for: a position, or the last one decided at or before a time."""

    position: int | None = None
    at: Time | None = None


class View(Struct, frozen=True):
    """Rows of a run, true at `position`, its last event there; `at` is when that was decided, None before the first."""

    run: Run | None
    position: int
    at: Time | None
    rows: RowSource


NOTHING = View(None, 0, None, FoldedRows(MemoryRows()))
"""What there is to see before the first run."""


class Views:
    """The views of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._looking = threading.Lock()
        self._pasts: OrderedDict[tuple[int, int], Past] = OrderedDict()

    @contextmanager
    def open(self, row_types: Sequence[type[Row]], as_of: AsOf | None = None) -> Iterator[View]:
        """A view of the current run that has at least these rows.

        Raises InputError for a position that is not on the log yet, StoreError where the database does not answer.
        """
        run = current_run(self.database)
        position = None if as_of is None else resolve(self.database, run, as_of)
        if run is None:
            yield NOTHING
        elif position is not None:
            with _snapshot(self.database) as cursor:
                # A fold between two questions may take its time where there is no history yet.
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                last, at = _last_upto(cursor, run, position)
                yield View(run, min(last, position), at, PastRows(self._past(run.run, position), cursor))
        else:
            with self._stored(run, _names_of(row_types)) as view:
                yield view

    @contextmanager
    def _stored(self, run: Run, projections: Sequence[str]) -> Iterator[View]:
        """The rows as they are stored.

        Projections go on together, so they stand at one position, but while one catches up alone; then look again soon.
        Where they go on differing, as when one has stopped, the lowest position is said: some rows are ahead of it.
        """
        for attempt in range(_ATTEMPTS):
            with _snapshot(self.database) as cursor:
                lowest, highest, stopped = cursor.execute(_TRACKED, [projections]).fetchone() or (0, 0, False)
                if lowest == highest or stopped or attempt == _ATTEMPTS - 1:
                    last, at = _last_upto(cursor, run, lowest)
                    yield View(run, last, at, StoredRows(cursor, run.run))
                    return
            time.sleep(_ATTEMPT_SECONDS)

    def log(self, as_of: AsOf | None = None, number: int | None = None) -> View:
        """How far a run's log has come, or had, the current run's where none is named; a view of no rows."""
        run = current_run(self.database) if number is None else find_run(self.database, number)
        position = LARGEST if as_of is None else resolve(self.database, run, as_of)
        if run is None:
            return NOTHING
        with reading(self.database) as cursor:
            last, at = _last_upto(cursor, run, position)
        return View(run, min(last, position), at, NOTHING.rows)

    def _past(self, run: int, position: int) -> Past:
        with self._looking:
            past = self._pasts.get((run, position))
            if past is None:
                past = self._pasts[run, position] = Past(self.database, run, position)
            self._pasts.move_to_end((run, position))
            while len(self._pasts) > KEPT_FOLDS:
                self._pasts.popitem(last=False)
            return past


def current_run(database: Database) -> Run | None:
    """The newest paper run, None while there is none."""
    with reading(database) as cursor:
        row = cursor.execute(_CURRENT).fetchone()
    return None if row is None else find_run(database, row[0])


def resolve(database: Database, run: Run | None, as_of: AsOf) -> int:
    """The position that is meant; raises InputError where the log has not come so far."""
    with reading(database) as cursor:
        if as_of.at is not None:
            return 0 if run is None else last_decided(cursor, run.run, as_of.at)
        position = as_of.position or 0
        (head,) = cursor.execute(_HEAD).fetchone() or (0,)
        if position > head:
            raise InputError(f"as_of {position} is not on the log yet; its last position is {head}")
        return position


def log_end(database: Database) -> int:
    """The position of the last event of all, 0 before the first."""
    with reading(database) as cursor:
        (head,) = cursor.execute(_HEAD).fetchone() or (0,)
    return int(head)


@contextmanager
def _snapshot(database: Database) -> Iterator[Cursor[Any]]:
    """A cursor whose statements all see one moment, the first one's."""
    with reading(database) as cursor, cursor.connection.transaction(force_rollback=True):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield cursor


def _last_upto(cursor: Cursor[TupleRow], run: Run, position: int) -> tuple[int, Time | None]:
    """The last event of the run's last record that begins at or before a position, and when that was decided."""
    last, at = cursor.execute(_LAST_UPTO, [run.run, position]).fetchone() or (0, None)
    return last, at


def _names_of(row_types: Sequence[type[Row]]) -> list[str]:
    """What the projections that write these rows are tracked as."""
    projections = {PROJECTION_OF[row_type].name: PROJECTION_OF[row_type] for row_type in row_types}
    return [f"{each.name}.v{each.schema_version}" for each in projections.values()]
