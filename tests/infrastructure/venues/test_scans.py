"""What was scanned before is what a scan would give, of the same candles only, and within its bytes."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.indicators import EMA, Bollinger, Column, Indicator, Lag, Sum
from infrastructure.venues.scans import Scans
from tests.simulator import tape_of

SOME: list[Indicator] = [
    Column("close"),
    Sum("close", 3),
    EMA(4),
    Bollinger(3),
    Lag(Sum("close", 3), 2),
    Lag(EMA(2), 4),
]
Columns = Mapping[str, memoryview]


def columns_of(*closes: int) -> Columns:
    return tape_of([(close, close, close, close) for close in closes]).columns


def cut(columns: Columns, first: int, last: int) -> Columns:
    return {name: column[first:last] for name, column in columns.items()}


def bits(arrays: tuple[np.ndarray, ...]) -> list[tuple[str, bytes]]:
    return [(str(array.dtype), array.tobytes()) for array in arrays]


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=30),
    st.lists(st.tuples(st.sampled_from(SOME), st.integers(0, 30), st.integers(0, 30)), max_size=12),
    st.integers(0, 1500),
)
def test_what_is_given_is_the_scan_of_these_candles(
    closes: list[int], asked: list[tuple[Indicator, int, int]], bytes_max: int
) -> None:
    whole, scans = columns_of(*closes), Scans(bytes_max)
    for indicator, first, last in asked:
        columns = cut(whole, min(first, len(closes) - 1), max(last, first + 1))
        assert bits(scans.of(indicator, columns)) == bits(indicator.scan(columns))
        assert scans.bytes <= bytes_max


def test_the_same_indicator_of_the_same_candles_is_scanned_once() -> None:
    columns, scans = columns_of(1, 2, 3, 4), Scans()
    for _ in range(3):
        scans.of(Sum("close", 2), columns)
        scans.of(Sum("close", 2), cut(columns, 0, 4))
        scans.of(Lag(Sum("close", 2), 1), columns)
    assert scans.scanned == 1


def test_other_candles_are_scanned_anew() -> None:
    columns, scans = columns_of(1, 2, 3, 4), Scans()
    scans.of(Sum("close", 2), columns)
    scans.of(Sum("close", 2), cut(columns, 0, 3))
    scans.of(Sum("close", 2), cut(columns, 1, 4))
    scans.of(Sum("close", 2), columns_of(1, 2, 3, 4))
    scans.of(Sum("open", 2), columns)
    assert scans.scanned == 5


def test_the_longest_unused_goes_first_and_a_column_counts_once() -> None:
    columns = columns_of(1, 2, 3, 4)
    scans = Scans(bytes_max=3 * 4 * 8)  # two results, and the closes that both were given
    first, second, third = (Sum("close", n) for n in (1, 2, 3))
    for indicator in (first, second, first, third):
        scans.of(indicator, columns)
    assert (scans.scanned, scans.bytes) == (3, 3 * 4 * 8)
    scans.of(first, columns)
    assert scans.scanned == 3
    scans.of(second, columns)
    assert scans.scanned == 4


def test_what_is_given_cannot_be_written_into() -> None:
    columns, scans = columns_of(1, 2, 3, 4), Scans()
    for indicator in (Sum("close", 2), Lag(Sum("close", 2), 1)):
        with pytest.raises(ValueError, match="read-only"):
            scans.of(indicator, columns)[0][0] = 7


class Weighted(Indicator, frozen=True):
    """A field that has no hash."""

    weights: list[int]

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("close",)

    @property
    def first(self) -> int:
        return 0

    def sweep(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        return (arrays[0] * float(sum(self.weights)),)


def test_an_indicator_without_a_hash_is_scanned_each_time() -> None:
    columns, scans = columns_of(1, 2), Scans()
    for _ in range(2):
        assert scans.of(Weighted([1, 2]), columns)[0].tolist() == [3.0, 6.0]
    assert (scans.scanned, scans.bytes) == (2, 0)
