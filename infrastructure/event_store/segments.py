"""Sealed segments: every 4096 records of the global order as one immutable block, chained by their digests.

The rows stay what appends are checked against; a segment is what history is read from, a block in one call. As 4096 is
a power of two, a segment's root is a node of the RFC 6962 tree over the whole log.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec
from eventsourcing.persistence import PersistenceError
from msgspec import Struct, structs
from psycopg.rows import tuple_row

from domain.errors import StoreError
from domain.message import Event, Record
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import root_of
from infrastructure.event_store.reading import select

SEGMENT_RECORDS = 4096
FETCHED = 4
"""Segments that one question asks for."""
_NO_DIGEST = bytes(32)
_WHAT = "the segments"

_LAST = "SELECT segment, first_position + events, digest FROM segments ORDER BY segment DESC LIMIT 1"
_NEXT = "SELECT position, run, events, state FROM records WHERE position >= %s ORDER BY position LIMIT %s"
_FIELDS = "segment, first_position, events, runs, lengths, members, block, root, previous, digest"
_INSERT = f"INSERT INTO segments ({_FIELDS}) VALUES ({', '.join(['%b'] * 10)}) ON CONFLICT DO NOTHING"  # noqa: S608
_READ = f"SELECT {_FIELDS} FROM segments WHERE segment >= %s"  # noqa: S608  (names from above)
_OF_RUN = " AND %s = ANY(runs)"
_HOLDING = "SELECT segment FROM segments WHERE first_position <= %s ORDER BY segment DESC LIMIT 1"
_ROOTS = "SELECT root FROM segments ORDER BY segment"


class Segment(Struct, frozen=True):
    """A block of 4096 records as it lies in Postgres or in a file; nothing about it has been believed yet.

    `lengths` has the length of each record's bytes, `members` the place of its run in `runs`, empty where there is one
    run; both as big-endian numbers of 4 bytes.
    """

    segment: int
    first_position: int
    events: int
    runs: tuple[int, ...]
    lengths: bytes
    members: bytes
    block: bytes
    root: bytes
    previous: bytes
    digest: bytes

    @property
    def end(self) -> int:
        """The position behind its last event."""
        return self.first_position + self.events

    def states(self) -> list[bytes]:
        """The stored bytes of each record."""
        ends = list(accumulate(_numbers(self.lengths), initial=0))
        return [self.block[start:end] for start, end in pairwise(ends)]

    def records(self, run: int) -> tuple[list[int], list[Record[Event]]]:
        """The positions of a run's records, and the records; raises StoreError where they cannot be decoded."""
        records = self._decode()
        positions = list(accumulate([len(each.events) for each in records[:-1]], initial=self.first_position))
        if self.runs == (run,):
            return positions, records
        members = self.runs_of_records()
        mine = [place for place, member in enumerate(members) if member == run]
        return [positions[place] for place in mine], [records[place] for place in mine]

    def runs_of_records(self) -> list[int]:
        """The run that each record belongs to."""
        if not self.members:
            return [self.runs[0]] * SEGMENT_RECORDS
        return [self.runs[place] for place in _numbers(self.members)]

    def _decode(self) -> list[Record[Event]]:
        try:
            return codec.decode_block(self.block, SEGMENT_RECORDS)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Perhaps it has an event under an old tag; one that cannot be read at all is named by its position.
            runs, position, records = self.runs_of_records(), self.first_position, []
            for run, state in zip(runs, self.states(), strict=True):
                records.append(codec.decode(state, run, position))
                position += len(records[-1].events)
            return records


def digest_of(segment: Segment) -> bytes:
    """SHA-256 over the digest before it and everything in it, each with its length."""
    found = hashlib.sha256(segment.previous)
    for part in (
        msgspec.msgpack.encode((segment.segment, segment.first_position, segment.events, segment.runs)),
        segment.lengths, segment.members, segment.root, segment.block,
    ):  # fmt: skip
        found.update(len(part).to_bytes(8))
        found.update(part)
    return found.digest()


