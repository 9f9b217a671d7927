"""The recorder: records into Postgres and out again, in one global order that readers can follow without a gap."""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from time import monotonic
from typing import Any, ClassVar, cast

from eventsourcing.persistence import (
    ApplicationRecorder,
    InterfaceError,
    OperationalError,
    PersistenceError,
    StoredEvent,
    Subscription,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresRecorder, PostgresSubscription
from eventsourcing.utils import retry
from psycopg import Connection
from psycopg.rows import DictRow, TupleRow, tuple_row

from domain.errors import ConflictError, StoreError
from infrastructure.event_store.datastore import WriterDatastore
from infrastructure.event_store.mapper import RecordNotification, StoredRecord, originator_id, parse_originator_id

CHANNEL = "records"
_LOCK = 0x7472_7565_0002
"""The advisory lock of whoever appends. It is held to the end of the transaction, so positions are given in the order
of commits, and a reader that has seen a position has seen every one before it. (A table lock is more than the writer
role may take.)"""

_LAST = "SELECT position + events FROM records ORDER BY position DESC LIMIT 1"
_HEADS = """
SELECT asked.run, asked.stream, head.version + head.events - 1
FROM unnest(%s::bigint[], %s::integer[]) AS asked (run, stream)
CROSS JOIN LATERAL (
    SELECT version, events FROM records
    WHERE run = asked.run AND stream = asked.stream ORDER BY version DESC LIMIT 1
) AS head
"""
_COLUMNS = {
    "position": "bigint", "run": "bigint", "stream": "integer", "version": "integer", "events": "integer",
    "at": "bigint", "observed_at": "bigint", "venue_at": "bigint", "clock_offset": "bigint", "actor": "text",
    "cause_stream": "integer", "cause_version": "integer", "key": "text", "topic": "text", "leaf": "bytea",
    "state": "bytea",
}  # fmt: skip
_FIELDS = {"version": "originator_version"}
"""Columns that the library's stored event calls otherwise."""
_INSERT = (
    f"INSERT INTO records ({', '.join(_COLUMNS)}) "  # noqa: S608  (names from above)
    f"SELECT * FROM unnest({', '.join(f'%b::{kind}[]' for kind in _COLUMNS.values())})"
)
_READ_BACK = """
SELECT asked.place, records.position, records.leaf
FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) WITH ORDINALITY AS asked (run, stream, version, place)
JOIN records USING (run, stream, version) ORDER BY asked.place
"""
_NOTIFICATIONS = "SELECT position, run, stream, version, events, topic, leaf, state FROM records WHERE position >= %s"
_STREAM = """
SELECT version, events, at, observed_at, venue_at, clock_offset, actor, cause_stream, cause_version, key, topic, leaf,
       state
FROM records WHERE run = %s AND stream = %s AND version > %s AND version <= %s ORDER BY version
"""
_VERSION_MAX = 2**31 - 1
_LISTEN_SECONDS = 0.1

Also = Callable[[Connection[DictRow], Sequence[int]], None]
"""Given the connection, inside the transaction of an append, and the positions of its records."""
Stream = tuple[int, int]
"""(run, stream)."""


class RecordRecorder(PostgresApplicationRecorder):
    """The library's recorder over our table; tables are made by migrations, never here."""

    datastore: WriterDatastore

    def __init__(self, datastore: WriterDatastore) -> None:
        # The parents' initialisers only compose SQL for the library's own table and look up its types.
        PostgresRecorder.__init__(self, datastore)
        self.events_table_name = "records"
        self.channel_name = CHANNEL

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, also: Also | None = None, **kwargs: Any
    ) -> Sequence[int]:
        """Append all or nothing; returns the positions. `also` writes what belongs into the same transaction.

        Raises ConflictError where a stream has moved on, StoreError where the database cannot take it; in both cases
        nothing was written.
        """
        records = [_checked(event) for event in stored_events]
        if not records:
            return []
        try:
            with self.datastore.get_connection() as connection, connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                with connection.cursor() as cursor:
                    self._insert_events(cursor, stored_events, **kwargs)
                _check_versions(records, _heads(connection, {(record.run, record.stream) for record in records}))
                positions = _positions(connection, records)
                connection.execute(_INSERT, _columns(records, positions))
                connection.execute(f"NOTIFY {CHANNEL}")
                if also is not None:
                    also(connection, positions)
        except PersistenceError as error:
            # The answer to COMMIT may be what was lost; asking again would be a conflict with ourselves.
            return self._read_back(records, error)
        return positions

    def _read_back(self, records: Sequence[StoredRecord], error: PersistenceError) -> Sequence[int]:
        """What became of an append whose outcome is unknown. Under the lock: the lost transaction holds it to its end."""
        try:
            found = self._find(records)
        except PersistenceError as unreachable:
            raise StoreError(
                f"Postgres was lost during an append ({_first_line(error)}) and does not answer ({_first_line(unreachable)}); "
                "whether it was written is not known until it answers"
            ) from error
        if not found:
            raise StoreError(f"nothing was appended: {_first_line(error)}") from error
        if len(found) < len(records) or any(
            record.leaf != leaf for record, (_, leaf) in zip(records, found, strict=True)
        ):
            raise ConflictError("another writer has appended to these streams; nothing was appended") from error
        return [position for position, _ in found]

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def _find(self, records: Sequence[StoredRecord]) -> list[tuple[int, bytes]]:
        wanted = [
            [record.run for record in records],
            [record.stream for record in records],
            [record.originator_version for record in records],
        ]
        with self.datastore.get_connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            with connection.cursor(row_factory=tuple_row) as cursor:
                return [(row[1], row[2]) for row in cursor.execute(_READ_BACK, wanted)]

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


def _heads(connection: Connection[DictRow], streams: Iterable[Stream]) -> dict[Stream, int]:
    """The last version of each stream; a stream without records has none."""
    runs, numbers = zip(*streams, strict=True)
    with connection.cursor(row_factory=tuple_row) as cursor:
        return {(run, stream): head for run, stream, head in cursor.execute(_HEADS, [list(runs), list(numbers)])}


def _check_versions(records: Sequence[StoredRecord], heads: dict[Stream, int]) -> None:
    """Each record must begin where its stream ends, counting the records before it."""
    for record in records:
        head = heads.get((record.run, record.stream), 0)
        if record.originator_version != head + 1:
            raise ConflictError(
                f"stream {record.stream} of run {record.run} is at version {head}; "
                f"a record for version {record.originator_version} does not follow, and nothing was appended"
            )
        heads[record.run, record.stream] = record.last_version


def _positions(connection: Connection[DictRow], records: Sequence[StoredRecord]) -> list[int]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        last = cursor.execute(_LAST).fetchone()
    return list(accumulate((record.events for record in records[:-1]), initial=last[0] if last else 1))


def _columns(records: Sequence[StoredRecord], positions: list[int]) -> list[list[Any]]:
    """The arrays of _INSERT, in the order of _COLUMNS."""
    rest = [
        [getattr(record, _FIELDS.get(column, column)) for record in records]
        for column in _COLUMNS
        if column != "position"
    ]
    return [positions, *rest]


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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
