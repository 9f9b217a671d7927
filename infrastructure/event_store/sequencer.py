"""The sequencer: everything that is appended goes through it, in one order, and what is queued goes out together.

It knows where the log and the streams it writes to end, so an append asks the database nothing: the one statement that
writes says whether that was still true. Others may append as well (another process, another run); then it looks again.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from typing import Any

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, PersistenceError
from eventsourcing.utils import retry
from msgspec import Struct
from psycopg.rows import DictRow, TupleRow, tuple_row

from domain.errors import ConflictError, FencedError, StoreError, TruetapeError
from infrastructure.event_store.arrays import packed
from infrastructure.event_store.datastore import WriterDatastore
from infrastructure.event_store.mapper import StoredRecord

GROUP_RECORDS = 4000
"""Records that one commit takes at most, a larger single append aside."""
QUEUED_RECORDS = 40_000
"""Records that may wait before whoever appends waits too."""
HEADS_KEPT = 200_000
"""Streams whose ends are remembered."""
_ATTEMPTS = 3

_HEADS = """
SELECT asked.run, asked.stream, head.version + head.events - 1
FROM unnest(%s::bigint[], %s::integer[]) AS asked (run, stream)
CROSS JOIN LATERAL (
    SELECT version, events FROM records
    WHERE run = asked.run AND stream = asked.stream ORDER BY version DESC LIMIT 1
) AS head
"""
_END = "SELECT position + events AS ended FROM records ORDER BY position DESC LIMIT 1"
_COLUMNS = {
    "run": "bigint", "stream": "integer", "originator_version": "integer", "events": "integer", "at": "bigint",
    "observed_at": "bigint", "venue_at": "bigint", "clock_offset": "bigint", "actor": "text",
    "cause_stream": "integer", "cause_version": "integer", "key": "text", "topic": "text", "leaf": "bytea",
    "state": "bytea",
}  # fmt: skip
"""The columns behind the position, by the stored record's field."""
_APPEND = f"SELECT append_records({', '.join(['%b'] * (len(_COLUMNS) + 4))})"
_READ_BACK = """
SELECT asked.place, records.position, records.leaf
FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) WITH ORDINALITY AS asked (run, stream, version, place)
JOIN records USING (run, stream, version) ORDER BY asked.place
"""
_LOCKED = "SELECT pg_advisory_xact_lock(%s)"
LOCK = 0x7472_7565_0002
"""The advisory lock that `append_records` takes, to the end of its transaction: positions are in the order of commits,
so a reader that has seen a position has seen every one before it."""

Also = Callable[[psycopg.Connection[DictRow], Sequence[int]], None]
"""Given the connection, inside the transaction of an append, and the positions of its records."""
Stream = tuple[int, int]
"""(run, stream)."""


class Append(Struct):
    """Records to append all or none, under these epochs of their runs; `done` gets their positions."""

    records: Sequence[StoredRecord]
    also: Also | None
    epochs: dict[int, int]
    done: "Future[list[int]]"


class _MovedError(Exception):
    """Somebody else has appended since we last looked."""


