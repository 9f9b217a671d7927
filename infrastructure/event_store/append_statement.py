"""The one statement that appends, what goes into it, and what tells afterwards whether it was carried out."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import Any

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, PersistenceError
from eventsourcing.utils import retry
from msgspec import Struct
from psycopg.rows import DictRow, TupleRow, tuple_row

from domain.errors import FencedError
from infrastructure.event_store.arrays import joined, packed
from infrastructure.event_store.batch import COLUMNS, Batch, Gap, Stream
from infrastructure.event_store.datastore import WriterDatastore

LOCK = 0x7472_7565_0002
"""The advisory lock that `append_records` takes, to the end of its transaction: positions are in the order of commits,
so a reader that has seen a position has seen every one before it."""
LOCKED = "SELECT pg_advisory_xact_lock(%s)"

_APPEND = f"SELECT append_records({', '.join(['%b'] * (len(COLUMNS) + 5))})".encode()
_FIND = """
SELECT asked.place, records.position, records.leaf
FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) WITH ORDINALITY AS asked (run, stream, version, place)
JOIN records USING (run, stream, version) ORDER BY asked.place
"""
_GIVE_UP = "INSERT INTO given_up (attempt) VALUES (%s) ON CONFLICT DO NOTHING"
_UNHEARD = ("08", "57P")
"""Where these SQLSTATEs begin so, the connection has ended, and with it the answer."""

Also = Callable[[psycopg.Connection[DictRow], Sequence[int]], None]
"""Given the connection, inside the transaction of an append, and the positions of its records."""


class Append(Struct):
    """A batch to append whole or not at all, under these epochs of its runs; `done` gets its positions.

    `again`: whether it is on the log already is not known, and if it is, that is a success.
    """

    batch: Batch
    also: Also | None
    epochs: dict[int, int]
    again: bool
    done: "Future[list[int]]"


class Statement(Struct, frozen=True):
    """An attempt to append, of which the server says whether the log ended at `first`; after it, it ends at `after`."""

    attempt: int
    epochs: dict[int, int]
    positions: list[int]
    after: int
    parameters: list[Any]

    @classmethod
    def of(cls, waiting: Sequence[Append], first: int) -> "Statement":
        """Raises FencedError where two of those that wait name different epochs of a run."""
        attempt, epochs = secrets.randbits(62), _epochs(waiting)
        *positions, after = accumulate((count for each in waiting for count in each.batch.counts), initial=first)
        columns = map(joined, zip(*(each.batch.columns for each in waiting), strict=True))
        parameters = [
            attempt, packed("bigint", list(epochs)), packed("integer", list(epochs.values())), first,
            packed("bigint", positions), *columns,
        ]  # fmt: skip
        return cls(attempt, epochs, positions, after, parameters)

    def execute(self, connection: psycopg.Connection[DictRow]) -> int:
        """Where the log ended; if that is `first`, the records are written. Raises FencedError."""
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            (ended,) = cursor.execute(_APPEND, self.parameters, prepare=True).fetchone() or (None,)
        if ended is None:
            runs = ", ".join(map(str, self.epochs))
            raise FencedError(f"another writer has taken run {runs}; this one appends nothing any more")
        return int(ended)


def find(connection: psycopg.Connection[DictRow], batches: Sequence[Batch]) -> list[TupleRow]:
    """(place, position, leaf) of what is on the log at the records' versions."""
    streams = [stream for batch in batches for stream in batch.streams]
    versions = [version for batch in batches for version in batch.versions]
    wanted = [[run for run, _ in streams], [stream for _, stream in streams], versions]
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(_FIND, wanted).fetchall()


@retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
def read_back(datastore: WriterDatastore, batches: Sequence[Batch], attempt: int | None) -> list[TupleRow]:
    """What became of an append: as `find`; where it finds nothing, the attempt can write nothing any more.

    Under the lock: a lost transaction that has it holds it to its end, and one that comes later finds itself given up.
    """
    with datastore.get_connection() as connection, connection.transaction():
        connection.execute(LOCKED, [LOCK])
        found = find(connection, batches)
        if not found and attempt is not None:
            connection.execute(_GIVE_UP, [attempt])
        return found


def same(batches: Sequence[Batch], found: Sequence[TupleRow]) -> bool:
    """Whether what was found are these very records."""
    return [leaf for batch in batches for leaf in batch.leaves] == [leaf for _, _, leaf in found]


def is_unheard(error: BaseException) -> bool:
    """Whether the server's answer was lost, so that it may have been a yes."""
    if not isinstance(error, InterfaceError | OperationalError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(_UNHEARD)


def is_taken(error: PersistenceError) -> bool:
    """Whether a position or version that we wanted to write is there already."""
    cause = error.__cause__
    return isinstance(cause, psycopg.errors.UniqueViolation) and cause.diag.table_name == "records"


def conflict(batch: Batch, heads: Mapping[Stream, int]) -> str | None:
    """Why the batch does not follow what its streams are at, None if it does; a stream that is not named has no record."""
    for stream, version in batch.begins.items():
        if version != heads.get(stream, 0) + 1:
            return _does_not_follow(Gap(stream, heads.get(stream, 0), version))
    return _does_not_follow(batch.gap) if batch.gap else None


def write_also(connection: psycopg.Connection[DictRow], waiting: Sequence[Append], positions: Sequence[int]) -> None:
    """Write what else belongs into the transaction, each part with its own positions."""
    start = 0
    for each in waiting:
        end = start + len(each.batch)
        if each.also is not None:
            each.also(connection, positions[start:end])
        start = end


def _epochs(waiting: Sequence[Append]) -> dict[int, int]:
    """Under which epoch each run is appended to; raises FencedError where two of the group differ."""
    epochs: dict[int, int] = {}
    for each in waiting:
        for run in each.batch.runs:
            epoch = each.epochs.get(run, 0)
            if epochs.setdefault(run, epoch) != epoch:
                raise FencedError(f"another writer of this process has taken run {run}; nothing was appended")
    return epochs


def _does_not_follow(gap: Gap) -> str:
    run, stream = gap.stream
    return (
        f"stream {stream} of run {run} is at version {gap.head}; "
        f"a record for version {gap.version} does not follow, and nothing was appended"
    )
