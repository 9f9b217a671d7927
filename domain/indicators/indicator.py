"""What an indicator is: one recurrence over candles, driven candle by candle or in one pass, to the same bits."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.errors import InputError
from domain.values import LARGEST

COLUMNS = ("open", "high", "low", "close", "volume")
WINDOW_MAX = 1_000_000
"""Almost two years of minutes."""
CHUNK = 8192
"""Candles made Python integers at a time: a whole year as a list would be 20 MB for each column."""

Values = tuple[int | float, ...]
Stepper = Callable[[int, int, int, int, int], Values | None]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Arrays = tuple[NDArray[Any], ...]


class Indicator(Struct, frozen=True):
    """A specification: equal ones are equal, and it keeps nothing; what runs is what `begin` and `scan` make.

    An indicator is its `recurrence`. Where all that is added up is integers, and so no order of adding can show, `sweep`
    says the same in numpy; elementwise operations on floats round alike there and here (IEEE 754).
    """

    outputs: ClassVar[tuple[str, ...]] = ("value",)
    integral: ClassVar[frozenset[str]] = frozenset()
    """The outputs that are integers; the others are floats."""
    recursive: ClassVar[bool] = False
    """Whether a value depends on all candles before it, and so on where the series begins."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it reads, in the order of a row of its recurrence."""
        raise NotImplementedError

    @property
    def first(self) -> int:
        """Index of the first candle that has values."""
        raise NotImplementedError

    def recurrence(self, rows: Iterator[Any]) -> Iterator[Any]:
        """Take `first` rows and one more and give the values at that one; then take a row and give its values, and so on.

        A row is an integer where there is one input, a tuple where there are several; values likewise by outputs.
        """
        raise NotImplementedError

    def sweep(self, *arrays: Integers) -> Arrays | None:
        """All values from `first` on, without what stands before it; None where int64 could not hold a sum."""
        return None

    def begin(self) -> Stepper:
        """A fresh stepper over (open, high, low, close, volume) in quanta; it says None before `first`."""
        pick: Callable[[tuple[int, ...]], Any] = itemgetter(*map(COLUMNS.index, self.inputs))
        pending: deque[Any] = deque()
        results = self.recurrence(iter(pending.popleft, None))
        warming, single = self.first, len(self.outputs) == 1

        def step(open_: int, high: int, low: int, close: int, volume: int) -> Values | None:
            nonlocal warming
            pending.append(pick((open_, high, low, close, volume)))
            if warming:
                warming -= 1
                return None
            found = next(results)
            return (found,) if single else found

        return step

    def scan(self, columns: Mapping[str, memoryview]) -> Arrays:
        """One int64 or float64 array for each output, as long as the columns; before `first` stands 0 or NaN."""
        arrays = tuple(np.asarray(columns[name]) for name in self.inputs)
        length, first = len(arrays[0]), self.first
        if length <= first:
            return tuple(blank(length, whole=name in self.integral) for name in self.outputs)
        found = self.sweep(*arrays)
        if found is None:
            found = self.collect(self.recurrence(rows_of(*arrays)), length - first)
        return found if first == 0 else tuple(delayed(values, first) for values in found)

    def collect(self, results: Iterator[Any], count: int) -> Arrays:
        """The next results as one array for each output."""
        kinds = [np.dtype(np.int64 if name in self.integral else np.float64) for name in self.outputs]
        if len(kinds) == 1:
            return (np.fromiter(results, kinds[0], count),)
        table = np.fromiter(results, np.dtype(list(zip(self.outputs, kinds, strict=True))), count)
        return tuple(np.ascontiguousarray(table[name]) for name in self.outputs)


class Rolling(Indicator, frozen=True):
    """An indicator of one column over n candles."""

    n: int
    column: str = "close"

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)
        known_column(self, self.column)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def first(self) -> int:
        return self.n - 1


def rows_of(*arrays: NDArray[Any]) -> Iterator[Any]:
    """Rows of Python numbers: of one column as they are, of several as tuples."""
    starts = range(0, len(arrays[0]), CHUNK)
    if len(arrays) == 1:
        return chain.from_iterable(arrays[0][at : at + CHUNK].tolist() for at in starts)
    return chain.from_iterable(
        zip(*(array[at : at + CHUNK].tolist() for array in arrays), strict=True) for at in starts
    )


def blank(length: int, *, whole: bool) -> NDArray[Any]:
    """Values that nobody reads."""
    return np.zeros(length, np.int64) if whole else np.full(length, np.nan)


def delayed(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Values with `count` candles before them that have none."""
    whole = blank(count + len(values), whole=values.dtype == np.int64)
    whole[count:] = values
    return whole


def fits(array: NDArray[Any], times: int) -> bool:
    """Whether int64 holds the sum of `times` such numbers; half of it stays free for what a float estimate misses."""
    return max(int(array.max()), -int(array.min())) * times <= LARGEST // 2


def whole_number(indicator: Indicator, name: str, value: object, least: int = 1) -> None:
    """Refuse a parameter that is no count of candles."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= WINDOW_MAX:
        allowed = f"a whole number from {least} to {WINDOW_MAX:,}"
        raise InputError(f"{type(indicator).__name__} {name} is {value!r}; allowed: {allowed}")


def known_column(indicator: Indicator, value: object) -> None:
    """Refuse a column that no candle has."""
    if value not in COLUMNS:
        raise InputError(f"{type(indicator).__name__} column is {value!r}; allowed: {', '.join(COLUMNS)}")
