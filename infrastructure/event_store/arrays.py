"""Columns of values as Postgres's binary arrays, packed a column at a time.

psycopg makes an array element by element, which for sixteen columns costs more than the insert itself.
"""

import struct
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
from msgspec import Struct
from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_LENGTH = struct.Struct(">i").pack
_NULL = b"\xff\xff\xff\xff"
_HEADER = struct.Struct(">iiIii").pack
_OIDS = {
    "bigint": (20, 1016), "integer": (23, 1007), "text": (25, 1009), "bytea": (17, 1001), "boolean": (16, 1000),
}  # fmt: skip
"""(of the element, of the array), as every Postgres numbers its own types."""
_BOOLEANS = {True: b"\x00\x00\x00\x01\x01", False: b"\x00\x00\x00\x01\x00", None: _NULL}
_WIDTHS = {"bigint": (8, ">i8", struct.Struct(">iq").pack), "integer": (4, ">i4", struct.Struct(">ii").pack)}


class PackedArray:
    """A parameter that is a binary array already."""

    __slots__ = ("packed",)
    oid: ClassVar[int]

    def __init__(self, packed: bytes) -> None:
        self.packed = packed


class _Packed(Dumper):
    """Hands a packed array over as it is."""

    format = Format.BINARY

    def dump(self, obj: PackedArray) -> Buffer:
        return obj.packed


def _kind(name: str, oid: int) -> type[PackedArray]:
    return type(f"Packed_{name}", (PackedArray,), {"oid": oid, "__slots__": ()})


_KINDS = {name: _kind(name, array) for name, (_, array) in _OIDS.items()}


def register(connection: Connection[object]) -> None:
    """Let a connection send packed arrays."""
    for kind in _KINDS.values():
        dumper = type(f"Dump_{kind.__name__}", (_Packed,), {"oid": kind.oid})
        connection.adapters.register_dumper(kind, dumper)


class Column(Struct, frozen=True, gc=False):
    """Values of one kind in the form that an array has them in, which arrays of several columns can be made from."""

    kind: str
    count: int
    nulls: bool
    body: bytes


def column(kind: str, values: Sequence[int | str | bytes | None]) -> Column:
    """The values, at least one, of kind `bigint`, `integer`, `boolean`, `text` or `bytea`.

    Raises OverflowError, struct.error or UnicodeEncodeError for what no such array holds.
    """
    pack = _integers if kind in _WIDTHS else _names if kind == "text" else _variable
    return Column(kind, len(values), None in values, pack(kind, values))


def joined(columns: Sequence[Column]) -> PackedArray:
    """Columns of one kind, at least one, as one array."""
    kind = columns[0].kind
    element, _ = _OIDS[kind]
    nulls, count = any(each.nulls for each in columns), sum(each.count for each in columns)
    header = _HEADER(1, nulls, element, count, 1)
    return _KINDS[kind](b"".join([header, *(each.body for each in columns)]))


def packed(kind: str, values: Sequence[int | str | bytes | None]) -> PackedArray:
    """The values as an array; what `column` says holds."""
    return joined([column(kind, values)])


def _integers(kind: str, values: Sequence[int | str | bytes | None]) -> bytes:
    width, number, entry = _WIDTHS[kind]
    first = values[0]
    if values.count(first) == len(values):
        return (_NULL if first is None else entry(width, first)) * len(values)
    if None in values:
        return b"".join([_NULL if value is None else entry(width, value) for value in values])
    entries = np.empty(len(values), [("length", ">i4"), ("value", number)])
    entries["length"] = width
    entries["value"] = values
    return entries.tobytes()


def _names(_: str, values: Sequence[int | str | bytes | None]) -> bytes:
    """Names come again and again: each is encoded once."""
    entries = {value: _entry(value) for value in set(values)}
    return b"".join([entries[value] for value in values])


def _variable(kind: str, values: Sequence[int | str | bytes | None]) -> bytes:
    first = values[0]
    if values.count(first) == len(values):
        return _entry(first) * len(values)
    if kind != "bytea" or None in values:
        return b"".join(map(_entry, values))
    parts: list[Any] = [b""] * (2 * len(values))
    parts[::2] = map(_LENGTH, map(len, cast("Sequence[bytes]", values)))
    parts[1::2] = values
    return b"".join(parts)


def _entry(value: int | str | bytes | None) -> bytes:
    if value is None or isinstance(value, bool):
        return _BOOLEANS[value]
    data = value.encode() if isinstance(value, str) else value
    assert isinstance(data, bytes)
    return _LENGTH(len(data)) + data
