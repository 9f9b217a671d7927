"""What each indicator says, worked out by hand, and what it refuses."""

import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputError
from domain.indicators import (
    ADX,
    ATR,
    EMA,
    INDICATORS,
    MACD,
    OBV,
    RSI,
    SMA,
    VWAP,
    WMA,
    Bollinger,
    Column,
    Donchian,
    Indicator,
    Lag,
    Pivots,
    Stochastic,
    Sum,
    ZScore,
)
from tests.domain.indicators.candles import Candle, bits, scanned, spoken, stepped, walk


def closes(*prices: int) -> list[Candle]:
    return [(price, price, price, price, 0) for price in prices]


def bars(*quotes: tuple[int, int, int, int]) -> list[Candle]:
    """Of (high, low, close, volume)."""
    return [(close, high, low, close, volume) for high, low, close, volume in quotes]


BARS = bars((12, 8, 10, 3), (15, 10, 14, 5), (14, 9, 9, 2), (20, 9, 18, 4))

BY_HAND: tuple[tuple[Indicator, list[Candle], list[tuple[float, ...]]], ...] = (
    (Column("volume"), BARS, [(3,), (5,), (2,), (4,)]),
    (Sum("close", 2), closes(1, 2, 4, 8), [(3,), (6,), (12,)]),
    (SMA(3), closes(1, 2, 4, 8), [(7 / 3,), (14 / 3,)]),
    (WMA(3), closes(1, 2, 4, 8), [((1 + 4 + 12) / 6,), ((2 + 8 + 24) / 6,)]),
    (EMA(3), closes(3, 5, 7, 9), [(5.0,), (7.0,)]),
    (EMA(1), closes(3, 5, 7), [(3.0,), (5.0,), (7.0,)]),
    # EMA(1) is the close; EMA(3) begins at 4 and goes half the way; the signal begins at the mean of the first two.
    (MACD(1, 3, 2), closes(2, 4, 6, 8, 4), [(2.0, 2.0, 0.0), (-1.0, 0.0, -1.0)]),
    (RSI(2), closes(10, 13, 12, 12), [(75.0,), (75.0,)]),
    (RSI(2), closes(5, 5, 5, 6), [(0.0,), (100.0,)]),
    (Bollinger(4, 2.0), closes(2, 4, 4, 6), [(4 + 2 * math.sqrt(2), 4.0, 4 - 2 * math.sqrt(2))]),
    (Bollinger(2), closes(7, 7), [(7.0, 7.0, 7.0)]),
    (ZScore(4), closes(2, 4, 4, 6, 4), [(math.sqrt(2),), (-0.5 / math.sqrt(0.75),)]),
    (ZScore(3), closes(5, 5, 5), [(0.0,)]),
    (ATR(1), BARS, [(5.0,), (5.0,), (11.0,)]),
    (ATR(2), BARS, [(5.0,), (8.0,)]),
    # Movements (range, rise, fall): (5, 3, 0), (5, 0, 1), (11, 6, 0); sums (7.5, 1.5, 1), (14.75, 6.75, 0.5).
    (ADX(2), BARS, [((20 + 100 * 6.25 / 7.25) / 2, 675 / 14.75, 50 / 14.75)]),
    # No direction twice, so that 8 fades to 1; then falls by 1 as well.
    (
        ADX(2),
        bars((10, 5, 7, 0), *[(18, 5, 10, 0)] * 3, (18, 4, 10, 0)),
        [(100.0, 200 / 22.75, 0.0), (50.0, 100 / 25.375, 100 / 25.375)],
    ),
    (Stochastic(2, 1, 1), BARS, [(100 * 6 / 7,) * 2, (0.0, 0.0), (100 * 9 / 11,) * 2]),
    (Stochastic(1, 2, 1), bars((3, 1, 3, 0), (3, 3, 3, 0), (4, 2, 3, 0)), [(50.0, 50.0), (25.0, 25.0)]),
    (Donchian(2), BARS, [(15, 11.5, 8), (15, 12.0, 9), (20, 14.5, 9)]),
    (VWAP(2), BARS, [((30 * 3 + 39 * 5) / 24,), ((39 * 5 + 32 * 2) / 21,), ((32 * 2 + 47 * 4) / 18,)]),
    (VWAP(2), closes(4, 7, 9), [(7.0,), (9.0,)]),
    (OBV(), bars((1, 1, 5, 3), (1, 1, 6, 4), (1, 1, 6, 9), (1, 1, 2, 1)), [(3,), (7,), (7,), (6,)]),
    (Lag(Column("close"), 2), closes(1, 2, 4, 8), [(1,), (2,)]),
    (Lag(Lag(Sum("close", 2)), 1), closes(1, 2, 4, 8), [(3,)]),
)


@pytest.mark.parametrize("case", BY_HAND, ids=lambda case: str(case[0]))
def test_by_hand(case: tuple[Indicator, list[Candle], list[tuple[float, ...]]]) -> None:
    indicator, candles, expected = case
    values = stepped(indicator, candles)
    assert values[: indicator.first] == [None] * indicator.first
    said = values[indicator.first :]
    assert len(said) == len(expected)
    for value, other in zip(said, expected, strict=True):
        assert value == pytest.approx(other, rel=1e-15)


def test_every_indicator_is_worked_out() -> None:
    assert {type(indicator) for indicator, _, _ in BY_HAND} | {Pivots} == {*INDICATORS.values(), Lag}


