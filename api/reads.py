"""What every read has in common: `as_of`, the position that an answer is true at, and lists a page at a time."""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Depends, Query
from msgspec import Struct
from pydantic import BaseModel, Field, StringConstraints

from api.dependencies import ViewsHere
from domain.errors import InputError, StoreError
from domain.market import Instrument
from domain.values import LARGEST, cash_scale, decimal_text, parse_time, time_text
from infrastructure.row_queries import Filters, Page, Values
from infrastructure.row_tables import columns_of
from infrastructure.row_views import AsOf, View, Views
from projections.instruments import InstrumentRow, instrument_of
from projections.rows import Row

LIMIT_MAX = 500
LIMIT = 100
_DIGITS_MAX = 19

F = TypeVar("F")
T = TypeVar("T")
R = TypeVar("R", bound=Row)

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
"""A name in a path or a filter: Postgres text holds no NUL."""
Number = Annotated[int, Field(ge=1, le=LARGEST)]
NameFilter = Annotated[Name | None, Query()]
NumberFilter = Annotated[Number | None, Query()]

Describe = Callable[[View, Sequence[R]], Callable[[R], T]]
"""(view, rows of a page) -> what makes an item of one of them: what they need beside them is read once a page."""


class Point(BaseModel):
    """The position of the log that an answer is true at, the last event's of the run; and when that was decided."""

    position: int = Field(examples=[4711])
    at: str | None = Field(examples=["2026-01-31T09:30:00Z"])


class Listing(BaseModel, Generic[T]):
    """A page of a list; `next` is the cursor of the one behind it, null at the end."""

    items: list[T]
    next: str | None
    as_of: Point


class Order(Struct, frozen=True):
    """The order of a list: fields that no two rows share and that no row ever changes.

    So its pages repeat nothing and pass nothing over, whatever comes in between.
    """

    name: str
    row_type: type[Row] | None
    fields: tuple[str, ...]
    descending: bool = False

    def kinds(self) -> list[type]:
        """The types of the fields; of what are no rows they are numbers."""
        columns = {column.name: column.type for column in columns_of(self.row_type)} if self.row_type else {}
        return [str if columns.get(name) == "text" else int for name in self.fields]


class Asked(Struct, frozen=True):
    """What a read asks for besides its filters."""

    views: Views
    as_of: AsOf | None
    limit: int = LIMIT
    cursor: str | None = None

    @contextmanager
    def view(self, *row_types: type[Row]) -> Iterator[View]:
        """A view with these rows."""
        with self.views.open(row_types, self.as_of) as view:
            yield view

    def page(self, order: Order) -> Page:
        """The page, and one row more, which says whether there is another."""
        after = None if self.cursor is None else read_cursor(order, self.cursor)
        return Page(order.fields, order.descending, after, self.limit + 1)

    def listing(
        self, view: View, order: Order, found: Sequence[F], render: Callable[[F], T], place: Callable[[F], Values]
    ) -> Listing[T]:
        """What was found, as the answer to a page of that order."""
        shown = found[: self.limit]
        more = len(found) > self.limit
        return Listing(
            items=[render(row) for row in shown],
            next=make_cursor(order, place(shown[-1])) if more else None,
            as_of=point(view),
        )

    def rows(
        self, order: Order, row_type: type[R], where: Filters, describe: Describe[R, T], *beside: type[Row]
    ) -> Listing[T]:
        """A page of rows, described in a view that has the rows `beside` as well: what a list route comes down to."""
        with self.view(row_type, *beside) as view:
            found = view.rows.some(row_type, where, self.page(order))
            render = describe(view, found[: self.limit])
            return self.listing(
                view, order, found, render, lambda row: tuple(getattr(row, each) for each in order.fields)
            )


AsOfText = Annotated[
    str | None,
    Query(
        max_length=64,
        description="The answer as it was at a position of the log, or at an ISO 8601 time: what was known then. Without "
        "it the answer is as of now.",
        examples=["4711", "2026-01-31T09:30:00Z"],
    ),
]


def _asked_one(views: ViewsHere, as_of: AsOfText = None) -> Asked:
    return Asked(views, parse_as_of(as_of))


def _asked_list(
    views: ViewsHere,
    as_of: AsOfText = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Items at most.")] = LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=2_000, description="`next` of the page before, with the same filters.")
    ] = None,
) -> Asked:
    return Asked(views, parse_as_of(as_of), limit, cursor)


AskedOne = Annotated[Asked, Depends(_asked_one)]
AskedList = Annotated[Asked, Depends(_asked_list)]


def parse_as_of(text: str | None) -> AsOf | None:
    """Read a position or a time; raises InputError."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) <= LARGEST:
        return AsOf(position=int(text))
    try:
        at = parse_time(text)
    except (InputError, OverflowError):
        raise InputError(
            f"as_of {text!r} is neither a position of the log nor an ISO 8601 time with its offset; "
            "allowed: 4711, 2026-01-31T09:30:00Z"
        ) from None
    if at < 0:
        raise InputError(f"as_of {text} is before 1970")
    return AsOf(at=at)


def make_cursor(order: Order, place: Values) -> str:
    """A place in a list as opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode((order.name, *place))).decode().rstrip("=")


def read_cursor(order: Order, text: str) -> Values:
    """The place that a cursor of this list names; raises InputError."""
    try:
        name, *place = msgspec.json.decode(base64.urlsafe_b64decode(text.encode() + b"=="), type=tuple[str | int, ...])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        name, place = "", []
    if name != order.name or [type(value) for value in place] != order.kinds():
        raise InputError(f"cursor {text[:40]!r} is not one of this list; take `next` of the page before")
    if any("\0" in value if isinstance(value, str) else abs(value) > LARGEST for value in place):
        raise InputError(f"cursor {text[:40]!r} names a place that cannot be")
    return tuple(place)


def point(view: View) -> Point:
    return Point(position=view.position, at=time_or_none(view.at))


def filters(**wanted: Any) -> Filters:
    """The filters that were asked for."""
    return {name: value for name, value in wanted.items() if value is not None}


class Amounts:
    """Quanta as decimal text, by the scales of each account's instruments."""

    def __init__(self, view: View) -> None:
        listed = view.rows.some(InstrumentRow, {})
        self._instruments = {(row.account, row.instrument): instrument_of(row) for row in listed}

    def instrument(self, account: str, instrument: str) -> Instrument:
        """An instrument; raises StoreError where other rows know of it before its own do, which passes."""
        found = self._instruments.get((account, instrument))
        if found is None:
            raise StoreError(f"the instrument {instrument} of account {account} is not in the read models yet")
        return found

    def fee(self, instrument: Instrument, asset: str, fee: int) -> str:
        """A fee in quanta of its own asset: size quanta where that is the base."""
        return decimal_text(fee, instrument.size_scale if asset == instrument.base else cash_scale(asset))


def time_or_none(at: int | None) -> str | None:
    return None if at is None else time_text(at)
