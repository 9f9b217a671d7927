"""Records as bytes: MessagePack arrays, deterministic, nothing in them but the record."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import attrgetter, or_
from typing import Any, cast

import msgspec

from domain.catalogue import EVENTS
from domain.errors import StoreError
from domain.message import Event, Record
from infrastructure.event_store.upcasters import UPCASTERS, Upcaster, upcast

TOPIC = "record.v1"
"""The stored form of a record; the tags of its events are inside."""

_events_of = attrgetter("events")
_EVENTS_FIELD = Record.__struct_fields__.index("events")
_FIXARRAY = 0x90
_FIXARRAY_MAX = 15
_ARRAY16_MAX = 2**16 - 1

_ENCODER = msgspec.msgpack.Encoder()
# The union is made at run time from the catalogue: every event there is.
_RECORD: Any = cast("Any", Record)[reduce(or_, cast("tuple[Any, ...]", EVENTS))]
_DECODER: msgspec.msgpack.Decoder[Record[Event]] = msgspec.msgpack.Decoder(_RECORD)
_BLOCK_DECODER: msgspec.msgpack.Decoder[list[Record[Event]]] = msgspec.msgpack.Decoder(list[_RECORD])


def encode(record: Record[Event]) -> bytes:
    return _ENCODER.encode(record)


def encode_block(records: Sequence[Record[Event]]) -> bytes:
    """The concatenation of the records' single encodings, made in one call."""
    records = records if isinstance(records, list) else list(records)
    return _ENCODER.encode(records)[len(_header(len(records))) :]


def decode(
    state: bytes, run: int = 0, position: int = 0, upcasters: Mapping[str, Upcaster] = UPCASTERS
) -> Record[Event]:
    """Read a record back; `run` and `position` name it in the StoreError."""
    try:
        return _DECODER.decode(state)
    except msgspec.ValidationError:
        # Not a record as the catalogue knows it: perhaps one with an event under an old tag.
        try:
            return _DECODER.decode(_up_to_date(state, upcasters))
        except (msgspec.MsgspecError, TypeError, IndexError, KeyError, ValueError) as error:
            raise _undecodable(run, position, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(run, position, error) from error


def decode_block(block: bytes, count: int) -> list[Record[Event]]:
    """Read back what `encode_block` made of `count` records under this version of the code."""
    return _BLOCK_DECODER.decode(_header(count) + block)


def leaf_of(state: bytes) -> bytes:
    """The hash of a record's bytes as a leaf of an RFC 6962 Merkle tree."""
    return hashlib.sha256(b"\x00" + state).digest()


class LogDigest:
    """SHA-256 over the stored bytes of the records so far, in order, however they were batched."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.records = 0
        self.events = 0

    def update(self, records: Sequence[Record[Event]]) -> None:
        self._hash.update(encode_block(records))
        self._count(records)

    def update_block(self, block: bytes, records: Sequence[Record[Event]]) -> None:
        """As `update`, where the records' block is known already."""
        self._hash.update(block)
        self._count(records)

    def update_encoded(self, records: Sequence[Record[Event]], states: Sequence[bytes]) -> None:
        """As `update`, where the records' bytes are known already."""
        self._hash.update(b"".join(states))
        self._count(records)

    def digest(self) -> bytes:
        return self._hash.digest()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _count(self, records: Sequence[Record[Event]]) -> None:
        self.records += len(records)
        self.events += sum(map(len, map(_events_of, records)))


def _header(count: int) -> bytes:
    """How MessagePack says that `count` items follow."""
    if count <= _FIXARRAY_MAX:
        return bytes([_FIXARRAY | count])
    return b"\xdc" + count.to_bytes(2) if count <= _ARRAY16_MAX else b"\xdd" + count.to_bytes(4)


def _up_to_date(state: bytes, upcasters: Mapping[str, Upcaster]) -> bytes:
    raw = msgspec.msgpack.decode(state)
    raw[_EVENTS_FIELD] = [upcast(event, upcasters) for event in raw[_EVENTS_FIELD]]
    return _ENCODER.encode(raw)


def _undecodable(run: int, position: int, error: Exception) -> StoreError:
    return StoreError(f"the record at position {position} of run {run} cannot be decoded: {error}")
