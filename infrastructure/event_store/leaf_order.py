"""A run's records with their places in the whole log: each one's index among the leaves of all runs."""

from collections.abc import Iterator
from itertools import islice, takewhile

from domain.errors import StoreError
from domain.values import LARGEST
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import select
from infrastructure.event_store.runs import BATCH, KeptRecord, records_of

_COUNTS = """
SELECT (SELECT count(*) FROM records WHERE position >= span.first AND position < span.behind)
FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS span (first, behind, place) ORDER BY span.place
"""


def leaves_of(database: Database, run: int, upto: int = LARGEST) -> Iterator[tuple[int, KeptRecord]]:
    """(leaf index, record) of the run's records that begin at or before a position, read a batch at a time.

    Raises StoreError, with the position, at a record whose bytes are not those that were hashed when it was written.
    """
    kept = takewhile(lambda each: each.position <= upto, records_of(database, run))
    index, expected = 0, 1
    while batch := list(islice(kept, BATCH)):
        # Positions are dense, so where one is passed over there are records of other runs: those alone are counted.
        spans: dict[int, int] = {}
        for each in batch:
            if each.position != expected:
                spans[expected] = each.position
            expected = each.position + each.events
        others = _counts(database, spans)
        for each in batch:
            if not each.is_intact():
                raise StoreError(f"the record at position {each.position} of run {run} is not what was written there")
            index += others.get(each.position, 0)
            yield index, each
            index += 1


def _counts(database: Database, spans: dict[int, int]) -> dict[int, int]:
    """How many records begin in each span, by its end."""
    if not spans:
        return {}
    counts = select(database, _COUNTS, [list(spans), list(spans.values())])
    return {behind: count for behind, (count,) in zip(spans.values(), counts, strict=True)}
