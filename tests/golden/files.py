"""Golden files: for every tag its examples in stored bytes, with what they say written beside them.

What a release has written is never written anew: see `make golden`.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalogue import BY_TAG, tag_of
from domain.message import Event, Record
from infrastructure.event_store import codec
from tests.golden.examples import envelope_of, examples_of, named

FOLDER = Path(__file__).parent / "events"
COMMAND = "make golden"

Decode = Callable[[bytes], Record[Event]]


class Example(Struct, frozen=True, omit_defaults=True):
    """A record of one event as `release` stored it: its bytes in base64, its envelope and its event by names.

    `becomes` is what upcasters make of an event whose tag is no longer written.
    """

    release: str
    stored: str
    envelope: dict[str, Any]
    event: dict[str, Any]
    becomes: dict[str, Any] | None = None

    @property
    def state(self) -> bytes:
        return b64decode(self.stored)


class Golden(Struct, frozen=True):
    """The examples of one tag, the oldest first."""

    tag: str
    examples: tuple[Example, ...]


def path_of(tag: str, folder: Path = FOLDER) -> Path:
    return folder / f"{tag}.json"


def read(path: Path) -> Golden:
    return msgspec.json.decode(path.read_bytes(), type=Golden)


def write(golden: Golden, folder: Path = FOLDER) -> None:
    text = msgspec.json.format(msgspec.json.encode(golden), indent=1)
    path_of(golden.tag, folder).write_bytes(text + b"\n")


def current(event_type: type[Event], release: str) -> list[Example]:
    """What this code would store."""
    return [
        Example(release, b64encode(codec.encode(each)).decode(), envelope_of(each), named(each.events[0]))
        for each in examples_of(event_type)
    ]


def missing(event_type: type[Event], golden: Golden | None) -> list[Example]:
    """What this code would store and no example shows."""
    shown = {each.stored for each in golden.examples} if golden else set()
    return [each for each in current(event_type, "") if each.stored not in shown]


def up_to_date(event_type: type[Event], golden: Golden | None, release: str) -> Golden:
    """The examples with those of this code; of before, all that a release has written."""
    released = tuple(each for each in golden.examples if "dev" not in each.release) if golden else ()
    shown = {each.stored for each in released}
    fresh = (each for each in current(event_type, release) if each.stored not in shown)
    return Golden(tag_of(event_type), (*released, *fresh))


def check(golden: Golden, example: Example, decode: Decode, tags: Mapping[str, type[Event]] = BY_TAG) -> None:
    """Raises where the bytes no longer say what is written beside them, or are stored differently for no new field."""
    record = decode(example.state)
    (event,) = record.events
    if golden.tag in tags:
        wanted = example.event
        assert tag_of(type(event)) == golden.tag, f"the event is now {tag_of(type(event))}"
    else:
        assert example.becomes is not None, f"{golden.tag} is gone: write an upcaster, then `{COMMAND}`"
        wanted = example.becomes["event"]
        assert tag_of(type(event)) == example.becomes["tag"], f"{golden.tag} becomes {tag_of(type(event))}"
    _holds(wanted, named(event), golden.tag)
    _holds(example.envelope, envelope_of(record), "record")
    again = codec.encode(record)
    if (named(event), envelope_of(record)) == (example.event, example.envelope) and golden.tag in tags:
        assert again == example.state, "the same values are stored as other bytes"
    assert decode(again) == record


def becoming(golden: Golden, decode: Decode = codec.decode) -> Golden:
    """The examples of a tag that is no longer written, each with what it becomes; what is said already stays."""
    return Golden(golden.tag, tuple(each if each.becomes else _become(each, decode) for each in golden.examples))


def _become(example: Example, decode: Decode) -> Example:
    (event,) = decode(example.state).events
    return msgspec.structs.replace(example, becomes={"tag": tag_of(type(event)), "event": named(event)})


def _holds(wanted: Any, found: Any, where: str) -> None:
    """Everything that is written is there and the same; fields that have come since are of no concern."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            assert key in found, f"{where}.{key} is gone"
            _holds(value, found[key], f"{where}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            _holds(one, other, f"{where}[{index}]")
    else:
        assert wanted == found, f"{where} was {wanted!r} and is {found!r}"
