"""Rolling windows of integers, stepped and swept: sums, deviations, extremes."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from domain.indicators.indicator import Floats, Integers, fits


def sums(rows: Iterator[int], n: int) -> Iterator[int]:
    """The sum of each n rows in a line."""
    window = deque(islice(rows, n))
    total = sum(window)
    yield total
    for row in rows:
        total += row - window.popleft()
        window.append(row)
        yield total


def swept_sums(array: Integers, n: int) -> Integers:
    """The same; the running sum may wrap around, what it is used for fits."""
    running = np.cumsum(array)
    found = running[n - 1 :].copy()
    found[1:] -= running[: len(array) - n]
    return found


def spreads(rows: Iterator[int], n: int) -> Iterator[tuple[int, int, int]]:
    """(n x newest - sum, sum, n x sum of squares - square of the sum) of each n rows.

    That is n x the newest's distance from the mean, n x the mean and n^2 x the population variance, all exact: squares
    of prices and of their mean agree in most of their digits, and floats would keep only what is left.
    """
    window = deque(islice(rows, n))
    total, squares = sum(window), sum(row * row for row in window)
    yield n * window[-1] - total, total, n * squares - total * total
    for row in rows:
        old = window.popleft()
        window.append(row)
        total += row - old
        squares += row * row - old * old
        yield n * row - total, total, n * squares - total * total


def swept_spreads(array: Integers, n: int) -> tuple[Integers, Integers, Integers] | None:
    """The same; None where int64 is too small.

    A variance is the same from any origin. From the middle of the series its squares are smallest, so more series fit;
    that the middle is of later candles too cannot show, because every number is exact.
    """
    least, most = int(array.min()), int(array.max())
    origin = (least + most) // 2
    if not fits(array, n) or (n * (most - origin)) ** 2 >= 2**62:
        return None
    centred = array - origin
    total = swept_sums(centred, n)
    spread = n * swept_sums(centred * centred, n) - total * total
    return n * centred[n - 1 :] - total, total + n * origin, spread


def highest(n: int) -> Callable[[int], int]:
    """A function that takes a number and gives the highest of the last n."""
    candidates: deque[tuple[int, int]] = deque()
    at = 0

    def push(number: int) -> int:
        nonlocal at
        while candidates and candidates[-1][1] <= number:
            candidates.pop()
        candidates.append((at, number))
        if candidates[0][0] <= at - n:
            candidates.popleft()
        at += 1
        return candidates[0][1]

    return push


def lowest(n: int) -> Callable[[int], int]:
    """The same for the lowest."""
    push = highest(n)
    return lambda number: -push(-number)


def swept_highest(array: Integers, n: int) -> Integers:
    """The highest of each n in a line: windows twice as long are the higher of two neighbours."""
    return _extremes(array, n, np.maximum)


def swept_lowest(array: Integers, n: int) -> Integers:
    """The lowest of each n in a line."""
    return _extremes(array, n, np.minimum)


def _extremes(array: Integers, n: int, better: np.ufunc) -> Integers:
    found, width = array, 1
    while width < n:
        shift = min(width, n - width)
        found = better(found[:-shift], found[shift:])
        width += shift
    return found


def mean(window: deque[float]) -> float:
    """Added up in order each time: a running sum of floats would carry the rounding of all that has left it."""
    total = 0.0
    for value in window:
        total += value
    return total / len(window)


def swept_means(values: Floats, n: int) -> Floats:
    """The same, of each n in a line."""
    count = len(values) - n + 1
    total = np.zeros(count)
    for at in range(n):
        total += values[at : at + count]
    return total / n
