"""Swing highs and lows: where support and resistance are looked for."""

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from domain.indicators.indicator import Arrays, Indicator, Integers, whole_number
from domain.indicators.windows import highest, lowest, swept_highest, swept_lowest


class Pivots(Indicator, frozen=True):
    """Swing highs and lows, each said at the candle that confirms it, n candles after its own.

    A swing high is above all n highs before it and not below any of the n after it, so of equal ones the first counts;
    a swing low likewise (Williams 1995 has n = 2). `high` and `low` are the prices of what this candle confirms, 0 for
    nothing; `volume` is that of the swing's own candle, 0 where there is none.
    """

    n: int

    outputs: ClassVar[tuple[str, ...]] = ("high", "low", "volume")
    integral: ClassVar[frozenset[str]] = frozenset(outputs)

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("high", "low", "volume")

    @property
    def first(self) -> int:
        return 2 * self.n

    def recurrence(self, rows: Iterator[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
        top, bottom = highest(self.n), lowest(self.n)
        # Candles with the extremes of the n that end with each: the one before the swing, the swing, .. this candle.
        recent: deque[tuple[int, int, int, int, int]] = deque(maxlen=self.n + 2)
        for at, (high, low, volume) in enumerate(rows):
            recent.append((high, low, volume, top(high), bottom(low)))
            if at < self.first:
                continue
            *_, above_before, below_before = recent[0]
            swing_high, swing_low, swing_volume, *_ = recent[1]
            *_, above_after, below_after = recent[-1]
            is_high = swing_high > above_before and swing_high >= above_after
            is_low = swing_low < below_before and swing_low <= below_after
            yield swing_high * is_high, swing_low * is_low, swing_volume * (is_high or is_low)

    def sweep(self, *arrays: Integers) -> Arrays:
        n = self.n
        high, low, volume = (array[n : len(array) - n] for array in arrays)
        above, below = swept_highest(arrays[0], n), swept_lowest(arrays[1], n)
        is_high = (high > above[: len(high)]) & (high >= above[n + 1 :])
        is_low = (low < below[: len(low)]) & (low <= below[n + 1 :])
        return np.where(is_high, high, 0), np.where(is_low, low, 0), np.where(is_high | is_low, volume, 0)