class Sequencer:
    """The one thread through which this process appends to a database's log."""

    def __init__(self, datastore: WriterDatastore) -> None:
        self._datastore = datastore
        self._queue: deque[Append] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._next: int | None = None
        self._heads: dict[Stream, int] = {}

    def submit(
        self, records: Sequence[StoredRecord], also: Also | None = None, epochs: dict[int, int] | None = None
    ) -> "Future[list[int]]":
        """Queue an append; it is durable when the future has its positions. Waits while too much is queued.

        The future raises ConflictError where a stream has moved on, FencedError where another writer has taken the run,
        StoreError where the database cannot take it; in all cases nothing was written.
        """
        done: Future[list[int]] = Future()
        if not records:
            done.set_result([])
            return done
        with self._changed:
            self._changed.wait_for(lambda: self._queued < QUEUED_RECORDS or self._closed)
            if self._closed:
                raise StoreError("the database is closed; nothing was appended")
            self._queue.append(Append(records, also, epochs or {}, done))
            self._queued += len(records)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="truetape-sequencer", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return done

    def close(self) -> None:
        """Append what is queued, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while group := self._take():
            try:
                self._settle(group)
            except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
                self._forget()
                for each in group:
                    if not each.done.done():
                        each.done.set_exception(error)

    def _take(self) -> list[Append]:
        """Everything that is queued, up to a group's size; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            group: list[Append] = []
            size = 0
            while self._queue and (not group or size + len(self._queue[0].records) <= GROUP_RECORDS):
                group.append(self._queue.popleft())
                size += len(group[-1].records)
            self._queued -= size
            self._changed.notify_all()
            return group

    def _settle(self, group: list[Append]) -> None:
        """Append a group in one transaction; where that fails, each alone, so that one's trouble is no other's."""
        try:
            waiting, positions = self._append(group)
        except (TruetapeError, PersistenceError) as error:
            self._forget()
            if len(group) == 1:
                group[0].done.set_exception(_told(error))
                return
            for each in group:
                if not each.done.done():
                    self._settle([each])
            return
        start = 0
        for each in waiting:
            end = start + len(each.records)
            each.done.set_result(positions[start:end])
            start = end

    def _append(self, group: list[Append]) -> tuple[list[Append], list[int]]:
        """Write those of the group that follow; the others are told that they do not. Returns the written ones."""
        for _ in range(_ATTEMPTS):
            try:
                return self._write(group)
            except _MovedError:
                continue  # look again
        # Others append faster than we can look: this time look while they have to wait.
        try:
            with self._connection() as connection, connection.transaction():
                connection.execute(_LOCKED, [LOCK])
                self._forget()
                return self._write(group, connection)
        except PersistenceError as error:
            self._forget()
            waiting = [each for each in group if not each.done.done()]
            return waiting, self._read_back([record for each in waiting for record in each.records], error)

    def _write(
        self, group: list[Append], connection: psycopg.Connection[DictRow] | None = None
    ) -> tuple[list[Append], list[int]]:
        waiting = self._following(group, connection)
        records = [record for each in waiting for record in each.records]
        if not records:
            return [], []
        positions = self._send(waiting, records, connection)
        for record in records:
            self._heads[record.run, record.stream] = record.last_version
        if len(self._heads) > HEADS_KEPT:
            self._heads.clear()
        return waiting, positions

    def _following(self, group: list[Append], connection: psycopg.Connection[DictRow] | None) -> list[Append]:
        """Those whose records begin where their streams end, counting the ones before them."""
        unknown = {
            (record.run, record.stream) for each in group for record in each.records
        } - self._heads.keys()  # fmt: skip
        if unknown:
            self._heads |= self._read_heads(unknown, connection)
        heads: dict[Stream, int] = {}
        following = []
        for each in group:
            if each.done.done():
                continue
            trial = dict(heads) if len(group) > 1 else heads
            conflict = _conflict(each.records, trial, self._heads)
            if conflict is not None:
                # Perhaps another process has appended what this one follows; what it says then is the truth.
                self._heads |= self._read_heads({(record.run, record.stream) for record in each.records}, connection)
                trial = dict(heads)
                conflict = _conflict(each.records, trial, self._heads)
            if conflict is None:
                heads = trial
                following.append(each)
            else:
                each.done.set_exception(ConflictError(conflict))
        return following

    def _send(
        self,
        waiting: Sequence[Append],
        records: Sequence[StoredRecord],
        held: psycopg.Connection[DictRow] | None,
    ) -> list[int]:
        """The one statement, with what else belongs into its transaction; raises _MovedError, and nothing was written."""
        epochs = _epochs(waiting)
        first = self._read_end(held) if self._next is None else self._next
        positions = _positions(first, records)
        parameters = _parameters(epochs, first, positions, records)
        try:
            with nullcontext(held) if held else self._connection() as connection:
                if held or not any(each.also for each in waiting):
                    self._execute(connection, epochs, first, parameters)
                    _write_also(connection, waiting, positions)
                else:
                    with connection.transaction():
                        self._execute(connection, epochs, first, parameters)
                        _write_also(connection, waiting, positions)
        except PersistenceError as error:
            self._forget()
            if _is_taken(error):
                raise _MovedError from error
            # The answer to COMMIT may be what was lost; asking again would be a conflict with ourselves.
            return self._read_back(records, error)
        self._next = positions[-1] + records[-1].events
        return positions

    def _execute(
        self, connection: psycopg.Connection[DictRow], epochs: dict[int, int], first: int, parameters: list[Any]
    ) -> None:
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            (ended,) = cursor.execute(_APPEND.encode(), parameters, prepare=True).fetchone() or (None,)
        if ended is None:
            raise FencedError(
                f"another writer has taken run {', '.join(map(str, epochs))}; this one appends nothing any more"
            )
        if ended != first:
            self._heads.clear()
            self._next = ended
            raise _MovedError

    def _forget(self) -> None:
        self._next = None
        self._heads.clear()

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def _read_heads(self, streams: Iterable[Stream], held: psycopg.Connection[DictRow] | None) -> dict[Stream, int]:
        """The last version of each stream, 0 where it has no record."""
        wanted = dict.fromkeys(streams, 0)
        runs, numbers = zip(*wanted, strict=True)
        with (
            nullcontext(held) if held else self._connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            found = cursor.execute(_HEADS, [list(runs), list(numbers)]).fetchall()
        return wanted | {(run, stream): head for run, stream, head in found}

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def _read_end(self, held: psycopg.Connection[DictRow] | None) -> int:
        """The position that the next record gets."""
        with nullcontext(held) if held else self._connection() as connection:
            row = connection.execute(_END).fetchone()
        return row["ended"] if row else 1

    def _connection(self) -> AbstractContextManager[psycopg.Connection[DictRow]]:
        return self._datastore.get_connection()

    def _read_back(self, records: Sequence[StoredRecord], error: PersistenceError) -> list[int]:
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
            record.leaf != leaf for record, (_, _, leaf) in zip(records, found, strict=True)
        ):
            raise ConflictError("another writer has appended to these streams; nothing was appended") from error
        return [position for _, position, _ in found]

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def _find(self, records: Sequence[StoredRecord]) -> list[TupleRow]:
        wanted = [
            [record.run for record in records],
            [record.stream for record in records],
            [record.originator_version for record in records],
        ]
        with self._datastore.get_connection() as connection, connection.transaction():
            connection.execute(_LOCKED, [LOCK])
            with connection.cursor(row_factory=tuple_row) as cursor:
                return cursor.execute(_READ_BACK, wanted).fetchall()


