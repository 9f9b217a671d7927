"""Bands and channels around the price, and where in them it stands."""

import math
from collections import deque
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from domain.errors import InputError
from domain.indicators.indicator import Arrays, Indicator, Integers, Rolling, fits, known_column, whole_number
from domain.indicators.windows import (
    highest,
    lowest,
    mean,
    spreads,
    swept_highest,
    swept_lowest,
    swept_means,
    swept_spreads,
)

WIDTH_MAX = 1_000


class Bollinger(Indicator, frozen=True):
    """Bollinger bands: the mean of n, and `width` population deviations above and below it. Bollinger 2001."""

    n: int = 20
    width: float = 2.0
    column: str = "close"

    outputs: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)
        if type(self.width) not in {int, float} or not 0 < self.width <= WIDTH_MAX:
            raise InputError(f"Bollinger width is {self.width!r}; allowed: a number above 0, to {WIDTH_MAX:,}")
        known_column(self, self.column)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def first(self) -> int:
        return self.n - 1

    def recurrence(self, rows: Iterator[int]) -> Iterator[tuple[float, float, float]]:
        n, width = self.n, self.width
        for _, total, spread in spreads(rows, n):
            middle, reach = float(total) / n, width * (math.sqrt(spread) / n)
            yield middle + reach, middle, middle - reach

    def sweep(self, *arrays: Integers) -> Arrays | None:
        swept = swept_spreads(arrays[0], self.n)
        if swept is None:
            return None
        _, total, spread = swept
        middle, reach = total / self.n, self.width * (np.sqrt(spread) / self.n)
        return middle + reach, middle, middle - reach


class ZScore(Rolling, frozen=True):
    """How many population deviations the newest stands above the mean of n; 0 where nothing moves."""

    def recurrence(self, rows: Iterator[int]) -> Iterator[float]:
        for distance, _, spread in spreads(rows, self.n):
            yield distance / math.sqrt(spread) if spread else 0.0

    def sweep(self, *arrays: Integers) -> Arrays | None:
        swept = swept_spreads(arrays[0], self.n)
        if swept is None:
            return None
        distance, _, spread = swept
        return (distance / np.sqrt(np.maximum(spread, 1)),)  # where nothing moves the distance is 0 as well


class Donchian(Indicator, frozen=True):
    """The Donchian channel: the highest high and the lowest low of n candles, this one included, and their middle."""

    n: int = 20

    outputs: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")
    integral: ClassVar[frozenset[str]] = frozenset({"upper", "lower"})

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("high", "low")

    @property
    def first(self) -> int:
        return self.n - 1

    def recurrence(self, rows: Iterator[tuple[int, int]]) -> Iterator[tuple[int, float, int]]:
        top, bottom = highest(self.n), lowest(self.n)
        for at, (high, low) in enumerate(rows):
            upper, lower = top(high), bottom(low)
            if at >= self.first:
                yield upper, float(upper + lower) / 2.0, lower

    def sweep(self, *arrays: Integers) -> Arrays | None:
        high, low = arrays
        if not (fits(high, 2) and fits(low, 2)):
            return None
        upper, lower = swept_highest(high, self.n), swept_lowest(low, self.n)
        return upper, (upper + lower) / 2.0, lower


class Stochastic(Indicator, frozen=True):
    """The slow stochastic, 0 to 100: where the close stands between the lowest low and the highest high of n candles.

    Lane 1984. `k` is the mean of `smooth` such values, `d` the mean of `signal` of those (TA-Lib's STOCH with simple
    means). Where high and low are one, the value is 0, as TA-Lib's.
    """

    n: int = 14
    smooth: int = 3
    signal: int = 3

    outputs: ClassVar[tuple[str, ...]] = ("k", "d")

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)
        whole_number(self, "smooth", self.smooth)
        whole_number(self, "signal", self.signal)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("high", "low", "close")

    @property
    def first(self) -> int:
        return self.n + self.smooth + self.signal - 3

    def recurrence(self, rows: Iterator[tuple[int, int, int]]) -> Iterator[tuple[float, float]]:
        top, bottom = highest(self.n), lowest(self.n)
        raw: deque[float] = deque(maxlen=self.smooth)
        slow: deque[float] = deque(maxlen=self.signal)
        for at, (high, low, close) in enumerate(rows):
            upper, lower = top(high), bottom(low)
            if at >= self.n - 1:
                raw.append(100.0 * (close - lower) / (upper - lower) if upper > lower else 0.0)
            if len(raw) == self.smooth:
                slow.append(mean(raw))
            if len(slow) == self.signal:
                yield slow[-1], mean(slow)

    def sweep(self, *arrays: Integers) -> Arrays | None:
        high, low, close = arrays
        if not all(fits(array, 2) for array in arrays):
            return None
        upper, lower = swept_highest(high, self.n), swept_lowest(low, self.n)
        width = upper - lower
        raw = np.where(width > 0, 100.0 * (close[self.n - 1 :] - lower) / np.maximum(width, 1), 0.0)
        slow = swept_means(raw, self.smooth)
        return slow[self.signal - 1 :], swept_means(slow, self.signal)
