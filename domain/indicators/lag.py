"""What an indicator was some candles ago."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.indicators.indicator import Arrays, Indicator, Integers, blank, whole_number


class Lag(Indicator, frozen=True):
    """The values of another indicator `n` candles ago."""

    of: Indicator
    n: int = 1

    def __post_init__(self) -> None:
        whole_number(self, "n", self.n)

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]  # what it shows depends on what it lags
        return self.of.outputs

    @property
    def integral(self) -> frozenset[str]:  # type: ignore[override]
        return self.of.integral

    @property
    def recursive(self) -> bool:  # type: ignore[override]
        return self.of.recursive

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.of.inputs

    @property
    def first(self) -> int:
        return self.of.first + self.n

    def recurrence(self, rows: Iterator[Any]) -> Iterator[Any]:
        results = self.of.recurrence(rows)
        held = deque(islice(results, self.n))
        for value in results:
            held.append(value)
            yield held.popleft()

    def sweep(self, *arrays: Integers) -> Arrays | None:
        found = self.of.sweep(*arrays)
        return None if found is None else tuple(values[: -self.n] for values in found)

    def lagged(self, found: Arrays) -> Arrays:
        """Its own scan, from that of what it lags."""
        return tuple(self._late(values) for values in found)

    def _late(self, values: NDArray[Any]) -> NDArray[Any]:
        late = blank(len(values), whole=values.dtype == np.int64)
        late[self.first :] = values[self.of.first : max(self.of.first, len(values) - self.n)]
        return late
