"""Examples of every event: the same at every run, and between them every option of every field."""

from base64 import b64encode
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, Struct, UnsetType

from domain.message import Event, Record

PRESENT = (NoneType, UnsetType)


def examples_of(event_type: type[Event]) -> list[Record[Event]]:
    """Records of one event each: one per option of the field that has most, and one with all that may be missing so."""
    count = 1 + _options(event_type, set())
    return [_record(Maker(index, last=index == count - 1), event_type) for index in range(count)]


def named(value: Any) -> Any:
    """A value as JSON has it, structs by the names of their fields, bytes in base64; what is unset is left out."""
    if isinstance(value, Struct):
        fields = {field: getattr(value, field) for field in value.__struct_fields__}
        return {field: named(each) for field, each in fields.items() if each is not UNSET}
    if isinstance(value, dict):
        return {key: named(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [named(each) for each in value]
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return str(value) if isinstance(value, Decimal) else value


def envelope_of(record: Record[Event]) -> dict[str, Any]:
    fields: dict[str, Any] = named(record)
    del fields["events"]
    return fields


class Maker:
    """Makes values of types, no two alike; the last of a series leaves out what may be missing."""

    def __init__(self, index: int, *, last: bool) -> None:
        self._index = index
        self._last = last
        self._made = 100 * (index + 1)

    def make(self, hint: Any) -> Any:
        hint = getattr(hint, "__supertype__", hint)
        origin, arguments = get_origin(hint), get_args(hint)
        if isinstance(hint, type) and issubclass(hint, Struct):
            hints = get_type_hints(hint)
            return hint(**{name: self.make(hints[name]) for name in hint.__struct_fields__})
        if origin is Literal:
            return arguments[self._index % len(arguments)]
        if origin in {Union, UnionType}:
            return self._one_of(arguments)
        if origin is tuple and arguments[-1] is Ellipsis:
            return () if self._last else (self.make(arguments[0]), self.make(arguments[0]))
        if origin is tuple:
            return tuple(map(self.make, arguments))
        if origin is dict:
            return {} if self._last else {self.make(arguments[0]): self.make(arguments[1])}
        return self._plain(hint)

    def _one_of(self, arguments: tuple[Any, ...]) -> Any:
        if self._last and NoneType in arguments:
            return None
        if self._last and UnsetType in arguments:
            return UNSET
        present = [each for each in arguments if each not in PRESENT]
        return self.make(present[self._index % len(present)])

    def _plain(self, kind: type) -> Any:
        self._made += 1
        plain: dict[type, Any] = {
            int: self._made,
            str: f"text {self._made}",
            bool: not self._last,
            Decimal: Decimal(f"{self._made}.50"),
            float: self._made + 0.25,  # style: an example of a feature
            bytes: f"bytes {self._made}".encode(),
        }
        return plain[kind]


def _record(maker: Maker, event_type: type[Event]) -> Record[Event]:
    hints = get_type_hints(Record)
    envelope = {name: maker.make(hints[name]) for name in Record.__struct_fields__ if name != "events"}
    return Record(**envelope, events=(maker.make(event_type),))


def _options(hint: Any, seen: set[Any]) -> int:
    """The most options that a choice anywhere in a type has, at least 1."""
    hint = getattr(hint, "__supertype__", hint)
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return len(arguments)
    if isinstance(hint, type) and issubclass(hint, Struct) and hint not in seen:
        seen.add(hint)
        arguments = tuple(get_type_hints(hint).values())
    present = [each for each in arguments if each not in PRESENT and each is not Ellipsis]
    choices = len(present) if get_origin(hint) in {Union, UnionType} else 1
    return max([choices, *(_options(each, seen) for each in present)])
