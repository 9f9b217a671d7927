"""Every kept run, as the whole log had it at a position."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs

from domain.errors import InputError
from domain.values import LARGEST, Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.log_search import last_recorded
from infrastructure.event_store.reading import reading
from infrastructure.event_store.runs import Run, list_runs
from infrastructure.row_views import AsOf

_SPANS = """
SELECT run, first.position, last.position + last.events - 1 FROM runs
CROSS JOIN LATERAL (SELECT position FROM records WHERE run = runs.run ORDER BY position LIMIT 1) AS first
CROSS JOIN LATERAL (SELECT position, events FROM records WHERE run = runs.run ORDER BY position DESC LIMIT 1) AS last
"""
_HEAD = "SELECT position + events - 1, at FROM records WHERE position <= %s ORDER BY position DESC LIMIT 1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RunList(Struct, frozen=True):
    """Runs, newest first, and the position of the whole log that this is true at."""

    runs: list[Run]
    position: int
    at: Time | None


def runs_as_of(database: Database, as_of: AsOf | None = None) -> RunList:
    """The runs that had begun; one has an end where all of it had been recorded. A time is that of the recording.

    Raises InputError for a position that is not on the log yet.
    """
    runs = list(reversed(list_runs(database)))
    position = LARGEST
    with reading(database) as cursor:
        if as_of is not None and as_of.at is not None:
            moment = _EPOCH + timedelta(microseconds=as_of.at)
            position = last_recorded(cursor, moment)
        elif as_of is not None:
            position = as_of.position or 0
        head, at = cursor.execute(_HEAD, [position]).fetchone() or (0, None)
        if as_of is None:
            return RunList(runs, head, at)
        if as_of.position is not None and position > head:
            raise InputError(f"as_of {position} is not on the log yet; its last position is {head}")
        spans = {run: (first, last) for run, first, last in cursor.execute(_SPANS).fetchall()}
    begun = [run for run in runs if run.run in spans and spans[run.run][0] <= position]
    known = [run if spans[run.run][1] <= position else structs.replace(run, end=None) for run in begun]
    return RunList(known, min(position, head), at)
