"""Many points on few pixels: of each pixel column the lowest and the highest, so that no spike is lost."""

import numpy as np

from replay.result_report.report import Fills, Floats, Integers, Series

MARKS_MAX = 2000
"""Beyond these fills are counted by pixel columns."""


def thinned(series: Series, columns: int) -> Series:
    """At most two points per column of equal time, the lowest and the highest in their order, and the first and last."""
    times, values = series.times, series.values
    if len(times) <= 2 * columns:
        return series
    starts = _starts(times, columns)
    ends = np.append(starts[1:], len(times))
    lows = _places(values, starts, ends, np.minimum)
    highs = _places(values, starts, ends, np.maximum)
    chosen = np.unique(np.concatenate([lows, highs, [0, len(times) - 1]]))
    return Series(times[chosen], values[chosen])


def _places(values: Floats, starts: Integers, ends: Integers, extreme: np.ufunc) -> Integers:
    """Where each column first has its extreme value."""
    best = np.repeat(extreme.reduceat(values, starts), ends - starts)
    hits = np.flatnonzero(values == best)
    return hits[np.searchsorted(hits, starts)]


def _starts(times: Integers, columns: int) -> Integers:
    """Where the columns that have a point begin."""
    span = max(1, int(times[-1] - times[0]))
    edges = times[0] + np.arange(columns, dtype=np.int64) * span // columns
    return np.unique(np.searchsorted(times, edges, side="left"))


def counted(fills: Fills, start: int, end: int, columns: int) -> tuple[Integers, Integers]:
    """(start, count) of each column of `column_width` from a time on that has fills."""
    width = column_width(start, end, columns)
    column, counts = np.unique((fills.times - start) // width, return_counts=True)
    return start + column * width, counts.astype(np.int64)


def column_width(start: int, end: int, columns: int) -> int:
    """Microseconds of one of so many equal columns between two times."""
    return max(1, -(-(end - start) // columns))


def of_side(fills: Fills, *, buys: bool) -> Fills:
    """The buys, or the sells."""
    chosen = fills.is_buy == buys
    return Fills(fills.times[chosen], fills.prices[chosen], fills.is_buy[chosen])
