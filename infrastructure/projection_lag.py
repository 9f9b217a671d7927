"""How far the read models are behind the log, and what else an operator watches: from the database, nothing else."""

from eventsourcing.persistence import PersistenceError
from msgspec import Struct
from psycopg.rows import tuple_row

from domain.errors import StoreError
from infrastructure.event_store.database import Database
from infrastructure.projection_batches import tracked_name
from projections.catalogue import PROJECTIONS

_HEAD = "SELECT position + events - 1 FROM records ORDER BY position DESC LIMIT 1"
_LAGS = """
SELECT asked.name, coalesce(last.position + last.events - 1, 0),
       coalesce(extract(epoch FROM clock_timestamp() - waiting.recorded_at)::double precision, 0), stop.reason
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (name, tracked, place)
LEFT JOIN notification_tracking AS tracking ON tracking.application_name = asked.tracked
LEFT JOIN records AS last ON last.position = tracking.notification_id
LEFT JOIN LATERAL (
    SELECT recorded_at FROM records
    WHERE position > coalesce(tracking.notification_id, 0) ORDER BY position LIMIT 1
) AS waiting ON true
LEFT JOIN projection_stops AS stop ON stop.projection = asked.name
ORDER BY asked.place
"""
_SEALED = "SELECT count(*) FROM segments"
_WAITING = "SELECT (SELECT coalesce(max(id), 0) FROM inbox) - (SELECT coalesce(max(id), 0) FROM outcomes)"


class Lag(Struct, frozen=True):
    """A projection whose rows have every event up to `position`; the next one has waited for `seconds`.

    `reason` names the event that has stopped it, None where nothing has.
    """

    projection: str
    position: int
    events: int
    seconds: float
    reason: str | None


class Watch(Struct, frozen=True):
    """One moment: the log's last event, each projection's lag, the sealed segments, the inbox rows not yet taken."""

    head: int
    lags: list[Lag]
    sealed: int
    waiting: int


def watch(database: Database) -> Watch:
    """Look, at one moment; raises StoreError. Rows of another fold than this program's count as none."""
    names = [each.name for each in PROJECTIONS]
    tracked = [tracked_name(each, each.schema_version) for each in PROJECTIONS]
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            (head,) = cursor.execute(_HEAD).fetchone() or (0,)
            found = cursor.execute(_LAGS, [names, tracked]).fetchall()
            (sealed,) = cursor.execute(_SEALED).fetchone() or (0,)
            (waiting,) = cursor.execute(_WAITING).fetchone() or (0,)
    except PersistenceError as error:
        raise StoreError(f"the lag of the read models cannot be read: {error}") from error
    lags = [
        Lag(name, position, head - position, max(0.0, seconds), reason) for name, position, seconds, reason in found
    ]
    return Watch(head, lags, sealed, waiting)
