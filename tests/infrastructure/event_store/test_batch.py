"""Batches: the same bytes whichever way they are made, and what they say of their streams is what a walk would."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.append_statement import conflict
from infrastructure.event_store.batch import Batch, Stream
from infrastructure.event_store.codec import encode, leaf_of
from infrastructure.event_store.mapper import RecordMapper, batch_of
from tests.infrastructure.event_store.rows import record

RUN = 7
times = st.none() | st.integers(0, 2**53).map(Time)
records = st.builds(
    Record[Event],
    stream=st.integers(0, 4),
    version=st.integers(1, 6),
    at=st.integers(0, 2**53).map(Time),
    actor=st.sampled_from(["a", "ä𝄞", ""]),
    cause=st.none() | st.tuples(st.integers(0, 9), st.integers(1, 9)),
    events=st.integers(1, 3).map(lambda count: record(1, 1, count).events),
    key=st.none() | st.text(st.characters(codec="utf-8"), max_size=3),
    observed_at=times,
    venue_at=times,
    clock_offset=st.integers(-5, 5),
)


def walked(heads: dict[Stream, int], appended: list[Record[Event]]) -> dict[Stream, int] | None:
    """Where the streams end afterwards; None if a record does not follow."""
    ends = dict(heads)
    for each in appended:
        if each.version != ends.get((RUN, each.stream), 0) + 1:
            return None
        ends[RUN, each.stream] = each.version + len(each.events) - 1
    return ends


@given(st.lists(records, min_size=1, max_size=8))
def test_a_batch_of_records_is_that_of_their_stored_form(appended: list[Record[Event]]) -> None:
    mapper = RecordMapper(RUN)
    batch = mapper.to_batch(appended)
    assert batch == batch_of([mapper.to_stored_event(each) for each in appended])
    assert batch.states == [encode(each) for each in appended]
    assert batch.leaves == [leaf_of(state) for state in batch.states]


@given(
    heads=st.dictionaries(st.integers(1, 3), st.integers(0, 4), max_size=3),
    plan=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 0, 0, 0, 0, 1, -1])), max_size=8),
)
def test_a_batch_follows_where_each_of_its_records_does(
    heads: dict[int, int], plan: list[tuple[int, int, int]]
) -> None:
    ends: dict[Stream, int] = {(RUN, stream): head for stream, head in heads.items()}
    before, appended = dict(ends), []
    for stream, events, shift in plan:
        version = ends.get((RUN, stream), 0) + 1 + shift
        appended.append(record(stream, version, events))
        ends[RUN, stream] = version + events - 1
    batch, expected = RecordMapper(RUN).to_batch(appended), walked(before, appended)
    assert (conflict(batch, before) is None) == (expected is not None)
    if expected is not None:
        assert before | batch.ends == expected


def test_nothing_is_a_batch_too() -> None:
    batch = RecordMapper(RUN).to_batch([])
    assert (len(batch), batch.runs, batch.ends, batch.gap) == (0, set(), {}, None)
    assert isinstance(batch, Batch)


def test_what_no_column_holds_is_refused_before_it_is_sent() -> None:
    with pytest.raises((OverflowError, struct.error)):
        RecordMapper(RUN).to_batch([record(2**31, 1)])
