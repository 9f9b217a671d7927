"""Profit and loss at its finest grain, and its sums by account, instrument, group and day."""

from collections.abc import Callable, Iterable
from typing import ClassVar, TypeVar

from msgspec import Struct, structs

from projections.positions import Owner
from projections.rows import Row, Rows, day_text

K = TypeVar("K")


class ProfitRow(Row, frozen=True):
    """What one group did with one instrument on one UTC day, in quanta of `asset`; bot "" and group 0 is no group.

    `realized` is before fees. `turnover` is the cash of its fills, bought and sold. The asset is the instrument's
    quote; only fees in a third asset have a row in that one.
    """

    table: ClassVar[str] = "profit_and_loss"
    key: ClassVar[tuple[str, ...]] = ("account", "instrument", "bot", "group", "day", "asset")

    account: str
    instrument: str
    bot: str
    group: int
    day: str
    asset: str
    realized: int = 0
    fees: int = 0
    turnover: int = 0
    fills: int = 0


class ValuationRow(Row, frozen=True):
    """An account's last valuation of a UTC day; the one at midnight ends the day before."""

    table: ClassVar[str] = "valuations"
    key: ClassVar[tuple[str, ...]] = ("account", "day", "asset")

    account: str
    day: str
    asset: str
    at: int
    equity: int
    unrealized: int


class Totals(Struct, frozen=True):
    """Sums over rows of profit and loss in one asset."""

    realized: int = 0
    fees: int = 0
    turnover: int = 0
    fills: int = 0

    def __add__(self, other: "Totals | ProfitRow") -> "Totals":
        return Totals(
            self.realized + other.realized,
            self.fees + other.fees,
            self.turnover + other.turnover,
            self.fills + other.fills,
        )


class Entry(Struct, frozen=True):
    """Where a change is booked: an owner's part of an instrument, at a time, in an asset."""

    account: str
    instrument: str
    owner: Owner
    at: int
    asset: str


def book(rows: Rows, entry: Entry, change: Totals) -> None:
    """Add to the row of the entry's day."""
    key = (entry.account, entry.instrument, *entry.owner, day_text(entry.at), entry.asset)
    row = rows.get(ProfitRow, *key) or ProfitRow(*key)
    rows.put(
        structs.replace(
            row,
            realized=row.realized + change.realized,
            fees=row.fees + change.fees,
            turnover=row.turnover + change.turnover,
            fills=row.fills + change.fills,
        )
    )


def valuation_day(at: int) -> str:
    """The day that a valuation closes: at midnight sharp the one that has just ended."""
    return day_text(at - 1)


def by_account(rows: Iterable[ProfitRow]) -> dict[tuple[str, str], Totals]:
    """Sums by (account, asset)."""
    return _sums(rows, lambda row: (row.account, row.asset))


def by_instrument(rows: Iterable[ProfitRow]) -> dict[tuple[str, str, str], Totals]:
    """Sums by (account, instrument, asset)."""
    return _sums(rows, lambda row: (row.account, row.instrument, row.asset))


def by_group(rows: Iterable[ProfitRow]) -> dict[tuple[str, str, int, str], Totals]:
    """Sums by (account, bot, group, asset)."""
    return _sums(rows, lambda row: (row.account, row.bot, row.group, row.asset))


def by_day(rows: Iterable[ProfitRow]) -> dict[tuple[str, str, str], Totals]:
    """Sums by (account, day, asset)."""
    return _sums(rows, lambda row: (row.account, row.day, row.asset))


def _sums(rows: Iterable[ProfitRow], key: Callable[[ProfitRow], K]) -> dict[K, Totals]:
    sums: dict[K, Totals] = {}
    for row in rows:
        at = key(row)
        sums[at] = sums.get(at, Totals()) + row
    return sums
