"""The codec: every event there and back, a block is its records, one digest whatever the batches, old tags."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice, pairwise
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import NODEFAULT
from msgspec.structs import fields

from domain.catalogue import BY_TAG, EVENTS
from domain.errors import StoreError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store import codec
from infrastructure.event_store.upcasters import UPCASTERS, StoredArray
from tests.infrastructure.event_store.rows import record

st.register_type_strategy(Decimal, st.decimals(allow_nan=False, allow_infinity=False))
# What crosses the wire fits 64 bits, and text is UTF-8: both are checked where they enter.
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(float, st.floats(allow_nan=False))  # a feature; what is no number equals nothing
st.register_type_strategy(str, st.text(st.characters(codec="utf-8")))

TIMES = st.integers(0, 2**62).map(Time)


def any_event(event_type: type[Event]) -> st.SearchStrategy[Event]:
    """An event of any content; where a default is made anew each time, its stand-in is no content."""
    hints = get_type_hints(event_type)
    made = [field.name for field in fields(event_type) if field.default_factory is not NODEFAULT]
    return st.builds(event_type, **{name: st.from_type(hints[name]) for name in made})


@pytest.mark.parametrize("event_type", EVENTS, ids=BY_TAG)
@settings(max_examples=30)
@given(st.data())
def test_every_event_decodes_to_what_was_encoded(event_type: type[Event], data: st.DataObject) -> None:
    event = data.draw(any_event(event_type))
    cause = data.draw(st.none() | st.tuples(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1)))
    seen, venue = (data.draw(st.none() | TIMES) for _ in range(2))
    original: Record[Event] = Record(3, 4, data.draw(TIMES), "a", cause, (event, event), None, seen, venue, -7)
    state = codec.encode(original)
    decoded = codec.decode(state)
    assert decoded == original
    assert type(decoded.events[0]) is event_type
    assert codec.encode(decoded) == state
    # An event goes by its tag, never by where its class lives.
    assert msgspec.msgpack.decode(state)[5][0][0] == event_type.__struct_config__.tag


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65535, 65536])
def test_a_block_is_the_concatenation_of_its_records(count: int) -> None:
    records = [record(1, number) for number in range(1, count + 1)]
    assert codec.encode_block(records) == b"".join(codec.encode(each) for each in records)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_the_digest_does_not_show_batches(sizes: list[int]) -> None:
    records = [record(1, number, events=1 + number % 3) for number in range(1, sum(sizes) + 1)]
    digest, source = codec.LogDigest(), iter(records)
    for size in sizes:
        digest.update(list(islice(source, size)))
    assert digest.hexdigest() == hashlib.sha256(b"".join(map(codec.encode, records))).hexdigest()
    assert (digest.records, digest.events) == (len(records), sum(len(each.events) for each in records))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5, unique=True))
def test_the_digest_shows_order(versions: list[int]) -> None:
    for one, other in pairwise(versions):
        assert _digest([record(1, one), record(1, other)]) != _digest([record(1, other), record(1, one)])


def _digest(records: Sequence[Record[Event]]) -> str:
    digest = codec.LogDigest()
    digest.update(records)
    return digest.hexdigest()


def test_a_leaf_is_rfc_6962s() -> None:
    # The leaf hashes of RFC 6962's well-known test vectors: the empty entry, and the entry 00.
    assert codec.leaf_of(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert codec.leaf_of(b"\x00").hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\x01",
        b"\x90",
        codec.encode(record(1, 1))[:-1],
        codec.encode(record(1, 1)) + b"\x00",
        msgspec.msgpack.encode([1, 1, 5, "x", None, [["no.such_event.v1", "b"]], None, None, None, 0]),
        msgspec.msgpack.encode([1, 1, 5, "x", None, [[]], None, None, None, 0]),
        msgspec.msgpack.encode([1, 1, 5, "x", None, 7, None, None, None, 0]),
        msgspec.msgpack.encode({"stream": 1}),
    ],
)
def test_what_is_no_record_is_named_by_run_and_position(state: bytes) -> None:
    with pytest.raises(StoreError, match="position 8 of run 3"):
        codec.decode(state, run=3, position=8)


def _first_step(event: StoredArray) -> StoredArray:
    return ["old.group_over.v2", *event[1:], "unknown"]


def _second_step(event: StoredArray) -> StoredArray:
    return ["position_group.closed.v1", *event[1:]]


def test_an_old_tag_is_brought_up_to_date() -> None:
    current = record(1, 1, events=2)
    raw = msgspec.msgpack.decode(codec.encode(current))
    raw[5][0] = ["old.group_over.v1", "b", 0]
    upcasters = {"old.group_over.v1": _first_step, "old.group_over.v2": _second_step}
    decoded = codec.decode(msgspec.msgpack.encode(raw), upcasters=upcasters)
    assert decoded.events[1] == current.events[1]
    assert decoded.events[0] == msgspec.structs.replace(current.events[0], reason="unknown")


def test_an_old_tag_is_not_a_current_one() -> None:
    assert not set(UPCASTERS) & set(BY_TAG)
