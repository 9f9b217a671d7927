"""Sealed segments held against the rows that they were made of: what they hold, their roots, their chain."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import root_of
from infrastructure.event_store.segments import SEGMENT_RECORDS, Segment, fault_of, read_segments

Fault = tuple[int, str]
"""The position of the first event concerned, and what is wrong."""


class RowOfSegment(Protocol):
    """What a segment repeats of a row."""

    @property
    def position(self) -> int: ...
    @property
    def run(self) -> int: ...
    @property
    def events(self) -> int: ...


class SegmentCheck:
    """Takes the log a block at a time, and holds each full block against its segment, if it is sealed."""

    def __init__(self, database: Database) -> None:
        self._segments = read_segments(database)
        self._number = 0
        self._previous: bytes | None = bytes(32)
        self._end = 0
        self._waiting: Segment | None = next(self._segments, None)

    def faults(self, rows: Sequence[RowOfSegment], leaves: Sequence[bytes]) -> Iterator[Fault]:
        """What is wrong with the segment of these rows; the rows themselves have been looked at."""
        segment = self._waiting
        self._end = rows[-1].position + rows[-1].events
        if segment is None or len(rows) < SEGMENT_RECORDS:
            return
        start = rows[0].position
        if segment.segment != self._number:
            yield start, f"segment {self._number} is missing: the next is {segment.segment}"
        fault = fault_of(segment, self._previous)
        differs = next(_differences(segment, rows, leaves), None)
        if differs is not None:
            yield differs, f"segment {segment.segment} holds another record than the row at position {differs}"
        if fault is not None:
            yield start, fault
        if (segment.first_position, segment.events) != (start, self._end - start):
            yield start, f"segment {segment.segment} says other positions than its rows"
        if segment.root != root_of(leaves):
            yield start, f"segment {segment.segment} has another root than its rows"
        self._number, self._previous, self._waiting = self._number + 1, segment.digest, next(self._segments, None)

    def rest(self) -> Iterator[Fault]:
        """What is sealed and is no longer among the rows."""
        if self._waiting is not None:
            said = f"segment {self._waiting.segment} holds records that are missing from the rows"
            yield max(self._waiting.first_position, self._end), said


def _differences(segment: Segment, rows: Sequence[RowOfSegment], leaves: Sequence[bytes]) -> Iterator[int]:
    """The positions of rows whose bytes or run are others in the segment; raises nothing on one that is broken."""
    lengths = [int.from_bytes(segment.lengths[start : start + 4]) for start in range(0, len(segment.lengths), 4)]
    ends = list(accumulate(lengths, initial=0))
    places = [int.from_bytes(segment.members[start : start + 4]) for start in range(0, len(segment.members), 4)]
    for number, (row, leaf) in enumerate(zip(rows, leaves, strict=True)):
        bounds = ends[number : number + 2]
        place = places[number] if number < len(places) else 0
        run = segment.runs[place] if place < len(segment.runs) else None
        if len(bounds) < 2 or codec.leaf_of(segment.block[slice(*bounds)]) != leaf or run != row.run:  # noqa: PLR2004  (a start and an end)
            yield row.position
