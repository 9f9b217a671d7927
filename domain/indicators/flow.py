"""Prices weighed with what was traded at them."""

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from domain.indicators.averages import within_64_bits
from domain.indicators.indicator import Arrays, Indicator, Integers, fits, whole_number
from domain.indicators.windows import swept_sums
from domain.values import LARGEST


class VWAP(Indicator, frozen=True):
    """The volume-weighted average of typical prices, (high + low + close) / 3, over n candles, in price quanta.

    It rolls: an indicator is not told the time, so there is no session for it to begin with. Where nothing was traded
    in n candles it is this candle's typical price.
    """

    n: int

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("high", "low", "close", "volume")

    @property
    def first(self) -> int:
        return self.n - 1

    def recurrence(self, rows: Iterator[tuple[int, int, int, int]]) -> Iterator[float]:
        n = self.n
        window: deque[tuple[int, int]] = deque()
        turnover = traded = 0
        for at, (high, low, close, volume) in enumerate(rows):
            prices = high + low + close
            turnover += prices * volume
            traded += volume
            window.append((prices * volume, volume))
            if at >= n:
                old_turnover, old_volume = window.popleft()
                turnover -= old_turnover
                traded -= old_volume
            if at >= self.first:
                yield float(turnover) / (3 * traded) if traded else float(prices) / 3

    def sweep(self, *arrays: Integers) -> Arrays | None:
        high, low, close, volume = arrays
        if not (all(fits(array, 3) for array in (high, low, close)) and fits(volume, 3 * self.n)):
            return None
        prices = high + low + close
        if not fits(prices.astype(np.float64) * volume, self.n):
            return None
        turnover, traded = swept_sums(prices * volume, self.n), swept_sums(volume, self.n)
        typical = prices[self.n - 1 :] / 3
        return (np.where(traded > 0, turnover / np.maximum(3 * traded, 1), typical),)


class OBV(Indicator, frozen=True):
    """On-balance volume in size quanta: the volume of candles that closed higher less that of those that closed lower.

    Granville 1963. It begins with the first candle's volume, as TA-Lib's. Raises AmountError where it does not fit 64
    bits.
    """

    integral: ClassVar[frozenset[str]] = frozenset({"value"})
    recursive: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("close", "volume")

    @property
    def first(self) -> int:
        return 0

    def recurrence(self, rows: Iterator[tuple[int, int]]) -> Iterator[int]:
        before, total = next(rows)
        yield total
        for close, volume in rows:
            if close > before:
                total += volume
            elif close < before:
                total -= volume
            before = close
            yield within_64_bits(total, self)

    def sweep(self, *arrays: Integers) -> Arrays | None:
        close, volume = arrays
        if float(volume.sum(dtype=np.float64)) > LARGEST // 2:
            return None
        signed = volume.copy()
        signed[1:] *= (close[1:] > close[:-1]).astype(np.int64) - (close[1:] < close[:-1])
        return (np.cumsum(signed),)
