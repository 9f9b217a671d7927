"""A run's records from anywhere to anywhere, in order: from sealed segments a block at a time, then from the rows."""

from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from domain.message import Event, Record
from domain.values import LARGEST
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import BATCH, records_of
from infrastructure.event_store.segments import read_segments, segment_at


class Stretch(Struct, frozen=True):
    """Records of a run and the positions of their first events."""

    positions: list[int]
    records: list[Record[Event]]


def history_of(database: Database, run: int, after: int = 0, upto: int = LARGEST) -> Iterator[Stretch]:
    """The run's records that begin behind `after` and at most at `upto`, some thousands at a time; none is empty.

    Raises StoreError where one cannot be decoded.
    """
    reached = after
    for segment in read_segments(database, segment_at(database, after), run):
        if segment.first_position > upto:
            return
        stretch = _within(Stretch(*segment.records(run)), after, upto)
        if stretch.records:
            yield stretch
        reached = max(after, segment.end - 1)
    kept = records_of(database, run, reached)
    while batch := [each for each in islice(kept, BATCH) if each.position <= upto]:
        yield Stretch([each.position for each in batch], [each.decode() for each in batch])


def _within(stretch: Stretch, after: int, upto: int) -> Stretch:
    if not stretch.positions or (stretch.positions[0] > after and stretch.positions[-1] <= upto):
        return stretch
    places = [place for place, position in enumerate(stretch.positions) if after < position <= upto]
    return Stretch([stretch.positions[place] for place in places], [stretch.records[place] for place in places])
