"""Batches of records folded into the rows of several projections at once, and the positions that these have reached."""

from collections.abc import Sequence
from typing import Any

import psycopg
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from psycopg.rows import TupleRow

from domain.errors import StoreError
from domain.message import Event
from domain.values import LARGEST
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.projection_stops import ProjectionStoppedError
from infrastructure.row_tables import PostgresRows
from projections.rows import Context, Fold, Projection

_LOCK = 0x7472_7565
"""The advisory locks of whoever writes a projection's rows; the projection's name is the second half of the key."""

_RECORDS = "SELECT position, run, state FROM records WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"
_TRACKED = "SELECT application_name, notification_id FROM notification_tracking"
_LOCKED = "SELECT pg_advisory_xact_lock(%s, hashtext(name)) FROM unnest(%s::text[]) AS asked (name)"

Cursor = psycopg.Cursor[TupleRow]


class ProjectionTracking(PostgresTrackingRecorder):
    """The library's tracking, moved inside a transaction of ours; its table is made by migrations."""

    def advance(self, cursor: psycopg.Cursor[Any], name: str, position: int) -> None:
        """Move a projection on; the library refuses any step that is not forward."""
        self._insert_tracking(cursor, Tracking(name, position))


class Runs:
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


def lock(cursor: Cursor, projections: Sequence[Projection]) -> None:
    """In one order, whoever asks, so that two runners never wait for each other."""
    cursor.execute(_LOCKED, [_LOCK, sorted(each.name for each in projections)])


def tracked_name(projection: Projection, schema_version: int) -> str:
    return f"{projection.name}.v{schema_version}"


def read_positions(cursor: Cursor) -> dict[str, dict[int, int]]:
    """The position reached by each projection under each schema version; there is one version at most."""
    found: dict[str, dict[int, int]] = {}
    for tracked, position in cursor.execute(_TRACKED):
        name, mark, version = tracked.rpartition(".v")
        if mark:
            found.setdefault(name, {})[int(version)] = position
    return found


def read_tracked(cursor: Cursor, projections: Sequence[Projection]) -> dict[str, dict[int, int]]:
    """The same of these projections; raises ProjectionStoppedError for rows of a newer program."""
    positions = read_positions(cursor)
    found = {each.name: positions.get(each.name, {}) for each in projections}
    for each in projections:
        newest = max(found[each.name], default=0)
        if newest > each.schema_version:
            message = (
                f"the rows of projection {each.name} are of schema version {newest}, newer than this Truetape's "
                f"{each.schema_version}; upgrade Truetape"
            )
            raise ProjectionStoppedError(each.name, message, 0)
    return found


def is_old(projection: Projection, tracked: dict[int, int]) -> bool:
    return bool(tracked) and projection.schema_version not in tracked


def advance(database: Database, cursor: Cursor, projection: Projection, position: int) -> None:
    ProjectionTracking(database.datastore).advance(
        cursor, tracked_name(projection, projection.schema_version), position
    )


Folding = Sequence[tuple[Projection, Runs]]
"""Projections at one position, each with its rows."""


def fold_batch(cursor: Cursor, folding: Folding, batch: int, stop: int = LARGEST) -> int | None:
    """Fold the next records, at most to `stop`, and write the changed rows; return the last one's position, if any.

    Raises ProjectionStoppedError, which says at which event of which run which projection had to stop.
    """
    found = cursor.execute(_RECORDS, [folding[0][1].position, stop, batch]).fetchall()
    if not found:
        return None
    folds: dict[type[Event], list[tuple[Projection, Runs, Fold]]] = {}
    for projection, runs in folding:
        for event_type, fold in projection.folds.items():
            folds.setdefault(event_type, []).append((projection, runs, fold))
    for position, run, state in found:
        try:
            record = codec.decode(state, run, position)
        except StoreError as error:
            name = folding[0][0].name
            raise ProjectionStoppedError(name, f"projection {name} stopped: {error}", len(found)) from error
        for index, event in enumerate(record.events):
            for projection, runs, fold in folds.get(type(event), ()):
                try:
                    fold(runs.of(run), Context(record.stream, record.version + index, record.at), event)
                except psycopg.Error:
                    raise  # the database's trouble, not the event's
                except Exception as error:
                    tag = event.__struct_config__.tag
                    where = f"position {position + index} of run {run}, {tag}"
                    message = f"projection {projection.name} stopped at {where}: {error}"
                    raise ProjectionStoppedError(projection.name, message, len(found)) from error
    _write(folding, found)
    return int(found[-1][0])


def _write(folding: Folding, found: Sequence[TupleRow]) -> None:
    first, last = found[0][0], found[-1][0]
    for projection, runs in folding:
        try:
            runs.flush()
        except StoreError as error:
            where = f"position {first} of run {found[0][1]}" if first == last else f"positions {first} to {last}"
            message = f"projection {projection.name} stopped at {where}: {error}"
            raise ProjectionStoppedError(projection.name, message, len(found)) from error
        runs.position = last
