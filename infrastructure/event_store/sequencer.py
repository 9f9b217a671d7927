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
    conflict,
    find,
    is_taken,
    is_unheard,
    read_back,
    same,
    write_also,
)
from infrastructure.event_store.batch import Batch, Stream
from infrastructure.event_store.datastore import WriterDatastore

GROUP_RECORDS = 4000
"""Records that one commit takes at most, a larger single append aside."""
QUEUED_RECORDS = 40_000
"""Records that may wait before whoever appends waits too."""
HEADS_KEPT = 200_000
"""Streams whose ends are remembered."""
HANDED_OVER_RECORDS = 100
"""An append of so many is under way before whoever submits it goes on with other work: a thread that computes would keep
the interpreter from the sequencer's for a whole switch interval, 5 ms, which is as long as the append itself."""
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
        self._busy = False
        self._next: int | None = None
        self._heads: dict[Stream, int] = {}

    def submit(
        self,
        batch: Batch,
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
        if not len(batch):
            done.set_result([])
            return done
        with self._changed:
            self._changed.wait_for(lambda: self._queued < QUEUED_RECORDS or self._closed)
            if self._closed:
                raise StoreError("the database is closed; nothing was appended")
            self.measures.follow(done, len(batch))
            self._queue.append(Append(batch, also, epochs or {}, again, done))
            self._queued += len(batch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="truetape-sequencer", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            if len(batch) >= HANDED_OVER_RECORDS:
                self._changed.wait_for(lambda: self._busy or not self._queue)
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
            self._busy = False
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._busy = True
            return bool(self._queue)

    def _take(self, group: list[Append]) -> None:
        """Move what is queued into the group, up to a group's size."""
        with self._changed:
            size = 0
            while self._queue and (not group or size + len(self._queue[0].batch) <= GROUP_RECORDS):
                group.append(self._queue[0])
                size += len(self._queue.popleft().batch)
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
                end = start + len(each.batch)
                each.done.set_result(positions[start:end])
                start = end
        for each in _unsettled(group):
            self._settle([each])

    def _append(self, group: list[Append]) -> tuple[list[Append], list[int]]:
        """Write those of the group that follow. Returns the written ones; of the others some have been told why not."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._write(group, trusting=attempt == 0)
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
            return waiting, self._resolve(waiting, error, None)
        return written

    def _write(
        self, group: list[Append], connection: psycopg.Connection[DictRow] | None = None, *, trusting: bool = False
    ) -> tuple[list[Append], list[int]]:
        waiting = self._following(group, connection, trusting=trusting)
        if not waiting:
            return [], []
        positions = self._send(waiting, connection)
        for each in waiting:
            self._heads |= each.batch.ends
        if len(self._heads) > HEADS_KEPT:
            self._heads.clear()
        return waiting, positions

    def _following(
        self, group: list[Append], connection: psycopg.Connection[DictRow] | None, *, trusting: bool
    ) -> list[Append]:
        """Those whose records begin where their streams end, counting the ones before them.

        Who does not even follow what is on the log is told so. Who only does not follow one before it is left for later:
        whether that one is written is not known yet. Trusting, a stream that we have not met and that is written to from
        version 1 is taken for a new one: where it is not, its version 1 is taken, and the statement writes nothing.
        """
        unknown = {
            stream
            for each in group
            for stream, version in each.batch.begins.items()
            if stream not in self._heads and not (trusting and version == 1)
        }
        if unknown:
            self._heads |= self._read_heads(unknown, connection)
        ahead: dict[Stream, int] = {}
        following: list[Append] = []
        for each in _unsettled(group):
            if conflict(each.batch, self._ends(each.batch, ahead)) is not None:
                # Perhaps another process has appended what this one follows; what it says then is the truth.
                self._heads |= self._read_heads(each.batch.begins, connection)
                if conflict(each.batch, self._ends(each.batch, ahead)) is not None:
                    self._refuse(each, following, connection)
                    continue
            ahead |= each.batch.ends
            following.append(each)
        return following

    def _ends(self, batch: Batch, ahead: dict[Stream, int]) -> dict[Stream, int]:
        """Where the batch's streams end behind those that go before it."""
        return {stream: ahead.get(stream) or self._heads.get(stream, 0) for stream in batch.begins}

    def _refuse(self, each: Append, before: Sequence[Append], held: psycopg.Connection[DictRow] | None) -> None:
        """Tell one that does not follow, unless it may when those before it have failed."""
        reason = conflict(each.batch, self._heads)
        if reason is None or _meet(each, before):
            return
        found: Sequence[TupleRow] = ()
        if each.again:
            with nullcontext(held) if held else self._connection() as connection:
                found = find(connection, [each.batch])
        if found and same([each.batch], found):
            each.done.set_result([position for _, position, _ in found])
        else:
            each.done.set_exception(ConflictError(reason))

    def _send(self, waiting: Sequence[Append], held: psycopg.Connection[DictRow] | None) -> list[int]:
        """The one statement, with what else belongs into its transaction; raises _MovedError, and nothing was written."""
        first = self._read_end(held) if self._next is None else self._next
        statement = Statement.of(waiting, first)
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
            return self._resolve(waiting, error, statement.attempt if is_unheard(error) else None)
        self._next = statement.after
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

    def _resolve(self, waiting: Sequence[Append], error: PersistenceError, attempt: int | None) -> list[int]:
        """The positions of an append whose outcome is unknown, if it was written; else what to say of it."""
        batches = [each.batch for each in waiting]
        try:
            found = read_back(self._datastore, batches, attempt)
        except PersistenceError as unreachable:
            raise InDoubtError(
                f"Postgres was lost during an append ({_first_line(error)}) and does not answer ({_first_line(unreachable)}); "
                "whether it was written is not known until it answers"
            ) from error
        if not found:
            raise StoreError(f"nothing was appended: {_first_line(error)}") from error
        if not same(batches, found):
            raise ConflictError("another writer has appended to these streams; nothing was appended") from error
        return [position for _, position, _ in found]


def _unsettled(group: Sequence[Append]) -> list[Append]:
    return [each for each in group if not each.done.done()]


def _meet(each: Append, others: Sequence[Append]) -> bool:
    """Whether any of the others writes to a stream of this one."""
    return any(each.batch.begins.keys() & other.batch.begins.keys() for other in others)


def _told(each: Append, error: Exception) -> Exception:
    """The error in our words; what has been said is not said again."""
    if not isinstance(error, StoreError | PersistenceError):
        return error
    if each.again:  # that this attempt wrote nothing says nothing of the one before
        return InDoubtError(f"whether it was appended is still not known: {_first_line(error)}")
    return error if isinstance(error, StoreError) else StoreError(f"nothing was appended: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
