"""Agreement with published values of another library, to the decimals that it gives."""

import json
import math
from csv import DictReader
from decimal import Decimal
from typing import Any

import pytest

from domain.indicators import (
    ADX,
    ATR,
    EMA,
    MACD,
    RSI,
    SMA,
    VWAP,
    WMA,
    Bollinger,
    Donchian,
    Indicator,
    Pivots,
    Stochastic,
    ZScore,
)
from tests.conftest import shared_data
from tests.domain.indicators.candles import Candle, scanned

FOLDER = "reference/indicators"
QUANTA = 10**4
PERCENT = {"adx", "plus_di", "minus_di", "k", "d"}
"""These outputs are the same in any quanta, as are RSI and z-score."""
Read = tuple[Indicator, str, int]
"""Our indicator, its output, and by how many candles ours comes later."""

READS: dict[tuple[str, str], Read] = {
    ("get_adx(quotes, 14)", "adx"): (ADX(), "adx", 0),
    ("get_adx(quotes, 14)", "pdi"): (ADX(), "plus_di", 0),
    ("get_adx(quotes, 14)", "mdi"): (ADX(), "minus_di", 0),
    ("get_adx(quotes, 14).condense()", "adx"): (ADX(), "adx", 0),
    ("get_adx(quotes, 14).condense()", "pdi"): (ADX(), "plus_di", 0),
    ("get_adx(quotes, 14).condense()", "mdi"): (ADX(), "minus_di", 0),
    ("get_atr(quotes, 14)", "atr"): (ATR(), "value", 0),
    ("get_atr(quotes, 14)", "tr"): (ATR(1), "value", 0),
    ("get_tr(quotes)", "tr"): (ATR(1), "value", 0),
    ("get_bollinger_bands(quotes, 20, 2)", "sma"): (Bollinger(), "middle", 0),
    ("get_bollinger_bands(quotes, 20, 2)", "upper_band"): (Bollinger(), "upper", 0),
    ("get_bollinger_bands(quotes, 20, 2)", "lower_band"): (Bollinger(), "lower", 0),
    ("get_bollinger_bands(quotes, 20, 2)", "z_score"): (ZScore(20), "value", 0),
    # Theirs is the channel of the 20 candles before this one.
    ("get_donchian(quotes, 20)", "upper_band"): (Donchian(), "upper", -1),
    ("get_donchian(quotes, 20)", "lower_band"): (Donchian(), "lower", -1),
    ("get_donchian(quotes, 20)", "center_line"): (Donchian(), "middle", -1),
    ("get_ema(quotes, 20)", "ema"): (EMA(20), "value", 0),
    ("get_ema(quotes, 20, CandlePart.OPEN)", "ema"): (EMA(20, "open"), "value", 0),
    # Theirs stands at the swing, ours where it is confirmed.
    ("get_fractal(quotes)", "fractal_bear"): (Pivots(2), "high", 2),
    ("get_fractal(quotes)", "fractal_bull"): (Pivots(2), "low", 2),
    ("get_fractal(quotes, 4, 4, EndType.HIGH_LOW)", "fractal_bear"): (Pivots(4), "high", 4),
    ("get_fractal(quotes, 4, 4, EndType.HIGH_LOW)", "fractal_bull"): (Pivots(4), "low", 4),
    ("get_pivots(quotes, 4, 4, 20, EndType.HIGH_LOW)", "high_point"): (Pivots(4), "high", 4),
    ("get_pivots(quotes, 4, 4, 20, EndType.HIGH_LOW)", "low_point"): (Pivots(4), "low", 4),
    ("get_macd(quotes, 12, 26, 9)", "macd"): (MACD(), "macd", 0),
    ("get_macd(quotes, 12, 26, 9)", "signal"): (MACD(), "signal", 0),
    ("get_macd(quotes, 12, 26, 9)", "histogram"): (MACD(), "histogram", 0),
    ("get_macd(quotes, 12, 26, 9)", "fast_ema"): (EMA(12), "value", 0),
    ("get_macd(quotes, 12, 26, 9)", "slow_ema"): (EMA(26), "value", 0),
    ("get_rsi(quotes, 14)", "rsi"): (RSI(), "value", 0),
    ("get_rsi(quotes, 1)", "rsi"): (RSI(1), "value", 0),
    ("get_sma(quotes, 20, CandlePart.VOLUME)", "sma"): (SMA(20, "volume"), "value", 0),
    ("get_sma_analysis(quotes, 20)", "sma"): (SMA(20), "value", 0),
    ("get_stdev(quotes, 10)", "mean"): (SMA(10), "value", 0),
    ("get_stdev(quotes, 10)", "z_score"): (ZScore(10), "value", 0),
    ("get_stdev(quotes, 10, 5)", "z_score"): (ZScore(10), "value", 0),
    ("get_stoch(quotes, 14, 3, 3)", "oscillator"): (Stochastic(14, 3, 3), "k", 0),
    ("get_stoch(quotes, 14, 3, 3)", "signal"): (Stochastic(14, 3, 3), "d", 0),
    # (n, signal, smooth) there
    ("get_stoch(quotes, 5, 10, 1)", "oscillator"): (Stochastic(5, 1, 10), "k", 0),
    ("get_stoch(quotes, 5, 10, 1)", "signal"): (Stochastic(5, 1, 10), "d", 0),
    ("get_stoch(quotes, 1, 10, 1)", "oscillator"): (Stochastic(1, 1, 1), "k", 0),
    ("get_wma(quotes, 20)", "wma"): (WMA(20), "value", 0),
}
BY_DEFINITION: dict[tuple[str, int], str] = {
    ("get_adx(quotes, 14)", 19): "ours says nothing until all of its outputs are there",
    ("get_stoch(quotes, 14, 3, 3)", 15): "ours says nothing until all of its outputs are there",
    ("get_adx(quotes, 14)", 29): "TA-Lib's seeding: the first sums are of 13 movements, theirs of 14",
    ("get_macd(quotes, 12, 26, 9)", 49): "TA-Lib's seeding: the fast average begins with the slow one",
}
"""Where they differ in the same call and row, and why; what a seed makes has faded at their later rows."""


