"""Rows, and folds that put events into them; where the rows live is not their concern."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, ClassVar, Protocol, TypeVar

from msgspec import Struct

from domain.errors import MissingError
from domain.message import Event, Record
from domain.values import DAY, Time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(Struct, frozen=True):
    """A row of one run: its fields are the columns of `table`, the first of them, named in `key`, its key.

    Fields are int, str, bool or one of these with None; exact decimals are text.
    """

    table: ClassVar[str] = ""
    key: ClassVar[tuple[str, ...]] = ()


R = TypeVar("R", bound=Row)
Key = tuple[Any, ...]


class Rows(Protocol):
    """The rows of one run."""

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        """Return the row with this key, None where there is none."""

    def put(self, row: Row) -> None:
        """Keep the row in the place of the one with the same key."""


class Context(Struct, frozen=True):
    """Where an event stands: its stream, its own version there, and when it was decided."""

    stream: int
    version: int
    at: Time


Fold = Callable[[Rows, Context, Any], None]


class Projection(Struct, frozen=True):
    """Folds of events into its own tables, which no other projection writes.

    `schema_version` counts what the folds have meant: rows of an older one are folded anew.
    """

    name: str
    schema_version: int
    tables: tuple[type[Row], ...]
    folds: Mapping[type[Event], Fold]


class MemoryRows:
    """Rows of one run in memory."""

    def __init__(self) -> None:
        self._tables: dict[type[Row], dict[Key, Row]] = {}

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        table = self._tables.get(row_type)
        return None if table is None else table.get(key)  # type: ignore[return-value]

    def put(self, row: Row) -> None:
        row_type = type(row)
        table = self._tables.get(row_type)
        if table is None:
            table = self._tables[row_type] = {}
        table[key_getter(row_type)(row)] = row

    def all(self, row_type: type[R]) -> list[R]:
        """Every row of a table, in the order in which their keys first came."""
        return list(self._tables.get(row_type, {}).values())  # type: ignore[arg-type]


@cache
def key_getter(row_type: type[Row]) -> Callable[[Row], Key]:
    """Take a row's key, as a tuple."""
    fields = attrgetter(*row_type.key)
    return fields if len(row_type.key) > 1 else lambda row: (fields(row),)


def need(rows: Rows, row_type: type[R], *key: str | int) -> R:
    """Return the row that an earlier event must have made; raises MissingError where it has not."""
    row = rows.get(row_type, *key)
    if row is None:
        named = ", ".join(f"{name} {part}" for name, part in zip(row_type.key, key, strict=True))
        raise MissingError(f"{row_type.table} has no row for {named}")
    return row


def fold_records(projections: Sequence[Projection], rows: Rows, records: Iterable[Record[Event]]) -> None:
    """Fold the records of one run, in the order of the log, into all these projections at once."""
    folds: dict[type[Event], tuple[Fold, ...]] = {}
    for projection in projections:
        for event_type, fold in projection.folds.items():
            folds[event_type] = (*folds.get(event_type, ()), fold)
    for record in records:
        for version, event in enumerate(record.events, record.version):
            found = folds.get(type(event))
            if found is not None:
                context = Context(record.stream, version, record.at)
                for fold in found:
                    fold(rows, context, event)


def day_text(at: int) -> str:
    """The UTC day of a time, `2022-01-31`."""
    return _day(at // DAY)


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()


def decimal_or_none(number: Decimal | None) -> str | None:
    """An exact decimal as text without an exponent."""
    return None if number is None else f"{number:f}"
