"""Drawdowns: how far and how long values stand below an earlier height. Rows count from 0."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.metrics.statistics import Floats, Integers

Rows = NDArray[np.intp]


class Drawdown(Struct, frozen=True):
    """A fall from the height at `peak` to the lowest value after it, at `trough`; `recovered` is where the height is back.

    `depth` is a fraction of the height and at most 0, `amount` the same in the values' unit, at least 0.
    """

    depth: float
    amount: int
    peak: int
    trough: int
    recovered: int | None


class Episodes(Struct, frozen=True, eq=False):
    """All drawdowns one after the other: the row of each height, the row where it is back or the last, and the depth."""

    peaks: Rows
    ends: Rows
    depths: Floats


def depths(values: Integers) -> Floats:
    """How far each value is below the highest so far, as a fraction of that, at most 0; heights are above zero."""
    height = np.maximum.accumulate(values)
    return (values - height) / height


def deepest(values: Integers, falls: Floats | None = None) -> Drawdown | None:
    """The drawdown with the largest part of its height; None where nothing ever falls. `falls` are the `depths`, if known."""
    return _drawdown(values, int(np.argmin(depths(values) if falls is None else falls)))


def largest(values: Integers) -> Drawdown | None:
    """The drawdown with the largest amount, which may be another than the deepest."""
    return _drawdown(values, int(np.argmin(values - np.maximum.accumulate(values))))


def episodes(values: Integers, falls: Floats | None = None) -> Episodes:
    """All drawdowns of a series. One that is not over ends at the last row. `falls` are the `depths`, if known."""
    falls = depths(values) if falls is None else falls
    below = np.zeros(len(values) + 2, np.int8)
    np.less(falls, 0, out=below[1:-1].view(np.bool_))
    edges = np.diff(below)
    begun, over = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(begun):
        return Episodes(begun, over, np.empty(0, np.float64))
    return Episodes(begun - 1, np.minimum(over, len(values) - 1), np.minimum.reduceat(falls, begun))


def _drawdown(values: Integers, trough: int) -> Drawdown | None:
    peak = int(np.argmax(values[: trough + 1]))
    height = int(values[peak])
    if height == int(values[trough]):
        return None
    # The last row at the height is the one that it fell from.
    peak = trough - int(np.argmax(values[trough::-1] == height))
    back = np.flatnonzero(values[trough:] >= height)
    amount = height - int(values[trough])
    return Drawdown(-amount / height, amount, peak, trough, trough + int(back[0]) if len(back) else None)