def candles_of(name: str) -> list[Candle]:
    with shared_data(f"{FOLDER}/quotes/{name}").open(encoding="utf-8") as file:
        return [
            (*(quanta(row[column], QUANTA) for column in ("open", "high", "low", "close")), quanta(row["volume"], 1))  # type: ignore[misc]
            for row in DictReader(file)
        ]


def quanta(text: str, scale: int) -> int:
    scaled = Decimal(text) * scale
    assert scaled == int(scaled)
    return int(scaled)


def expectations() -> list[dict[str, Any]]:
    lines = shared_data(f"{FOLDER}/skender_stock_indicators_expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def scale_of(indicator: Indicator, output: str) -> int:
    if isinstance(indicator, RSI | ZScore) or output in PERCENT:
        return 1
    return 1 if getattr(indicator, "column", "") == "volume" else QUANTA


def ours_at(read: Read, candles: list[Candle], row: int) -> float | None:
    """Our value for their row, None where there is none: before the first, no swing, not confirmed at the end."""
    indicator, output, later = read
    at = row % len(candles) + later
    if not indicator.first <= at < len(candles):
        return None
    value = scanned(indicator, candles)[indicator.outputs.index(output)][at]
    if isinstance(indicator, Pivots) and value == 0:
        return None
    return float(value) / scale_of(indicator, output)


def is_said(ours: float | None, expected: float | None, decimals: int) -> bool:
    """Whether they are the same to the decimals given, a rounding of half a unit aside."""
    if ours is None or expected is None:
        return ours is expected
    return math.isclose(ours, expected, rel_tol=0, abs_tol=0.5 * 10**-decimals * (1 + 1e-6))


@pytest.mark.parametrize(("call", "field"), READS)
def test_values_are_theirs(call: str, field: str) -> None:
    candles = candles_of("Default.csv")
    asked = [each for each in expectations() if each["call"].split(".", 1)[1] == call and each["field"] == field]
    assert asked
    differing = set()
    for each in asked:
        row = each["row_index0"]
        ours = ours_at(READS[call, field], candles, row)
        if not is_said(ours, each["expected"], each["round_decimals"] or 0):
            differing.add((call, row))
    assert differing <= set(BY_DEFINITION)


@pytest.mark.parametrize(("call", "row"), BY_DEFINITION)
def test_what_differs_by_definition_differs(call: str, row: int) -> None:
    candles = candles_of("Default.csv")
    asked = [each for each in expectations() if each["call"].split(".", 1)[1] == call and each["row_index0"] == row]
    said = [
        is_said(ours_at(READS[call, each["field"]], candles, row), each["expected"], each["round_decimals"] or 0)
        for each in asked
        if (call, each["field"]) in READS
    ]
    assert not all(said)


def test_vwap_of_a_session_is_theirs() -> None:
    """Theirs is anchored at the session's first candle, ours rolls: they meet where the window reaches back to it."""
    candles = candles_of("Intraday.csv")[:391]
    asked = [each for each in expectations() if each["file"] == "test_vwap.py" and each["field"] == "vwap"]
    assert len(asked) == 4
    for each in asked:
        row = each["row_index0"]
        assert is_said(ours_at((VWAP(row + 1), "value", 0), candles, row), each["expected"], each["round_decimals"])


def test_another_value_is_noticed() -> None:
    candles = candles_of("Default.csv")
    assert is_said(ours_at((RSI(), "value", 0), candles, 249), 70.9368, 4)
    assert not is_said(ours_at((RSI(15), "value", 0), candles, 249), 70.9368, 4)
    assert not is_said(ours_at((RSI(), "value", 0), candles, 250), 70.9368, 4)
