"""Candles for indicators: drawn, walking, read from a file; and an indicator driven over them in both ways."""

from array import array
from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.indicators import INDICATORS, Indicator, Lag
from domain.values import LARGEST

NAMES = ("open", "high", "low", "close", "volume")
Candle = tuple[int, int, int, int, int]
Series = Sequence[Candle]

few = st.integers(1, 9)
names = st.sampled_from(NAMES)

PARAMETERS: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "column": {"column": names},
    "sum": {"column": names, "n": few},
    "sma": {"n": few, "column": names},
    "ema": {"n": few, "column": names},
    "wma": {"n": few, "column": names},
    "macd": {"fast": st.integers(1, 4), "slow": st.integers(5, 9), "signal": few},
    "rsi": {"n": few},
    "bollinger": {"n": few, "width": st.floats(0.1, 5.0), "column": names},
    "atr": {"n": few},
    "adx": {"n": st.integers(2, 9)},
    "stochastic": {"n": few, "smooth": few, "signal": few},
    "donchian": {"n": few},
    "vwap": {"n": few},
    "obv": {},
    "zscore": {"n": few, "column": names},
    "pivots": {"n": st.integers(1, 4)},
}
SPECIFICATIONS: Mapping[str, st.SearchStrategy[Indicator]] = {
    name: st.builds(INDICATORS[name], **parameters) for name, parameters in PARAMETERS.items()
}
EVERY = {
    **SPECIFICATIONS,
    "lag": st.builds(Lag, st.one_of(*(each for name, each in SPECIFICATIONS.items() if name != "sum")), few),
}


@st.composite
def series(draw: st.DrawFn, length_max: int = 60) -> list[Candle]:
    """Any candles of one scale of prices and of volumes: constant, tall, without range or volume, huge, below 0."""
    price_max = draw(st.sampled_from([1, 3, 1_000, 10**7, 2**31, 2**53, LARGEST]))
    volume_max = draw(st.sampled_from([0, 1, 10**9, 2**53, LARGEST]))
    price_min = draw(st.sampled_from([1, 1, -price_max]))
    is_tall = draw(st.booleans())
    still_in_4, same_in_4 = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    length, chance = draw(st.integers(0, length_max)), Random(draw(st.integers(0, 2**32)))
    candles: list[Candle] = []
    while len(candles) < length:
        if candles and chance.randrange(4) < same_in_4:
            candles.append(candles[-1])
            continue
        prices = [chance.randint(price_min, price_max) for _ in range(4)]
        if is_tall:
            prices[2:] = price_max, 1 + prices[2] // 2
        elif chance.randrange(4) < still_in_4:
            prices = prices[:1] * 4
        candles.append((prices[0], max(prices), min(prices), prices[1], chance.randint(0, volume_max)))
    return candles


def walk(seed: int, length: int, start: int = 9_000_000, step: int = 500, volume_max: int = 10**9) -> list[Candle]:
    """A seeded random walk of the close, with wicks."""
    chance, candles, close = Random(seed), list[Candle](), start
    for _ in range(length):
        open_ = close
        close = max(1, open_ + chance.randint(-step, step))
        high = max(open_, close) + chance.randint(0, step // 2)
        low = max(1, min(open_, close) - chance.randint(0, step // 2))
        candles.append((open_, high, low, close, chance.randint(0, volume_max)))
    return candles


def columns(candles: Series) -> dict[str, memoryview]:
    made = zip(*candles, strict=True) if candles else [()] * len(NAMES)
    return {name: memoryview(array("q", numbers)) for name, numbers in zip(NAMES, made, strict=True)}


def scanned(indicator: Indicator, candles: Series) -> tuple[NDArray[Any], ...]:
    return indicator.scan(columns(candles))


def stepped(indicator: Indicator, candles: Series) -> list[tuple[int | float, ...] | None]:
    step = indicator.begin()
    return [step(*candle) for candle in candles]


def bits(values: Sequence[int | float] | NDArray[Any]) -> list[int]:
    """As 64-bit patterns, so that no two numbers that print or compare alike pass for one."""
    return np.asarray(values).view(np.int64).tolist()  # type: ignore[no-any-return]


def spoken(indicator: Indicator, candles: Series) -> list[tuple[int | float, ...]]:
    """What a stepper says from its first candle on."""
    found = list(islice(stepped(indicator, candles), indicator.first, None))
    return [values for values in found if values is not None]