def fault_of(segment: Segment, previous: bytes | None) -> str | None:
    """What is wrong with a segment by itself and as the successor of the one with this digest, None if nothing is."""
    if previous is not None and segment.previous != previous:
        return f"segment {segment.segment} does not follow the one before it: its chain is broken"
    if segment.digest != digest_of(segment):
        return f"segment {segment.segment} is not what was sealed: its digest differs"
    if sum(_numbers(segment.lengths)) != len(segment.block) or len(segment.lengths) != 4 * SEGMENT_RECORDS:
        return f"segment {segment.segment} has lengths that do not fit its block"
    if segment.root != root_of([codec.leaf_of(state) for state in segment.states()]):
        return f"segment {segment.segment} has another root than its records"
    return None


def seal(database: Database, most: int | None = None) -> int:
    """Seal what is full, at most so many segments; return how many. Two that seal at once make the same segments."""
    sealed = 0
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            number, position, previous = cursor.execute(_LAST).fetchone() or (-1, 1, _NO_DIGEST)
            while most is None or sealed < most:
                rows = cursor.execute(_NEXT, [position, SEGMENT_RECORDS]).fetchall()
                if len(rows) < SEGMENT_RECORDS:
                    break
                segment = _sealed(number + 1, position, previous, rows)
                cursor.execute(
                    _INSERT, [list(part) if isinstance(part, tuple) else part for part in structs.astuple(segment)]
                )
                number, position, previous = segment.segment, segment.end, segment.digest
                sealed += 1
    except PersistenceError as error:
        raise StoreError(f"the log cannot be sealed: {error}") from error
    return sealed


def read_segments(database: Database, first: int = 0, run: int | None = None) -> Iterator[Segment]:
    """The segments from a number on, in order; only those that have records of the run, if one is named."""
    statement = _READ + (_OF_RUN if run is not None else "") + " ORDER BY segment LIMIT %s"
    while True:
        parameters = [first, FETCHED] if run is None else [first, run, FETCHED]
        rows = select(database, statement, parameters, _WHAT)
        for row in rows:
            yield _segment(row)
        if len(rows) < FETCHED:
            return
        first = rows[-1][0] + 1


def segment_at(database: Database, position: int) -> int:
    """The number of the segment that a position is in, or of the last one before it; 0 while none is sealed."""
    rows = select(database, _HOLDING, [position], _WHAT)
    return int(rows[0][0]) if rows else 0


def segment_roots(database: Database) -> list[bytes]:
    """The root of every segment, in order: nodes of the log's RFC 6962 tree, each over 4096 leaves."""
    return [root for (root,) in select(database, _ROOTS, what=_WHAT)]


def _sealed(number: int, position: int, previous: bytes, rows: Sequence[tuple[Any, ...]]) -> Segment:
    """The segment of these rows; raises StoreError where they are not the next of the log without a gap."""
    states = [state for *_, state in rows]
    expected = position
    for found, _, events, _ in rows:
        if found != expected:
            raise StoreError(f"the log has a gap: a record at position {expected} is missing, and nothing is sealed")
        expected += events
    runs = tuple(dict.fromkeys(run for _, run, _, _ in rows))
    places = {run: place for place, run in enumerate(runs)}
    segment = Segment(
        number,
        position,
        expected - position,
        runs,
        _packed([len(state) for state in states]),
        _packed([places[run] for _, run, _, _ in rows]) if len(runs) > 1 else b"",
        b"".join(states),
        root_of([codec.leaf_of(state) for state in states]),
        previous,
        b"",
    )
    return structs.replace(segment, digest=digest_of(segment))


def _segment(row: tuple[Any, ...]) -> Segment:
    number, position, events, runs, *rest = row
    return Segment(number, position, events, tuple(runs), *rest)


def _packed(numbers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _numbers(packed: bytes) -> Sequence[int]:
    return struct.unpack(f">{len(packed) // 4}I", packed)