# --- pivots ----------------------------------------------------------------------------------------------------------


def swings(n: int, *prices: tuple[int, int]) -> list[tuple[int | float, ...]]:
    return spoken(Pivots(n), [(low, high, low, low, at) for at, (high, low) in enumerate(prices)])


def test_a_swing_is_said_where_it_is_confirmed() -> None:
    assert swings(1, (5, 4), (9, 6), (7, 5), (8, 7)) == [(9, 0, 1), (0, 5, 2)]


def test_of_equal_swings_side_by_side_the_first_counts() -> None:
    assert swings(1, (5, 4), (9, 4), (9, 4), (7, 4)) == [(9, 0, 1), (0, 0, 0)]
    assert swings(2, (1, 1), (2, 2), (9, 2), (9, 2), (3, 2), (2, 2)) == [(9, 0, 2), (0, 0, 0)]
    assert swings(1, (5, 4), (5, 3), (5, 3), (5, 4)) == [(0, 3, 1), (0, 0, 0)]


def test_one_candle_can_be_both() -> None:
    assert swings(1, (5, 4), (9, 2), (7, 3)) == [(9, 2, 1)]


def test_a_level_market_has_no_swings() -> None:
    assert set(swings(2, *[(5, 5)] * 9)) == {(0, 0, 0)}


# --- deviations ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 100), min_size=20, max_size=20), st.sampled_from([0, 10**9, 2**53 - 200, 2**62]))
def test_deviations_keep_their_digits_at_any_price(offsets: list[int], origin: int) -> None:
    """The squares of two prices near 2^53 differ in their last digits only: floats would keep none of them."""
    candles = closes(*(origin + offset for offset in offsets))
    with localcontext(prec=80):
        mean = Decimal(sum(offsets)) / 20
        deviation = (sum(((offset - mean) ** 2 for offset in offsets), Decimal(0)) / 20).sqrt()
        expected = float((offsets[-1] - mean) / deviation) if deviation else 0.0
    (ours,) = scanned(ZScore(20), candles)
    assert ours[-1] == pytest.approx(expected, rel=1e-15, abs=0)


def test_bands_of_a_wide_series_are_those_of_its_candles() -> None:
    """A price far away makes int64 too small for the squares, for all candles of a scan."""
    candles, far = walk(1, 300), closes(2**53)
    near = scanned(Bollinger(), candles)
    wide = scanned(Bollinger(), [*candles, *far])
    for one, other in zip(near, wide, strict=True):
        assert bits(one[19:]) == bits(other[19:300])


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED = (
    (lambda: SMA(0), "SMA n is 0; allowed: a whole number from 1 to 1,000,000"),
    (lambda: EMA(1_000_001), "EMA n is 1000001; allowed: a whole number from 1 to 1,000,000"),
    (lambda: RSI(True), "RSI n is True; allowed: a whole number"),
    (lambda: ATR(14.0), "ATR n is 14.0; allowed: a whole number"),  # type: ignore[arg-type]
    (lambda: ADX(1), "ADX n is 1; allowed: a whole number from 2 to"),
    (lambda: MACD(26, 26, 9), "MACD slow is 26; allowed: a whole number from 27 to"),
    (lambda: MACD(0, 26, 9), "MACD fast is 0; allowed: a whole number from 1 to"),
    (lambda: MACD(12, 26, -1), "MACD signal is -1; allowed: a whole number from 1 to"),
    (lambda: Stochastic(14, 0), "Stochastic smooth is 0; allowed"),
    (lambda: Stochastic(14, 3, 0), "Stochastic signal is 0; allowed"),
    (lambda: Bollinger(20, 0.0), r"Bollinger width is 0.0; allowed: a number above 0, to 1,000"),
    (lambda: Bollinger(20, math.nan), "Bollinger width is nan; allowed"),
    (lambda: Bollinger(20, math.inf), "Bollinger width is inf; allowed"),
    (lambda: Bollinger(20, True), "Bollinger width is True; allowed"),
    (lambda: Bollinger(20, 2.0, "mid"), "Bollinger column is 'mid'; allowed: open, high, low, close, volume"),
    (lambda: Column("Close"), "Column column is 'Close'; allowed: open, high, low, close, volume"),
    (lambda: Sum("vwap", 3), "Sum column is 'vwap'; allowed"),
    (lambda: Sum("close", 0), "Sum n is 0; allowed"),
    (lambda: ZScore(0), "ZScore n is 0; allowed"),
    (lambda: Donchian(0), "Donchian n is 0; allowed"),
    (lambda: VWAP(0), "VWAP n is 0; allowed"),
    (lambda: WMA(0), "WMA n is 0; allowed"),
    (lambda: Pivots(0), "Pivots n is 0; allowed"),
    (lambda: Lag(SMA(3), 0), "Lag n is 0; allowed"),
)


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_parameter_that_makes_no_sense_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=message):
        make()


def test_equal_specifications_are_equal() -> None:
    assert EMA(10) == EMA(10, "close")
    assert len({EMA(10), EMA(10), EMA(11), SMA(10)}) == 3
    assert Lag(EMA(10)) == Lag(EMA(10), 1)


def test_names() -> None:
    assert sorted(INDICATORS) == (
        "adx atr bollinger column donchian ema macd obv pivots rsi sma stochastic sum vwap wma zscore".split()
    )
