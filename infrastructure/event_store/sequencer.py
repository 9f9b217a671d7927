"""The sequencer: everything that is appended goes through it, in one order, and what is queued goes out together.

It knows where the log and the streams it writes to end, so an append asks the database nothing: the one statement that
writes says whether that was still true. Others may append as well (another process, another run); then it looks again.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, PersistenceError
from eventsourcing.utils import retry
from psycopg.rows import DictRow, TupleRow, tuple_row

from domain.errors import ConflictError, InDoubtError, StoreError
from infrastructure.event_store.append_measures import AppendMeasures
from infrastructure.event_store.append_statement import (
    LOCK,
    LOCKED,
    Also,
    Append,
    Statement,
    Stream,
    conflict,
    find,
    is_taken,
    is_unheard,
    read_back,
    same,
    write_also,
)
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


class _MovedError(Exception):
    """Somebody else has appended since we last looked."""


class Sequencer:
    """The one thread through which this process appends to a database's log."""

    def __init__(self, datastore: WriterDatastore) -> None:
        self.measures = AppendMeasures()
        self._datastore = datastore
        self._queue: deque[Append] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._next: int | None = None
        self._heads: dict[Stream, int] = {}

    def submit(
        self,
        records: Sequence[StoredRecord],
        also: Also | None = None,
        epochs: dict[int, int] | None = None,
        *,
        again: bool = False,
    ) -> "Future[list[int]]":
        """Queue an append; it is durable when the future has its positions. Waits while too much is queued.

        The future raises ConflictError where a stream has moved on, FencedError where another writer has taken the run,
        StoreError where the database cannot take it: then nothing was written. InDoubtError alone leaves open whether it
        was; submitted `again`, it is written unless it is there already. A future that is cancelled before its turn is
        not written.
        """
        assert threading.current_thread() is not self._thread, "the sequencer would wait for itself"
        done: Future[list[int]] = Future()
        if not records:
            done.set_result([])
            return done
        with self._changed:
            self._changed.wait_for(lambda: self._queued < QUEUED_RECORDS or self._closed)
            if self._closed:
                raise StoreError("the database is closed; nothing was appended")
            self.measures.follow(done, len(records))
            self._queue.append(Append(records, also, epochs or {}, again, done))
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
        while self._wait():
            group: list[Append] = []
            try:
                self._take(group)
                self._settle([each for each in group if each.done.set_running_or_notify_cancel()])
            except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
                self._forget()
                for each in group:
                    if not each.done.done():
                        each.done.set_exception(error)

    def _wait(self) -> bool:
        """Until something is queued; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            return bool(self._queue)

    def _take(self, group: list[Append]) -> None:
        """Move what is queued into the group, up to a group's size."""
        with self._changed:
            size = 0
            while self._queue and (not group or size + len(self._queue[0].records) <= GROUP_RECORDS):
                group.append(self._queue[0])
                size += len(self._queue.popleft().records)
            self._queued -= size
            self._changed.notify_all()

    def _settle(self, group: list[Append]) -> None:
        """Append a group in one transaction; where that fails, each alone, so that one's trouble is no other's.

        Not where the database is gone: then it is gone for each, and each would wait for it as long as all.
        """
        try:
            waiting, positions = self._append(group)
        except Exception as error:  # noqa: BLE001  (an `also` may raise anything; whoever asked is told)
            self._forget()
            if len(group) == 1 or isinstance(error, InDoubtError) or is_unheard(error):
                for each in _unsettled(group):
                    each.done.set_exception(_told(each, error))
                return
        else:
            start = 0
            for each in waiting:
                end = start + len(each.records)
                each.done.set_result(positions[start:end])
                start = end
        for each in _unsettled(group):
            self._settle([each])

    def _append(self, group: list[Append]) -> tuple[list[Append], list[int]]:
        """Write those of the group that follow. Returns the written ones; of the others some have been told why not."""
        for _ in range(_ATTEMPTS):
            try:
                return self._write(group)
            except _MovedError:
                continue  # look again
        # Others append faster than we can look: this time look while they have to wait.
        written: tuple[list[Append], list[int]] | None = None
        try:
            with self._connection() as connection, connection.transaction():
                connection.execute(LOCKED, [LOCK])
                self._forget()
                written = self._write(group, connection)
        except PersistenceError as error:
            self._forget()
            if written is None:
                raise  # before COMMIT: nothing was written
            waiting, _ = written
            # That transaction holds the lock to its end: there is no attempt that could come later.
            return waiting, self._resolve([record for each in waiting for record in each.records], error, None)
        return written

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
        """Those whose records begin where their streams end, counting the ones before them.

        Who does not even follow what is on the log is told so. Who only does not follow one before it is left for later:
        whether that one is written is not known yet.
        """
        unknown = {
            (record.run, record.stream) for each in group for record in each.records
        } - self._heads.keys()  # fmt: skip
        if unknown:
            self._heads |= self._read_heads(unknown, connection)
        heads: dict[Stream, int] = {}
        following: list[Append] = []
        for each in _unsettled(group):
            trial = dict(heads) if len(group) > 1 else heads
            if conflict(each.records, trial, self._heads) is not None:
                # Perhaps another process has appended what this one follows; what it says then is the truth.
                self._heads |= self._read_heads({(record.run, record.stream) for record in each.records}, connection)
                trial = dict(heads)
                if conflict(each.records, trial, self._heads) is not None:
                    self._refuse(each, following, connection)
                    continue
            heads = trial
            following.append(each)
        return following

    def _refuse(self, each: Append, before: Sequence[Append], held: psycopg.Connection[DictRow] | None) -> None:
        """Tell one that does not follow, unless it may when those before it have failed."""
        reason = conflict(each.records, {}, self._heads)
        if reason is None or _meet(each, before):
            return
        found: Sequence[TupleRow] = ()
        if each.again:
            with nullcontext(held) if held else self._connection() as connection:
                found = find(connection, each.records)
        if found and same(each.records, found):
            each.done.set_result([position for _, position, _ in found])
        else:
            each.done.set_exception(ConflictError(reason))

    def _send(
        self,
        waiting: Sequence[Append],
        records: Sequence[StoredRecord],
        held: psycopg.Connection[DictRow] | None,
    ) -> list[int]:
        """The one statement, with what else belongs into its transaction; raises _MovedError, and nothing was written."""
        first = self._read_end(held) if self._next is None else self._next
        statement = Statement.of(waiting, records, first)
        try:
            with nullcontext(held) if held else self._connection() as connection:
                alone = held or not any(each.also for each in waiting)
                with nullcontext() if alone else connection.transaction():  # alone, the statement is one by itself
                    self._execute(connection, statement, first)
                    write_also(connection, waiting, statement.positions)
        except PersistenceError as error:
            self._forget()
            if is_taken(error):
                raise _MovedError from error
            # The answer to COMMIT may be what was lost; asking again would be a conflict with ourselves.
            return self._resolve(records, error, statement.attempt if is_unheard(error) else None)
        self._next = statement.positions[-1] + records[-1].events
        return statement.positions

    def _execute(self, connection: psycopg.Connection[DictRow], statement: Statement, first: int) -> None:
        ended = statement.execute(connection)
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

    def _resolve(self, records: Sequence[StoredRecord], error: PersistenceError, attempt: int | None) -> list[int]:
        """The positions of an append whose outcome is unknown, if it was written; else what to say of it."""
        try:
            found = read_back(self._datastore, records, attempt)
        except PersistenceError as unreachable:
            raise InDoubtError(
                f"Postgres was lost during an append ({_first_line(error)}) and does not answer ({_first_line(unreachable)}); "
                "whether it was written is not known until it answers"
            ) from error
        if not found:
            raise StoreError(f"nothing was appended: {_first_line(error)}") from error
        if not same(records, found):
            raise ConflictError("another writer has appended to these streams; nothing was appended") from error
        return [position for _, position, _ in found]


def _unsettled(group: Sequence[Append]) -> list[Append]:
    return [each for each in group if not each.done.done()]


def _meet(each: Append, others: Sequence[Append]) -> bool:
    """Whether any of the others writes to a stream of this one."""
    streams = {(record.run, record.stream) for record in each.records}
    return any((record.run, record.stream) in streams for other in others for record in other.records)


def _told(each: Append, error: Exception) -> Exception:
    """The error in our words; what has been said is not said again."""
    if not isinstance(error, StoreError | PersistenceError):
        return error
    if each.again:  # that this attempt wrote nothing says nothing of the one before
        return InDoubtError(f"whether it was appended is still not known: {_first_line(error)}")
    return error if isinstance(error, StoreError) else StoreError(f"nothing was appended: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
