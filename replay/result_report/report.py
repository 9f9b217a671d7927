"""What the page of a backtest shows, as plain values: whoever has them can make the page."""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Series(Struct, frozen=True, eq=False):
    """Values at times, in microseconds and ascending; two arrays of one length."""

    times: Integers
    values: Floats


class Fills(Struct, frozen=True, eq=False):
    """Fills on one instrument, in the order of their times; three arrays of one length."""

    times: Integers
    prices: Floats
    is_buy: Flags


class Market(Struct, frozen=True, eq=False):
    """An instrument's closes and what was filled on it; prices have at most so many decimal places."""

    instrument: str
    closes: Series
    fills: Fills
    places: int = 2


class Figure(Struct, frozen=True):
    """A number as text, with what it is called; `note` is a few words more."""

    name: str
    value: str
    note: str = ""


class Table(Struct, frozen=True):
    """Figures that belong together."""

    title: str
    rows: tuple[Figure, ...]


class Report(Struct, frozen=True, eq=False):
    """A backtest for its reader. Texts may hold anything: the page escapes them.

    `equity` and `profits`, those of the completed round trips, are in `currency`. `drawdown`, at the times of the equity,
    and `months`, by `2022-01`, are fractions. `benchmark` is what the first equity had become, had it bought the market.
    """

    title: str
    subtitle: str
    currency: str
    headline: tuple[Figure, ...]
    equity: Series
    drawdown: Series
    months: Mapping[str, float | None]
    markets: tuple[Market, ...]
    profits: Floats
    tables: tuple[Table, ...]
    warnings: tuple[str, ...] = ()
    benchmark: Series | None = None
