"""Cells of a report: what is known as text or a number, and why anything else is blank."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import asdict, fields

from domain.message import Event, Record


class Blank(StrEnum):
    """Why a cell is blank."""

    NOT_APPLICABLE = "NOT_APPLICABLE"
    """The column says nothing about such a row."""
    NOT_RECORDED = "NOT_RECORDED"
    """The log does not hold it."""
    NOT_YET_KNOWN = "NOT_YET_KNOWN"
    """It was not known at this row's position, and may be known at a later one."""
    NOT_SET = "NOT_SET"
    """Nobody has set it: no such limit, no such setting."""
    NOT_LISTED = "NOT_LISTED"
    """It is an amount of an instrument that the account does not list, so its scale is not known."""


Cell = str | int | Blank
Row = dict[str, Cell]
"""Cells by their columns; a column without one is blank for its usual reason."""


class Column(Struct, frozen=True):
    """A column, and why it is blank where a row says nothing else."""

    name: str
    blank: Blank


class Place(Struct, frozen=True):
    """Where an event stands: its position, and its record's place in the log and among its leaves."""

    position: int
    record_position: int
    leaf_index: int
    record: Record[Event]


class Fold(Protocol):
    """What makes a report's rows: it is given every event of a run, in the order of the log."""

    columns: tuple[Column, ...]

    def take(self, place: Place, event: Event) -> Iterable[Row]:
        """The rows of an event."""

    def opening(self) -> Iterable[Row]:
        """What stands already where a report begins behind the beginning of the log."""


def columns(*groups: tuple[Blank, str]) -> tuple[Column, ...]:
    """Columns from (usual reason for a blank, names) in their order."""
    return tuple(Column(name, blank) for blank, names in groups for name in names.split())


def changed(settings: Struct) -> dict[str, Any]:
    """The settings that are not their defaults, as plain values; so that a field to come changes nothing here."""
    given = asdict(settings)
    return {
        field.name: plain(given[field.name])
        for field in fields(settings)
        if field.default is NODEFAULT or given[field.name] != field.default
    }


def plain(value: Any) -> Any:
    """A setting as JSON has it: exact decimals as text, structs without what is left at its default."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Struct):
        return changed(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple | list) else value


def text_of(value: Any) -> str:
    """A plain value as one cell's text: compact JSON where it has parts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, order="sorted").decode()
    return str(value)


def text_fingerprint(text: str) -> str:
    """SHA-256 of a text as it stands."""
    return sha256(text.encode()).hexdigest()


def fingerprint(settings: Struct) -> str:
    """SHA-256 of the settings that are not their defaults, as JSON with sorted keys."""
    return sha256(msgspec.json.encode(changed(settings), order="sorted")).hexdigest()
