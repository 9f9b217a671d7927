"""Features that were scanned before: a search looks at the same indicators on the same tape again and again."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from domain.indicators import Arrays, Indicator, Lag

BYTES_MAX = 64 * 2**20
"""A dozen features of a year of minutes."""

Column = tuple[int, int]
"""Where in memory a column begins, and its length."""


class Scans:
    """What indicators gave, the latest used up to so many bytes, with the columns that they were given.

    Columns are the same where they are the same memory: it is held, so no other column can come to lie there.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes = 0
        self.scanned = 0
        self._bytes_max = bytes_max
        self._kept: OrderedDict[tuple[Any, ...], tuple[Arrays, dict[Column, memoryview]]] = OrderedDict()
        self._users: Counter[Column] = Counter()

    def of(self, indicator: Indicator, columns: Mapping[str, memoryview]) -> Arrays:
        """As its `scan`, read-only."""
        if type(indicator) is Lag:
            return _read_only(indicator.lagged(self.of(indicator.of, columns)))
        held = {_place(columns[name]): columns[name] for name in indicator.inputs}
        key = (indicator, *(_place(columns[name]) for name in indicator.inputs))
        try:
            found = self._kept.get(key)
        except TypeError:  # an author's indicator may have a field without a hash
            return self._scan(indicator, columns)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]
        arrays = self._scan(indicator, columns)
        self._kept[key] = arrays, held
        self._count(arrays, held, 1)
        while self.bytes > self._bytes_max:
            _, oldest = self._kept.popitem(last=False)
            self._count(*oldest, -1)
        return arrays

    def _scan(self, indicator: Indicator, columns: Mapping[str, memoryview]) -> Arrays:
        self.scanned += 1
        return _read_only(indicator.scan(columns))

    def _count(self, arrays: Arrays, held: dict[Column, memoryview], by: int) -> None:
        """A column counts once, however many indicators were given it."""
        self.bytes += by * sum(array.nbytes for array in arrays)
        for place, column in held.items():
            before = self._users[place] > 0
            self._users[place] += by
            self.bytes += by * column.nbytes * (before != (self._users[place] > 0))
        self._users = +self._users


def _place(column: memoryview) -> Column:
    return np.asarray(column).ctypes.data, len(column)


def _read_only(arrays: Arrays) -> Arrays:
    """A strategy that wrote into them would change what the next one is given."""
    for array in arrays:
        array.flags.writeable = False
    return arrays
