"""What any release has stored can be read for ever: every tag has golden files, and every golden file decodes."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from msgspec import structs

from domain.catalogue import BY_TAG
from domain.errors import StoreError
from domain.message import Event, Record
from infrastructure.event_store import codec
from tests.golden.files import (
    COMMAND,
    FOLDER,
    Example,
    Golden,
    becoming,
    check,
    current,
    missing,
    path_of,
    read,
    up_to_date,
    write,
)

FILES = sorted(FOLDER.glob("*.json"))


def complain(tag: str, folder: Path = FOLDER) -> str:
    """What is wrong with the golden file of a tag, empty where nothing is."""
    path = path_of(tag, folder)
    if not path.exists():
        return f"{tag} has no golden file; make one: {COMMAND}"
    if missing(BY_TAG[tag], read(path)):
        return f"{tag} is stored as no golden file shows; if its fields were meant to change: {COMMAND}"
    return ""


@pytest.mark.parametrize("tag", BY_TAG)
def test_every_tag_has_its_golden_file(tag: str) -> None:
    assert not complain(tag)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_golden_file_decodes_to_what_stands_beside_it(path: Path) -> None:
    golden = read(path)
    assert golden.tag == path.stem
    assert golden.examples
    for example in golden.examples:
        check(golden, example, codec.decode)


@pytest.mark.parametrize("tag", BY_TAG)
def test_examples_show_every_field_filled_and_every_one_that_may_be_missing(tag: str) -> None:
    examples = [each.event for each in current(BY_TAG[tag], "1.0")]
    for field in BY_TAG[tag].__struct_fields__:
        assert any(each[field] not in (None, [], {}) for each in examples), field


# --- planted: a harness that finds nothing proves nothing -------------------------------------------------------------


class Held(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """As it was released."""

    account: str
    quantity: int
    reserved: int
    side: Literal["buy", "sell"]
    limit: Decimal | None = None


class Grown(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """A field has come, last, with a default."""

    account: str
    quantity: int
    reserved: int
    side: Literal["buy", "sell"]
    limit: Decimal | None = None
    venue: str = "simulated"


class Shrunk(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """The last field is gone: the bytes decode, and say less."""

    account: str
    quantity: int
    reserved: int
    side: Literal["buy", "sell"]


class Swapped(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """Two fields of one type have changed places: the bytes decode, and lie."""

    account: str
    reserved: int
    quantity: int
    side: Literal["buy", "sell"]
    limit: Decimal | None = None


class Retyped(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """A field has another type."""

    account: str
    quantity: str
    reserved: int
    side: Literal["buy", "sell"]
    limit: Decimal | None = None


class Narrowed(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """An option is gone."""

    account: str
    quantity: int
    reserved: int
    side: Literal["buy"]
    limit: Decimal | None = None


class Required(Event, frozen=True, array_like=True, tag="test.held.v1"):
    """A field has come without a default."""

    account: str
    quantity: int
    reserved: int
    side: Literal["buy", "sell"]
    limit: Decimal | None
    venue: str


TAG = "test.held.v1"
HELD = Golden(TAG, tuple(current(Held, "0.1.0")))


def reader_of(event_type: type[Event]) -> Callable[[bytes], Record[Event]]:
    record: Any = Record
    return msgspec.msgpack.Decoder(record[event_type]).decode


def check_all(golden: Golden, event_type: type[Event]) -> None:
    for example in golden.examples:
        check(golden, example, reader_of(event_type), {TAG: event_type})


@pytest.mark.parametrize("event_type", [Held, Grown])
def test_a_compatible_change_passes(event_type: type[Event]) -> None:
    check_all(HELD, event_type)


@pytest.mark.parametrize("event_type", [Shrunk, Swapped, Retyped, Narrowed, Required])
def test_an_incompatible_change_is_found(event_type: type[Event]) -> None:
    with pytest.raises((AssertionError, msgspec.ValidationError)):
        check_all(HELD, event_type)


def test_an_envelope_that_says_otherwise_is_found() -> None:
    (first, *_) = HELD.examples
    moved = structs.replace(first, envelope={**first.envelope, "clock_offset": -1})
    with pytest.raises(AssertionError, match=r"record\.clock_offset"):
        check(HELD, moved, reader_of(Held), {TAG: Held})


def test_a_tag_without_a_golden_file_names_the_command(tmp_path: Path) -> None:
    tag = "account.opened.v1"
    assert complain(tag, tmp_path) == f"{tag} has no golden file; make one: make golden"
    golden = up_to_date(BY_TAG[tag], None, "0.1.0")
    write(Golden(tag, golden.examples[:-1]), tmp_path)
    assert "make golden" in complain(tag, tmp_path)
    write(golden, tmp_path)
    assert complain(tag, tmp_path) == ""


def test_what_a_release_wrote_stays_and_what_lay_between_does_not() -> None:
    between = Golden(TAG, (*HELD.examples, *current(Grown, "0.2.0.dev0")))
    after = up_to_date(Required, between, "0.2.0.dev1")
    assert after.examples[: len(HELD.examples)] == HELD.examples
    assert after.examples[len(HELD.examples) :] == tuple(current(Required, "0.2.0.dev1"))
    assert up_to_date(Held, HELD, "0.3.0") == HELD, "nothing has changed, so nothing is added"


# --- tags that are no longer written ---------------------------------------------------------------------------------


def retired() -> tuple[Golden, Example]:
    """A golden file of a release that stored a group's end without its reason."""
    raw = msgspec.msgpack.decode(current(BY_TAG["position_group.closed.v1"], "")[0].state)
    raw[5][0] = ["old.group_over.v1", "dca", 3]
    example = structs.replace(
        HELD.examples[0],
        stored=msgspec.json.encode(msgspec.msgpack.encode(raw)).decode().strip('"'),
        envelope={"stream": raw[0], "version": raw[1]},
        event={"bot": "dca", "group": 3},
    )
    return Golden("old.group_over.v1", (example,)), example


def test_a_tag_that_is_gone_must_be_upcast() -> None:
    golden, example = retired()
    with pytest.raises(StoreError):
        check(golden, example, codec.decode)
    upcasters = {"old.group_over.v1": lambda event: ["position_group.closed.v1", *event[1:], "unknown"]}
    with pytest.raises(AssertionError, match="write an upcaster, then `make golden`"):
        check(golden, example, lambda state: codec.decode(state, upcasters=upcasters))
    (now,) = becoming(golden, lambda state: codec.decode(state, upcasters=upcasters)).examples
    assert now.becomes == {
        "tag": "position_group.closed.v1",
        "event": {"bot": "dca", "group": 3, "reason": "unknown", "account": "", "instrument": ""},
    }
    check(golden, now, lambda state: codec.decode(state, upcasters=upcasters))
    other = {"old.group_over.v1": lambda event: ["position_group.closed.v1", *event[1:], "another"]}
    with pytest.raises(AssertionError, match="reason"):
        check(golden, now, lambda state: codec.decode(state, upcasters=other))
