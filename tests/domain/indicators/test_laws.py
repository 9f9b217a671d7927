"""What every indicator keeps: the same bits stepped and scanned, nothing from the future, no number that is none."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.errors import AmountError
from domain.indicators import ADX, ATR, EMA, INDICATORS, MACD, OBV, RSI, SMA, VWAP, Indicator, Lag, Pivots, Sum
from domain.indicators.indicator import CHUNK, Arrays, Integers
from domain.values import LARGEST
from tests.domain.indicators.candles import (
    EVERY,
    SPECIFICATIONS,
    Series,
    bits,
    scanned,
    series,
    spoken,
    stepped,
    walk,
)

RECURSIVE: dict[str, Indicator] = {
    "ema": EMA(5),
    "macd": MACD(),
    "rsi": RSI(),
    "atr": ATR(),
    "adx": ADX(),
    "obv": OBV(),
}
every = pytest.mark.parametrize("name", EVERY)


def check_same_bits(indicator: Indicator, candles: Series) -> None:
    try:
        values = stepped(indicator, candles)
    except AmountError:
        with pytest.raises(AmountError):
            scanned(indicator, candles)
        return
    first = indicator.first
    assert all(value is None for value in values[:first])
    assert all(value is not None for value in values[first:])
    arrays = scanned(indicator, candles)
    assert len(arrays) == len(indicator.outputs)
    for at, (output, array) in enumerate(zip(indicator.outputs, arrays, strict=True)):
        kind = int if output in indicator.integral else float
        assert array.dtype == (np.int64 if kind is int else np.float64)
        assert len(array) == len(candles)
        one_by_one = [value[at] for value in values[first:] if value is not None]
        assert all(type(value) is kind and math.isfinite(value) for value in one_by_one)
        assert bits(array[first:]) == bits(np.array(one_by_one, array.dtype)), output


def check_causal(indicator: Indicator, candles: Series, others: Series, cut: int) -> None:
    told = scanned(indicator, candles)
    otherwise = scanned(indicator, [*candles[:cut], *others])
    for output, one, other in zip(indicator.outputs, told, otherwise, strict=True):
        assert bits(one[indicator.first : cut]) == bits(other[indicator.first : cut]), output


def check_forgets(indicator: Indicator, candles: Series, cut: int) -> None:
    """Begun `cut` candles later, it says the same from where it speaks."""
    for output, all_, later in zip(
        indicator.outputs, scanned(indicator, candles), scanned(indicator, candles[cut:]), strict=True
    ):
        assert bits(all_[cut + indicator.first :]) == bits(later[indicator.first :]), output


@every
@given(st.data(), series())
def test_stepped_and_scanned_are_the_same_bits(name: str, data: st.DataObject, candles: Series) -> None:
    check_same_bits(data.draw(EVERY[name]), candles)


@every
@given(st.data(), series(), series(length_max=12))
def test_the_future_does_not_change_the_past(name: str, data: st.DataObject, candles: Series, others: Series) -> None:
    cut = data.draw(st.integers(0, len(candles)))
    try:
        check_causal(data.draw(EVERY[name]), candles, others, cut)
    except AmountError:
        assume(False)


@pytest.mark.parametrize("name", [name for name in EVERY if name not in RECURSIVE])
@given(st.data(), series())
def test_what_is_not_recursive_does_not_know_where_the_series_began(
    name: str, data: st.DataObject, candles: Series
) -> None:
    indicator = data.draw(EVERY[name].filter(lambda each: not each.recursive))
    try:
        check_forgets(indicator, candles, data.draw(st.integers(0, len(candles))))
    except AmountError:
        assume(False)


@pytest.mark.parametrize("name", RECURSIVE)
def test_what_is_recursive_does(name: str) -> None:
    indicator = RECURSIVE[name]
    assert indicator.recursive
    with pytest.raises(AssertionError):
        check_forgets(indicator, walk(1, 80), 5)


def test_a_lag_is_as_recursive_as_what_it_delays() -> None:
    assert Lag(EMA(5)).recursive
    assert not Lag(SMA(5)).recursive


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_the_laws_hold_over_several_chunks(name: str) -> None:
    parameters = {"column": "close"} if name in {"column", "sum"} else {}
    kind: Callable[..., Indicator] = INDICATORS[name]
    indicator = kind(**parameters) if name in WITHOUT_N else kind(n=30, **parameters)
    candles = walk(7, 2 * CHUNK + 100)
    check_same_bits(indicator, candles)
    check_causal(indicator, candles, walk(8, 50, start=2**53), CHUNK + 1)


@pytest.mark.parametrize("name", RECURSIVE)
@pytest.mark.parametrize("rest", [(5, 5, 5, 5, 0), (4, 9, 2, 5, 1)], ids=["flat", "ranging"])
def test_the_bits_are_the_same_after_a_long_rest(name: str, rest: tuple[int, int, int, int, int]) -> None:
    """Where the smallest floats are met: on candles that are all the same, with a range and without."""
    check_same_bits(RECURSIVE[name], [*walk(3, 100, start=5, step=3), *[rest] * 12_000])


WITHOUT_N = {"column", "macd", "obv"}


def test_every_indicator_is_tried() -> None:
    assert set(SPECIFICATIONS) == set(INDICATORS)
    assert set(RECURSIVE) == {name for name, kind in INDICATORS.items() if kind.recursive}


def test_a_stepper_keeps_nothing_in_its_specification() -> None:
    indicator, candles = EMA(3), walk(1, 30)
    one, other = indicator.begin(), indicator.begin()
    told = [one(*candle) for candle in candles[:10]]
    assert [other(*candle) for candle in candles[:10]] == told
    assert spoken(indicator, candles)[: 10 - indicator.first] == [values for values in told if values is not None]


# --- each law can fail ---------------------------------------------------------------------------------------------


class Rounding(SMA, frozen=True):
    """A running sum of floats, as is often seen: it carries the rounding of what has left the window."""

    def recurrence(self, rows: Iterator[int]) -> Iterator[float]:
        window: list[float] = []
        total = 0.0
        for row in rows:
            window.append(row / 3)
            total += window[-1] - (window.pop(0) if len(window) > self.n else 0.0)
            if len(window) == self.n:
                yield total

    def sweep(self, *arrays: Integers) -> Arrays:
        thirds = arrays[0] / 3
        return (np.lib.stride_tricks.sliding_window_view(thirds, self.n).sum(axis=1),)


class Unconfirmed(Pivots, frozen=True):
    """A swing said at its own candle, which nobody can know yet."""

    @property
    def first(self) -> int:
        return self.n

    def sweep(self, *arrays: Integers) -> Arrays:
        found = super().sweep(*arrays)
        return tuple(np.pad(values, (0, self.n)) for values in found)


class Late(SMA, frozen=True):
    """It says nothing at the first candle that has a value."""

    def recurrence(self, rows: Iterator[int]) -> Iterator[Any]:
        values = super().recurrence(rows)
        next(values)
        yield math.nan
        yield from values


@pytest.mark.parametrize("indicator", [Rounding(7), Unconfirmed(2), Late(3)])
def test_other_bits_are_found(indicator: Indicator) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check_same_bits(indicator, walk(1, 200))


def test_a_look_ahead_is_found() -> None:
    candles = walk(1, 80)
    cut = 1 + next(at for at, (high, *_) in enumerate(spoken_early(candles), 2) if high and at > 20)
    with pytest.raises(AssertionError):
        check_causal(Unconfirmed(2), candles, [(2**53,) * 5] * 20, cut)


def spoken_early(candles: Series) -> Iterator[tuple[Any, ...]]:
    return zip(*(values[2:].tolist() for values in scanned(Unconfirmed(2), candles)), strict=True)


def test_volumes_alone_can_be_too_large_for_int64() -> None:
    """At prices of 0 a turnover is small whatever was traded."""
    check_same_bits(VWAP(2), [(1, 1, 1, 1, 1), (0, 1, -1, 0, LARGEST), (1, 1, 1, 1, 1)])


@pytest.mark.parametrize("indicator", [Sum("close", 3), OBV()])
def test_a_sum_beyond_64_bits_is_refused_both_ways(indicator: Indicator) -> None:
    third = LARGEST // 3
    fitting = [(price,) * 4 + (third,) for price in (third - 2, third - 1, third)]
    check_same_bits(indicator, fitting)
    beyond = [*fitting, (third + 4,) * 4 + (third,)]
    with pytest.raises(AmountError, match="must fit 64 bits"):
        stepped(indicator, beyond)
    with pytest.raises(AmountError, match="must fit 64 bits"):
        scanned(indicator, beyond)
