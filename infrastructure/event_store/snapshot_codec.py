"""Snapshots as bytes: compressed lines of JSON, read back only as the types that the deciders' states have.

JSON, because averages are fractions whose numbers outgrow 64 bits. What it cannot say (keys that are tuples, what was
first in) is a list of pairs here. Nothing in the bytes can name code.
"""

import hashlib
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, structs

from domain.deciders import ROUTES
from domain.errors import StoreError
from domain.message import Command, EventId
from domain.snapshot import STATES, OpenStream, Snapshot
from domain.values import InstrumentId, Time
from domain.wakes import Timer
from infrastructure.event_store.engine_version import rules_hash

FORM = "snapshot.v1"
"""What the bytes mean beside the types of the states; another meaning is another name."""
LINE_STREAMS = 128
"""Streams of a line: other threads wait while one is made."""
_ZLIB_LEVEL = 1

COMMANDS: Mapping[str, type[Command]] = {
    f"{decider.kind}.{command.__name__}": command for command, (decider, *_) in ROUTES.items()
}
_NAMES = {command: name for name, command in COMMANDS.items()}
_ENCODER = msgspec.json.Encoder()

Convert = Callable[[Any], Any]


class Head(Struct, frozen=True, array_like=True):
    """The first line: all but the streams, of which the others are `lines` in number."""

    opened: int
    timers: list[tuple[Time, EventId, str, msgspec.Raw]]
    rounds: list[tuple[str, str]]
    watches: list[tuple[InstrumentId, list[tuple[str, int]]]]
    lines: int


class Form:
    """How a kind's streams are written and read: as arrays of key, number, version and the state's fields."""

    def __init__(self, kind: str, key: Any, state: type[Struct]) -> None:
        self.kind = kind
        self._state = state
        fields = [(name, *_written(hint)) for name, hint in get_type_hints(state).items()]
        self._to = [to for _, _, to, _ in fields]
        self._back = [back for _, _, _, back in fields]
        wire = msgspec.defstruct(state.__name__, [(name, hint) for name, hint, _, _ in fields], array_like=True)
        self._wire: Any = wire
        line: Any = tuple[str, list[tuple[key, int, int, wire]]]  # type: ignore[valid-type]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)

    def encode(self, streams: Sequence[OpenStream]) -> bytes:
        rows = [(each.key, each.number, each.version, self._wired(each.state)) for each in streams]
        return _ENCODER.encode((self.kind, rows))

    def decode(self, line: bytes) -> Iterator[OpenStream]:
        """Raises msgspec.MsgspecError where it is none of this kind."""
        _, rows = self._decoder.decode(line)
        for key, number, version, wired in rows:
            values = structs.astuple(wired)
            state = self._state(*[back(value) for back, value in zip(self._back, values, strict=True)])
            yield OpenStream(key, number, version, state)

    def _wired(self, state: Struct) -> Any:
        return self._wire(*[to(value) for to, value in zip(self._to, structs.astuple(state), strict=True)])


def _same(value: Any) -> Any:
    return value


def _pairs(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(value.items())


def _written(hint: Any) -> tuple[Any, Convert, Convert]:
    """The type that a field is written as, and the ways there and back."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is deque:
        return list[arguments[0]], list, deque  # type: ignore[valid-type]
    if origin is OrderedDict:
        return list[tuple[arguments]], _pairs, OrderedDict  # type: ignore[valid-type]
    if origin in {dict, Mapping} and get_origin(arguments[0]) is tuple:
        return list[tuple[arguments]], _pairs, dict  # type: ignore[valid-type]
    return hint, _same, _same


FORMS = {kind: Form(kind, key, state) for kind, (key, state) in STATES.items()}


def encode(snapshot: Snapshot) -> bytes:
    """Raises StoreError where something in it cannot be written."""
    packer = zlib.compressobj(_ZLIB_LEVEL)
    try:
        return b"".join([*(packer.compress(line + b"\n") for line in _lines(snapshot)), packer.flush()])
    except (TypeError, OverflowError, msgspec.MsgspecError) as error:
        raise StoreError(f"a snapshot cannot be written: {error}") from error


def decode(state: bytes) -> Snapshot:
    """Raises StoreError where it cannot be read as what this version of the code has."""
    try:
        first, *rest = zlib.decompress(state).splitlines()
        head = msgspec.json.decode(first, type=Head)
        if len(rest) != head.lines:
            raise StoreError(f"a snapshot has {len(rest)} lines of streams; it was written with {head.lines}")
        streams: dict[str, list[OpenStream]] = {kind: [] for kind in FORMS}
        for line in rest:
            (kind, _) = msgspec.json.decode(line, type=tuple[str, msgspec.Raw])
            streams[kind] += FORMS[kind].decode(line)
        timers = [
            Timer(at, msgspec.json.decode(command, type=COMMANDS[name]), cause)
            for at, cause, name, command in head.timers
        ]
        return Snapshot(head.opened, streams, timers, head.rounds, dict(head.watches))
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise StoreError(f"a snapshot cannot be read: {error}") from error


def schema(rules: str | None = None) -> str:
    """What a snapshot depends on: the rules in force, the fields of every state, and how they are written."""
    digest = hashlib.sha256()
    parts = [FORM, rules_hash() if rules is None else rules]
    parts += [line for key, state in STATES.values() for line in (repr(key), *_described(state))]
    for part in parts:
        digest.update(len(part).to_bytes(8) + part.encode())
    return f"{FORM}:{digest.hexdigest()[:32]}"


def _described(type_: Any) -> Iterator[str]:
    """A struct's fields with their types, and those of the structs in them."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        for name, hint in get_type_hints(type_).items():
            yield f"{type_.__qualname__}.{name}: {hint}"
            yield from _described(hint)
    for inner in get_args(type_):
        yield from _described(inner)


def _lines(snapshot: Snapshot) -> Iterator[bytes]:
    timers = [(each.at, each.cause, _NAMES[type(each.command)], each.command) for each in snapshot.timers]
    groups = [
        (FORMS[kind], streams[start : start + LINE_STREAMS])
        for kind, streams in snapshot.streams.items()
        for start in range(0, len(streams), LINE_STREAMS)
    ]
    head = (snapshot.opened, timers, snapshot.rounds, list(snapshot.watches.items()), len(groups))
    yield _ENCODER.encode(head)
    for form, streams in groups:
        yield form.encode(streams)
