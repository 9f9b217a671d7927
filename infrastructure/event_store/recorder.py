"""The recorder: records into Postgres and out again, in one global order that readers can follow without a gap."""

from collections.abc import Sequence
from time import monotonic
from typing import Any, ClassVar, cast

from eventsourcing.persistence import (
    ApplicationRecorder,
    InterfaceError,
    OperationalError,
    StoredEvent,
    Subscription,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresRecorder, PostgresSubscription
from eventsourcing.utils import retry
from psycopg.rows import TupleRow, tuple_row

from infrastructure.event_store.append_statement import Also
from infrastructure.event_store.datastore import WriterDatastore
from infrastructure.event_store.mapper import (
    RecordNotification,
    StoredRecord,
    batch_of,
    originator_id,
    parse_originator_id,
)
from infrastructure.event_store.sequencer import Sequencer

CHANNEL = "records"
_NOTIFICATIONS = "SELECT position, run, stream, version, events, topic, leaf, state FROM records WHERE position >= %s"
_STREAM = """
SELECT version, events, at, observed_at, venue_at, clock_offset, actor, cause_stream, cause_version, key, topic, leaf,
       state
FROM records WHERE run = %s AND stream = %s AND version > %s AND version <= %s ORDER BY version
"""
_VERSION_MAX = 2**31 - 1
_LISTEN_SECONDS = 0.1


class RecordRecorder(PostgresApplicationRecorder):
    """The library's recorder over our table; tables are made by migrations, never here."""

    datastore: WriterDatastore

    def __init__(self, datastore: WriterDatastore) -> None:
        # The parents' initialisers only compose SQL for the library's own table and look up its types.
        PostgresRecorder.__init__(self, datastore)
        self.events_table_name = "records"
        self.channel_name = CHANNEL
        self.sequencer = Sequencer(datastore)

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        also: Also | None = None,
        epochs: dict[int, int] | None = None,
        **_kwargs: Any,
    ) -> Sequence[int]:
        """Append all or nothing; returns the positions. `also` writes what belongs into the same transaction.

        Raises ConflictError where a stream has moved on, FencedError where another writer has taken a run since this one
        took it in its epoch, StoreError where the database cannot take it: then nothing was written. Only InDoubtError, a
        StoreError, leaves that open.
        """
        records = [_checked(event) for event in stored_events]
        return self.sequencer.submit(batch_of(records), also, epochs).result()

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def select_events(
        self,
        originator_id: object,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredRecord]:
        """The records of stream `run/stream` whose first version is above `gt` and at most `lte`."""
        run, stream = parse_originator_id(str(originator_id))
        parameters = [run, stream, gt or 0, _VERSION_MAX if lte is None else lte, limit]
        statement = _STREAM + ("DESC" if desc else "ASC") + " LIMIT %s"
        with self.datastore.get_connection() as connection, connection.cursor(binary=True) as cursor:
            rows = cursor.execute(statement, parameters, prepare=True).fetchall()
        return [
            StoredRecord(
                originator_id=str(originator_id), originator_version=row.pop("version"), run=run, stream=stream, **row
            )
            for row in rows
        ]

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[RecordNotification]:
        """The records whose first event stands at `start` or later (after it, unless inclusive), at most at `stop`."""
        parameters: list[Any] = [(start or 0) + (0 if inclusive_of_start else 1)]
        statement = _NOTIFICATIONS
        if stop is not None:
            statement += " AND position <= %s"
            parameters.append(stop)
        if topics:
            statement += " AND topic = ANY(%s)"
            parameters.append(list(topics))
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            cursor.execute(statement + " ORDER BY position LIMIT %s", [*parameters, limit], prepare=True)
            return [_notification(row) for row in cursor]

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def max_notification_id(self) -> int | None:
        """The position of the last record's first event, None while there is none."""
        with self.datastore.get_connection() as connection:
            row = connection.execute("SELECT max(position) AS position FROM records").fetchone()
        return row["position"] if row else None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return cast("Subscription[ApplicationRecorder]", RecordSubscription(self, gt=gt, topics=topics))


class RecordSubscription(PostgresSubscription):
    """The library's tailing reader, which looks once more when it has begun to listen, and then every few seconds.

    Without the first look, what is committed between its first read and its LISTEN waits for the commit after it.
    Without the later ones, a connection that died and was never told so (a network that drops what it carries) would
    be listened to for as long as TCP believes in it, which is hours.
    """

    look_seconds: ClassVar[float] = 5.0

    def _listen(self) -> None:
        try:
            with self._recorder.datastore.get_connection() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                try:
                    look_at = monotonic()
                    while not self._has_been_stopped and not self._thread_error:
                        if monotonic() >= look_at:
                            self._has_been_notified.set()
                            look_at = monotonic() + self.look_seconds
                        for _ in connection.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                            self._has_been_notified.set()
                finally:
                    # The connection goes back to the pool, where nobody would collect what it hears.
                    connection.execute(f"UNLISTEN {CHANNEL}")
        except BaseException as error:  # noqa: BLE001  (handed to the reader's thread, as the library does)
            self._thread_error = self._thread_error or error
            self.stop()


def _checked(event: StoredEvent) -> StoredRecord:
    if not isinstance(event, StoredRecord):
        raise TypeError(f"{type(event).__name__} is no StoredRecord; RecordMapper makes them")
    return event


def _notification(row: TupleRow) -> RecordNotification:
    position, run, stream, version, events, topic, leaf, state = row
    return RecordNotification(
        originator_id=originator_id(run, stream),
        originator_version=version,
        topic=topic,
        state=state,
        id=position,
        events=events,
        leaf=leaf,
    )