def _conflict(records: Sequence[StoredRecord], heads: dict[Stream, int], known: dict[Stream, int]) -> str | None:
    """Why the records do not follow, moving `heads` on as far as they do; None if they do."""
    for record in records:
        stream = (record.run, record.stream)
        head = heads.get(stream)
        if head is None:
            head = known.get(stream, 0)
        if record.originator_version != head + 1:
            return (
                f"stream {record.stream} of run {record.run} is at version {head}; "
                f"a record for version {record.originator_version} does not follow, and nothing was appended"
            )
        heads[stream] = record.last_version
    return None


def _epochs(waiting: Sequence[Append]) -> dict[int, int]:
    """Under which epoch each run is appended to; raises FencedError where two of the group differ."""
    epochs: dict[int, int] = {}
    for each in waiting:
        for run in {record.run for record in each.records}:
            epoch = each.epochs.get(run, 0)
            if epochs.setdefault(run, epoch) != epoch:
                raise FencedError(f"another writer of this process has taken run {run}; nothing was appended")
    return epochs


def _positions(first: int, records: Sequence[StoredRecord]) -> list[int]:
    return list(accumulate((record.events for record in records[:-1]), initial=first))


def _is_taken(error: PersistenceError) -> bool:
    """Whether a position or version that we wanted to write is there already."""
    cause = error.__cause__
    return isinstance(cause, psycopg.errors.UniqueViolation) and cause.diag.table_name == "records"


def _parameters(epochs: dict[int, int], first: int, positions: list[int], records: Sequence[StoredRecord]) -> list[Any]:
    """What `append_records` takes."""
    fields = [vars(record) for record in records]
    columns = [packed(kind, [field[name] for field in fields]) for name, kind in _COLUMNS.items()]
    return [
        packed("bigint", list(epochs)), packed("integer", list(epochs.values())), first,
        packed("bigint", positions), *columns,
    ]  # fmt: skip


def _write_also(connection: psycopg.Connection[DictRow], waiting: Sequence[Append], positions: Sequence[int]) -> None:
    start = 0
    for each in waiting:
        end = start + len(each.records)
        if each.also is not None:
            each.also(connection, positions[start:end])
        start = end


def _told(error: TruetapeError | PersistenceError) -> Exception:
    """The error in our words; what has been said is not said again."""
    return error if isinstance(error, TruetapeError) else StoreError(f"nothing was appended: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
