"""Times on the log: the last position that is not behind a time, found by halving, so that no index is kept for it.

A run's records are decided in the order of the log: `at` never falls. The one exception is the record that tells of another
engine version in the middle of a run: it has the time of the run's opening, and is passed over.
"""

from collections.abc import Callable
from datetime import datetime

from psycopg import Cursor
from psycopg.rows import TupleRow

from domain.values import LARGEST, Time
from infrastructure.event_store.ledger import ENGINE_STREAM

_DECIDED = f"""
SELECT position, at > %s FROM records
WHERE run = %s AND position <= %s AND (stream <> {ENGINE_STREAM} OR version = 1) ORDER BY position DESC LIMIT 1
"""  # noqa: S608  (a number of ours)
_RECORDED = "SELECT position, recorded_at > %s FROM records WHERE position <= %s ORDER BY position DESC LIMIT 1"
_BEFORE_OF_RUN = """
SELECT position + events - 1 FROM records WHERE run = %s AND position < %s ORDER BY position DESC LIMIT 1
"""
_BEFORE = "SELECT position + events - 1 FROM records WHERE position < %s ORDER BY position DESC LIMIT 1"
_LAST_OF_RUN = "SELECT position FROM records WHERE run = %s ORDER BY position DESC LIMIT 1"
_LAST = "SELECT position FROM records ORDER BY position DESC LIMIT 1"

Probe = Callable[[int], TupleRow | None]
"""A position -> the last record that begins at or before it: its position, and whether it is later than the time."""


def last_decided(cursor: Cursor[TupleRow], run: int, at: Time) -> int:
    """The run's last event that was decided at or before a time, 0 where there is none."""
    (last,) = cursor.execute(_LAST_OF_RUN, [run]).fetchone() or (0,)
    later = _first_later(last, lambda position: cursor.execute(_DECIDED, [at, run, position]).fetchone())
    (found,) = cursor.execute(_BEFORE_OF_RUN, [run, later]).fetchone() or (0,)
    return int(found)


def last_recorded(cursor: Cursor[TupleRow], moment: datetime) -> int:
    """The log's last event that was written at or before a time of the database's clock, 0 where there is none."""
    (last,) = cursor.execute(_LAST).fetchone() or (0,)
    later = _first_later(last, lambda position: cursor.execute(_RECORDED, [moment, position]).fetchone())
    (found,) = cursor.execute(_BEFORE, [later]).fetchone() or (0,)
    return int(found)


def _first_later(last: int, probe: Probe) -> int:
    """The position of the first record that is later; where none is up to `last`, beyond every position."""
    first, later = 1, LARGEST
    while first <= last:
        middle = (first + last) // 2
        position, is_later = probe(middle) or (middle, False)
        if is_later:
            later, last = position, position - 1
        else:
            first = middle + 1
    return later
