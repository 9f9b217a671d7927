"""Projections that have stopped: which, how far their rows have come, and why no further. Trading does go on."""

from collections.abc import Sequence

import psycopg
from eventsourcing.persistence import PersistenceError
from msgspec import Struct
from psycopg.rows import TupleRow

from domain.errors import StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import select
from projections.rows import Projection

Cursor = psycopg.Cursor[TupleRow]

_NOTE = """
INSERT INTO projection_stops (projection, schema_version, position, reason) VALUES (%s, %s, %s, %s)
ON CONFLICT (projection) DO UPDATE SET
    schema_version = EXCLUDED.schema_version, position = EXCLUDED.position, reason = EXCLUDED.reason, stopped_at = DEFAULT
WHERE projection_stops.reason <> EXCLUDED.reason OR projection_stops.position <> EXCLUDED.position
"""


class Stop(Struct, frozen=True):
    """A projection whose rows are true up to `position` and come no further; `reason` names the event it stopped at."""

    projection: str
    schema_version: int
    position: int
    reason: str


class ProjectionStoppedError(StoreError):
    """A projection cannot take in the log as it is; the others can.

    `records` is how many records were tried at once, 0 where the trouble is not in a record.
    """

    def __init__(self, projection: str, message: str, records: int) -> None:
        super().__init__(message)
        self.projection = projection
        self.records = records


def find_stops(database: Database) -> list[Stop]:
    """Every projection that has stopped, by name; raises StoreError."""
    statement = "SELECT projection, schema_version, position, reason FROM projection_stops ORDER BY 1"
    return [Stop(*row) for row in select(database, statement, what="the stopped projections")]


def stopped_names(cursor: Cursor) -> set[str]:
    """The names of those that have stopped."""
    return {name for (name,) in cursor.execute("SELECT projection FROM projection_stops")}


def note_stop(database: Database, projection: Projection, position: int, reason: str) -> None:
    """Say that a projection has stopped; said again, the first time stands."""
    try:
        with database.datastore.transaction(commit=True) as cursor:
            cursor.execute(
                _NOTE, [projection.name, projection.schema_version, position, reason.replace("\0", "\ufffd")]
            )
    except PersistenceError as error:
        raise StoreError(f"{reason}; and that cannot be written down: {error}") from error


def forget_stops(cursor: Cursor, projections: Sequence[Projection]) -> None:
    """Inside the transaction in which these projections go on."""
    cursor.execute("DELETE FROM projection_stops WHERE projection = ANY(%s)", [[each.name for each in projections]])
