"""The indicators, one source for live and backtest: the value at a candle is the same bits stepped and scanned."""

from collections.abc import Mapping
from types import MappingProxyType

from domain.indicators.averages import EMA, MACD, SMA, WMA, Column, Sum
from domain.indicators.bands import Bollinger, Donchian, Stochastic, ZScore
from domain.indicators.flow import OBV, VWAP
from domain.indicators.indicator import Arrays, Indicator, Stepper, Values
from domain.indicators.lag import Lag
from domain.indicators.movement import ADX, ATR, RSI
from domain.indicators.swings import Pivots

__all__ = [
    "ADX",
    "ATR",
    "EMA",
    "INDICATORS",
    "MACD",
    "OBV",
    "RSI",
    "SMA",
    "VWAP",
    "WMA",
    "Arrays",
    "Bollinger",
    "Column",
    "Donchian",
    "Indicator",
    "Lag",
    "Pivots",
    "Stepper",
    "Stochastic",
    "Sum",
    "Values",
    "ZScore",
]

INDICATORS: Mapping[str, type[Indicator]] = MappingProxyType(
    {
        kind.__name__.lower(): kind
        for kind in (
            *(Column, Sum, SMA, EMA, WMA, MACD, RSI, Bollinger, ATR, ADX),
            *(Stochastic, Donchian, VWAP, OBV, ZScore, Pivots),
        )
    }
)
"""By lower-case name. `Lag` is not among them: it takes another indicator instead of numbers."""
