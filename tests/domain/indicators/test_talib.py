"""Agreement with TA-Lib to 1e-9 on random walks, from the very first value on: the seeding is TA-Lib's too."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import talib
from numpy.typing import NDArray
from talib._ta_lib import MA_Type

from domain.indicators import (
    ADX,
    ATR,
    EMA,
    MACD,
    OBV,
    RSI,
    SMA,
    VWAP,
    WMA,
    Bollinger,
    Donchian,
    Indicator,
    Pivots,
    Stochastic,
    Sum,
    ZScore,
)
from tests.domain.indicators.candles import Series, scanned, walk

TOLERANCE = 1e-9
MEAN = MA_Type.SMA


class Quotes(NamedTuple):
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


def quotes(candles: Series) -> Quotes:
    _, *rest = np.array(candles, np.float64).T
    return Quotes(*map(np.ascontiguousarray, rest))


def adx(q: Quotes, n: int) -> Sequence[NDArray[np.float64]]:
    return [function(q.high, q.low, q.close, n) for function in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)]


def stochastic(q: Quotes, n: int, smooth: int, signal: int) -> Sequence[NDArray[np.float64]]:
    return talib.STOCH(q.high, q.low, q.close, n, smooth, MEAN, signal, MEAN)


def rolling_vwap(q: Quotes, n: int) -> NDArray[np.float64]:
    typical = talib.TYPPRICE(q.high, q.low, q.close)
    return talib.SUM(typical * q.volume, n) / talib.SUM(q.volume, n)


AGREED: tuple[tuple[Indicator, Callable[[Quotes], Sequence[NDArray[np.float64]]]], ...] = (
    (Sum("close", 30), lambda q: [talib.SUM(q.close, 30)]),
    (SMA(30), lambda q: [talib.SMA(q.close, 30)]),
    (SMA(30, "volume"), lambda q: [talib.SMA(q.volume, 30)]),
    (EMA(10), lambda q: [talib.EMA(q.close, 10)]),
    (EMA(200, "high"), lambda q: [talib.EMA(q.high, 200)]),
    (WMA(30), lambda q: [talib.WMA(q.close, 30)]),
    (MACD(), lambda q: talib.MACD(q.close)),
    (MACD(5, 34, 1), lambda q: talib.MACD(q.close, 5, 34, 1)),
    (RSI(), lambda q: [talib.RSI(q.close)]),
    (RSI(2), lambda q: [talib.RSI(q.close, 2)]),
    (Bollinger(), lambda q: talib.BBANDS(q.close, 20, 2.0, 2.0)),
    (Bollinger(50, 2.5, "low"), lambda q: talib.BBANDS(q.low, 50, 2.5, 2.5)),
    (ATR(), lambda q: [talib.ATR(q.high, q.low, q.close)]),
    (ATR(1), lambda q: [talib.TRANGE(q.high, q.low, q.close)]),
    (ADX(), lambda q: adx(q, 14)),
    (ADX(2), lambda q: adx(q, 2)),
    (Stochastic(), lambda q: stochastic(q, 14, 3, 3)),
    (Stochastic(5, 1, 9), lambda q: stochastic(q, 5, 1, 9)),
    (Donchian(), lambda q: talib.DONCHIAN(q.high, q.low, 20)),
    (OBV(), lambda q: [talib.OBV(q.close, q.volume)]),
    (VWAP(20), lambda q: [rolling_vwap(q, 20)]),
)


def check_agreed(ours: NDArray[Any], theirs: NDArray[np.float64], first: int) -> None:
    """Relative, and absolute below 1, because the difference of two averages may be near 0."""
    assert len(ours) > first
    assert not np.isnan(theirs[first:]).any()
    np.testing.assert_allclose(ours[first:], theirs[first:], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", AGREED, ids=lambda case: str(case[0]))
def test_agreement(case: tuple[Indicator, Callable[[Quotes], Sequence[NDArray[np.float64]]]], seed: int) -> None:
    indicator, function = case
    candles = walk(seed, 3_000)
    theirs = function(quotes(candles))
    for mine, other in zip(scanned(indicator, candles), theirs, strict=True):
        check_agreed(mine, other, indicator.first)
    assert np.isnan(theirs[0][: indicator.first]).all(), "theirs begins earlier"


def test_a_disagreement_is_found() -> None:
    candles = walk(1, 300)
    with pytest.raises(AssertionError):
        check_agreed(scanned(EMA(10), candles)[0], talib.EMA(quotes(candles).close, 11), 10)


@pytest.mark.parametrize("n", [10, 50])
def test_z_score_is_made_of_their_deviation(n: int) -> None:
    """Theirs is a mean of squares less a squared mean: at small prices, so that it has digits left."""
    candles = walk(3, 2_000, start=5_000, step=200)
    close = quotes(candles).close
    check_agreed(scanned(ZScore(n), candles)[0], (close - talib.SMA(close, n)) / talib.STDDEV(close, n), n - 1)


def test_vwap_of_all_candles_is_theirs() -> None:
    """Theirs is anchored at the first candle, ours rolls: they meet where the window reaches back to it."""
    candles = walk(4, 400)
    theirs = talib.VWAP(*quotes(candles))
    for at in (0, 1, 57, 399):
        (ours,) = scanned(VWAP(at + 1), candles)
        assert ours[at] == pytest.approx(theirs[at], rel=TOLERANCE)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_pivots_are_their_fractals_where_no_two_prices_are_level(n: int) -> None:
    """Of equal highs side by side theirs takes none, ours the first."""
    spread = [tuple(price * 10_000 + at for price in candle) for at, candle in enumerate(walk(5, 3_000))]
    candles = [(open_, high, low, close, volume) for open_, high, low, close, volume in spread]
    high, low, *_ = quotes(candles)
    for ours, theirs in zip(scanned(Pivots(n), candles), talib.FRACTAL(high, low, n, n), strict=False):
        assert np.flatnonzero(ours[2 * n :]).tolist() == np.flatnonzero(theirs[2 * n :]).tolist() != []


def test_a_market_at_rest_keeps_its_rsi() -> None:
    """Theirs fades with gains and losses until both are the smallest float there is, which makes 50."""
    moving = walk(6, 100)
    candles = [*moving, *[moving[-1]] * 12_000]
    theirs = talib.RSI(quotes(candles).close)
    (ours,) = scanned(RSI(), candles)
    check_agreed(ours[:8_000], theirs[:8_000], 14)
    assert ours[-1] == pytest.approx(ours[100], rel=TOLERANCE)
    assert theirs[-1] == 50.0
    assert ours[-1] != 50.0


def test_a_market_at_rest_has_no_direction() -> None:
    """Theirs ends with one indicator at 100."""
    moving = walk(6, 100)
    candles = [*moving, *[(moving[-1][3],) * 5] * 12_000]
    ours, theirs = scanned(ADX(), candles), adx(quotes(candles), 14)
    for mine, other in zip(ours, theirs, strict=True):
        check_agreed(mine[:7_000], other[:7_000], 27)
    assert [values[-1] for values in ours[1:]] == [0.0, 0.0]
    assert ours[0][-1] == ours[0][-1_000] > 1.0
    assert 100.0 in {theirs[1][-1], theirs[2][-1]}


def test_no_movement_at_all_is_0_as_theirs() -> None:
    candles = [(500, 500, 500, 500, 7)] * 40
    q = quotes(candles)
    for indicator, theirs in (
        (RSI(5), [talib.RSI(q.close, 5)]),
        (ADX(5), adx(q, 5)),
        (Stochastic(5), stochastic(q, 5, 3, 3)),
    ):
        for mine, other in zip(scanned(indicator, candles), theirs, strict=True):
            assert (
                mine[indicator.first :].tolist() == other[indicator.first :].tolist() == [0.0] * (40 - indicator.first)
            )
