"""Averages of a column, and the column itself: what trends are read from."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import numpy as np

from domain.errors import AmountError
from domain.indicators.indicator import Arrays, Indicator, Integers, Rolling, fits, known_column, whole_number
from domain.indicators.windows import sums, swept_sums
from domain.values import LARGEST


class Column(Indicator, frozen=True):
    """A column as it is, in quanta."""

    column: str

    integral: ClassVar[frozenset[str]] = frozenset({"value"})

    def __post_init__(self) -> None:
        known_column(self, self.column)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def first(self) -> int:
        return 0

    def recurrence(self, rows: Iterator[int]) -> Iterator[int]:
        return rows

    def sweep(self, *arrays: Integers) -> Arrays:
        return arrays


class Sum(Indicator, frozen=True):
    """The exact sum of a column over n candles: comparing two sums has no ties that rounding made.

    Raises AmountError where a sum does not fit 64 bits.
    """

    column: str
    n: int

    integral: ClassVar[frozenset[str]] = frozenset({"value"})

    def __post_init__(self) -> None:
        known_column(self, self.column)
        whole_number(self, "n", self.n)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def first(self) -> int:
        return self.n - 1

    def recurrence(self, rows: Iterator[int]) -> Iterator[int]:
        for total in sums(rows, self.n):
            yield within_64_bits(total, self)

    def sweep(self, *arrays: Integers) -> Arrays | None:
        (array,) = arrays
        return (swept_sums(array, self.n),) if fits(array, self.n) else None


class SMA(Rolling, frozen=True):
    """The simple moving average: the exact sum of n, divided once."""

    def recurrence(self, rows: Iterator[int]) -> Iterator[float]:
        n = self.n
        for total in sums(rows, n):
            yield float(total) / n

    def sweep(self, *arrays: Integers) -> Arrays | None:
        (array,) = arrays
        return (swept_sums(array, self.n) / self.n,) if fits(array, self.n) else None


class WMA(Rolling, frozen=True):
    """The linearly weighted moving average: the newest counts n times, the oldest once; exact, divided once."""

    @property
    def weights(self) -> int:
        """What the weights 1 to n add up to."""
        return self.n * (self.n + 1) // 2

    def recurrence(self, rows: Iterator[int]) -> Iterator[float]:
        n, weights = self.n, self.weights
        window = deque(islice(rows, n))
        total, weighted = sum(window), sum(weight * row for weight, row in enumerate(window, 1))
        yield float(weighted) / weights
        for row in rows:
            weighted += n * row - total
            total += row - window.popleft()
            window.append(row)
            yield float(weighted) / weights

    def sweep(self, *arrays: Integers) -> Arrays | None:
        (array,) = arrays
        if not fits(array, self.weights):
            return None
        # The sum of index x value, with each window's indices moved to 1..n. It may wrap around; the result fits.
        indices = np.arange(len(array), dtype=np.int64)
        weighted = swept_sums(indices * array, self.n) - (indices[: len(array) - self.n + 1] - 1) * swept_sums(
            array, self.n
        )
        return (weighted / self.weights,)


class EMA(Rolling, frozen=True):
    """The exponential moving average with alpha = 2 / (n + 1), seeded with the mean of the first n, as TA-Lib's."""

    recursive: ClassVar[bool] = True

    def recurrence(self, rows: Iterator[int]) -> Iterator[float]:
        alpha = 2.0 / (self.n + 1)
        value = float(sum(islice(rows, self.n))) / self.n
        yield value
        for row in rows:
            value += alpha * (row - value)
            yield value


class MACD(Indicator, frozen=True):
    """Moving average convergence and divergence: EMA(fast) - EMA(slow) of closes, its EMA as signal, their difference.

    Appel 1979. Seeded as TA-Lib's: both averages at the candle `slow - 1`, the fast one with the mean of the last `fast`
    closes there (an EMA on its own would have begun earlier); the signal with the mean of the first `signal` values.
    """

    fast: int = 12
    slow: int = 26
    signal: int = 9

    outputs: ClassVar[tuple[str, ...]] = ("macd", "signal", "histogram")
    recursive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number(self, "fast", self.fast)
        whole_number(self, "slow", self.slow, self.fast + 1)
        whole_number(self, "signal", self.signal)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("close",)

    @property
    def first(self) -> int:
        return self.slow + self.signal - 2

    def recurrence(self, rows: Iterator[int]) -> Iterator[tuple[float, float, float]]:
        alpha = 2.0 / (self.signal + 1)
        lines = self._lines(rows)
        line = signal = 0.0
        for line in islice(lines, self.signal):
            signal += line
        signal /= self.signal
        yield line, signal, line - signal
        for line in lines:
            signal += alpha * (line - signal)
            yield line, signal, line - signal

    def _lines(self, rows: Iterator[int]) -> Iterator[float]:
        quick, lazy = 2.0 / (self.fast + 1), 2.0 / (self.slow + 1)
        seed = tuple(islice(rows, self.slow))
        fast, slow = float(sum(seed[-self.fast :])) / self.fast, float(sum(seed)) / self.slow
        yield fast - slow
        for row in rows:
            fast += quick * (row - fast)
            slow += lazy * (row - slow)
            yield fast - slow


def within_64_bits(total: int, indicator: Indicator) -> int:
    """The total, where an int64 can hold it; else AmountError."""
    if -LARGEST <= total <= LARGEST:
        return total
    raise AmountError(f"{indicator} is {total} at a candle; it must fit 64 bits")
