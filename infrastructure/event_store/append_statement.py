"""The one statement that appends, what goes into it, and what tells afterwards whether it was carried out."""

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import Any

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, PersistenceError
from eventsourcing.utils import retry
from msgspec import Struct
from psycopg.rows import DictRow, TupleRow, tuple_row

from domain.errors import FencedError
from infrastructure.event_store.arrays import packed
from infrastructure.event_store.datastore import WriterDatastore
from infrastructure.event_store.mapper import StoredRecord

LOCK = 0x7472_7565_0002
"""The advisory lock that `append_records` takes, to the end of its transaction: positions are in the order of commits,
so a reader that has seen a position has seen every one before it."""
LOCKED = "SELECT pg_advisory_xact_lock(%s)"

_COLUMNS = {
    "run": "bigint", "stream": "integer", "originator_version": "integer", "events": "integer", "at": "bigint",
    "observed_at": "bigint", "venue_at": "bigint", "clock_offset": "bigint", "actor": "text",
    "cause_stream": "integer", "cause_version": "integer", "key": "text", "topic": "text", "leaf": "bytea",
    "state": "bytea",
}  # fmt: skip
"""The columns behind the position, by the stored record's field."""
_APPEND = f"SELECT append_records({', '.join(['%b'] * (len(_COLUMNS) + 5))})".encode()
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
Stream = tuple[int, int]
"""(run, stream)."""


class Append(Struct):
    """Records to append all or none, under these epochs of their runs; `done` gets their positions.

    `again`: whether they are on the log already is not known, and if they are, that is a success.
    """

    records: Sequence[StoredRecord]
    also: Also | None
    epochs: dict[int, int]
    again: bool
    done: "Future[list[int]]"


class Statement(Struct, frozen=True):
    """An attempt to append, of which the server says whether the log ended at `first`."""

    attempt: int
    epochs: dict[int, int]
    positions: list[int]
    parameters: list[Any]

    @classmethod
    def of(cls, waiting: Sequence[Append], records: Sequence[StoredRecord], first: int) -> "Statement":
        """Raises FencedError where two of those that wait name different epochs of a run."""
        attempt, epochs = secrets.randbits(62), _epochs(waiting)
        positions = list(accumulate((record.events for record in records[:-1]), initial=first))
        fields = [vars(record) for record in records]
        columns = [packed(kind, [field[name] for field in fields]) for name, kind in _COLUMNS.items()]
        parameters = [
            attempt, packed("bigint", list(epochs)), packed("integer", list(epochs.values())), first,
            packed("bigint", positions), *columns,
        ]  # fmt: skip
        return cls(attempt, epochs, positions, parameters)

    def execute(self, connection: psycopg.Connection[DictRow]) -> int:
        """Where the log ended; if that is `first`, the records are written. Raises FencedError."""
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            (ended,) = cursor.execute(_APPEND, self.parameters, prepare=True).fetchone() or (None,)
        if ended is None:
            runs = ", ".join(map(str, self.epochs))
            raise FencedError(f"another writer has taken run {runs}; this one appends nothing any more")
        return int(ended)


def find(connection: psycopg.Connection[DictRow], records: Sequence[StoredRecord]) -> list[TupleRow]:
    """(place, position, leaf) of what is on the log at the records' versions."""
    wanted = [
        [record.run for record in records],
        [record.stream for record in records],
        [record.originator_version for record in records],
    ]
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(_FIND, wanted).fetchall()


@retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
def read_back(datastore: WriterDatastore, records: Sequence[StoredRecord], attempt: int | None) -> list[TupleRow]:
    """What became of an append: as `find`; where it finds nothing, the attempt can write nothing any more.

    Under the lock: a lost transaction that has it holds it to its end, and one that comes later finds itself given up.
    """
    with datastore.get_connection() as connection, connection.transaction():
        connection.execute(LOCKED, [LOCK])
        found = find(connection, records)
        if not found and attempt is not None:
            connection.execute(_GIVE_UP, [attempt])
        return found


def same(records: Sequence[StoredRecord], found: Sequence[TupleRow]) -> bool:
    """Whether what was found are these very records."""
    return len(found) == len(records) and all(
        record.leaf == leaf for record, (_, _, leaf) in zip(records, found, strict=True)
    )


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


def conflict(records: Sequence[StoredRecord], heads: dict[Stream, int], known: dict[Stream, int]) -> str | None:
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


def write_also(connection: psycopg.Connection[DictRow], waiting: Sequence[Append], positions: Sequence[int]) -> None:
    """Write what else belongs into the transaction, each part with its own positions."""
    start = 0
    for each in waiting:
        end = start + len(each.records)
        if each.also is not None:
            each.also(connection, positions[start:end])
        start = end


def _epochs(waiting: Sequence[Append]) -> dict[int, int]:
    """Under which epoch each run is appended to; raises FencedError where two of the group differ."""
    epochs: dict[int, int] = {}
    for each in waiting:
        for run in {record.run for record in each.records}:
            epoch = each.epochs.get(run, 0)
            if epochs.setdefault(run, epoch) != epoch:
                raise FencedError(f"another writer of this process has taken run {run}; nothing was appended")
    return epochs
