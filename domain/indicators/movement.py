"""Strength and size of movement, smoothed in Wilder's way."""

from collections.abc import Iterator
from itertools import islice, starmap, tee
from operator import itemgetter
from typing import ClassVar

import numpy as np

from domain.indicators.indicator import Arrays, Floats, Indicator, Integers, fits, rows_of, whole_number

FADED = 1e-250
"""What has shrunk to this is no movement any more. TA-Lib lets it fade on, and where a market stands still for ten thousand
candles, ends in the ratio of two of the smallest floats there are."""


class RSI(Indicator, frozen=True):
    """The relative strength index, 0 to 100: smoothed gains in percent of smoothed gains and losses of closes.

    Wilder 1978. Seeded with the means of the first n changes; 0 where nothing has moved yet, as TA-Lib's. Where nothing
    moves any more it stays what it was.
    """

    n: int = 14

    recursive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("close",)

    @property
    def first(self) -> int:
        return self.n

    def recurrence(self, rows: Iterator[int]) -> Iterator[float]:
        n, kept = self.n, self.n - 1
        before = next(rows)
        gains = losses = 0
        for close in islice(rows, n):
            gains += max(0, close - before)
            losses += max(0, before - close)
            before = close
        gain, loss = float(gains) / n, float(losses) / n
        yield 100.0 * (gain / (gain + loss)) if gain + loss else 0.0
        for close in rows:
            change = close - before
            before = close
            if change > 0:
                gain, loss = (gain * kept + change) / n, loss * kept / n
            elif change < 0:
                gain, loss = gain * kept / n, (loss * kept - change) / n
            elif gain + loss > FADED:
                gain, loss = gain * kept / n, loss * kept / n
            movement = gain + loss
            yield 100.0 * (gain / movement) if movement else 0.0


class ATR(Indicator, frozen=True):
    """The average true range in quanta; of n = 1 the true range itself.

    Wilder 1978. The first candle has no true range, because it has no close before it; seeded with the mean of the n
    that follow it.
    """

    n: int = 14

    recursive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("high", "low", "close")

    @property
    def first(self) -> int:
        return self.n

    def recurrence(self, rows: Iterator[tuple[int, int, int]]) -> Iterator[float]:
        return self._smoothed(true_range for true_range, _, _ in movements(rows))

    def sweep(self, *arrays: Integers) -> Arrays | None:
        swept = swept_movements(*arrays)
        if swept is None:
            return None
        return self.collect(self._smoothed(rows_of(swept[0])), len(arrays[0]) - self.first)

    def _smoothed(self, true_ranges: Iterator[int]) -> Iterator[float]:
        n, kept = self.n, self.n - 1
        value = float(sum(islice(true_ranges, n))) / n
        yield value
        for true_range in true_ranges:
            value = (value * kept + true_range) / n
            yield value


class ADX(Indicator, frozen=True):
    """The average directional index and its two directional indicators, 0 to 100.

    Wilder 1978. Seeded as TA-Lib's: sums of the first n - 1 movements, smoothed from the n-th on; the mean of the first
    n directional indices. A range that has faded to nothing leaves the index as it was and both indicators at 0.
    """

    n: int = 14

    outputs: ClassVar[tuple[str, ...]] = ("adx", "plus_di", "minus_di")
    recursive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n, 2)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("high", "low", "close")

    @property
    def first(self) -> int:
        return 2 * self.n - 1

    def recurrence(self, rows: Iterator[tuple[int, int, int]]) -> Iterator[tuple[float, float, float]]:
        parts = enumerate(tee(movements(rows), 3))
        sums = (self._summed(map(itemgetter(at), part)) for at, part in parts)
        directions, again = tee(starmap(direction, zip(*sums, strict=True)))
        averages = self._averaged(index for index, _, _ in directions)
        for average, (_, plus, minus) in zip(averages, islice(again, self.n - 1, None), strict=True):
            yield average, plus, minus

    def sweep(self, *arrays: Integers) -> Arrays | None:
        swept = swept_movements(*arrays)
        if swept is None:
            return None
        n, count = self.n, len(swept[0]) - self.n + 1
        index, plus, minus = swept_directions(
            *(np.fromiter(self._summed(rows_of(part)), float, count) for part in swept)
        )
        return np.fromiter(self._averaged(rows_of(index)), float, count - n + 1), plus[n - 1 :], minus[n - 1 :]

    def _summed(self, parts: Iterator[int]) -> Iterator[float]:
        """From the n-th on: each sum keeps (n - 1) / n of the one before it."""
        kept = (self.n - 1) / self.n
        value = float(sum(islice(parts, self.n - 1)))
        for part in parts:
            value = value * kept + part
            yield value

    def _averaged(self, indices: Iterator[float]) -> Iterator[float]:
        """From the n-th on; an undirected candle counts as 0 in the first mean and leaves it alone afterwards."""
        n, kept, value = self.n, self.n - 1, 0.0
        for index in islice(indices, n):
            value += max(index, 0.0)
        value /= n
        yield value
        for index in indices:
            if index >= 0.0:
                value = (value * kept + index) / n
            yield value


def direction(reach: float, rise: float, fall: float) -> tuple[float, float, float]:
    """(directional index, +DI, -DI) in percent of smoothed sums; the index is -1 where there is no direction."""
    if reach <= FADED:
        return -1.0, 0.0, 0.0
    plus, minus = 100.0 * rise / reach, 100.0 * fall / reach
    both = plus + minus
    return (100.0 * abs(plus - minus) / both if both > FADED else -1.0), plus, minus


def swept_directions(reach: Floats, rise: Floats, fall: Floats) -> tuple[Floats, Floats, Floats]:
    """The same."""
    moving = reach > FADED
    divisor = np.where(moving, reach, 1.0)
    plus, minus = (np.where(moving, 100.0 * part / divisor, 0.0) for part in (rise, fall))
    both = plus + minus
    index = np.where(both > FADED, 100.0 * np.abs(plus - minus) / np.where(both > FADED, both, 1.0), -1.0)
    return index, plus, minus


def movements(rows: Iterator[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """(true range, rise, fall) of each candle but the first, in quanta: Wilder's +DM and -DM, one of them 0."""
    high_before, low_before, close_before = next(rows)
    for high, low, close in rows:
        true_range = max(high, close_before) - min(low, close_before)
        up, down = high - high_before, low_before - low
        high_before, low_before, close_before = high, low, close
        if up > down and up > 0:
            yield true_range, up, 0
        elif down > up and down > 0:
            yield true_range, 0, down
        else:
            yield true_range, 0, 0


def swept_movements(high: Integers, low: Integers, close: Integers) -> tuple[Integers, Integers, Integers] | None:
    """The same; None where int64 is too small for a difference."""
    if not (fits(high, 2) and fits(low, 2) and fits(close, 2)):
        return None
    true_range = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    up, down = np.diff(high), -np.diff(low)
    rise = np.where((up > down) & (up > 0), up, 0)
    fall = np.where((down > up) & (down > 0), down, 0)
    return true_range, rise, fall
