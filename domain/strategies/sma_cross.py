"""`sma_cross`: long while the fast mean of closes is above the slow one."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.indicators import Indicator, Lag, Sum
from domain.market import Instrument
from domain.strategy.intents import Place
from domain.strategy.plugin import Act, Strategy, View, required
from domain.strategy.sizing import quantity_for
from domain.values import LARGEST

WINDOW_MAX = 100_000


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """`fast` and `slow` are candles, `notional` what an entry may cost in the quote asset."""

    notional: Decimal
    fast: int = 10
    slow: int = 30


def check(parameters: Parameters, _instrument: Instrument | None) -> None:
    fast, slow, notional = parameters.fast, parameters.slow, parameters.notional
    required(1 <= fast < slow, "fast", fast, f"1 or more, and below slow ({slow})")
    required(slow <= WINDOW_MAX, "slow", slow, f"at most {WINDOW_MAX}")
    required(notional.is_finite() and notional > 0, "notional", notional, "above 0")


def features(parameters: Parameters) -> Mapping[str, Indicator]:
    """Sums instead of means: they are integers, and comparing them has no ties that are none."""
    fast, slow = Sum("close", parameters.fast), Sum("close", parameters.slow)
    return {"fast": fast, "slow": slow, "fast_before": Lag(fast, 1), "slow_before": Lag(slow, 1)}


def may_act(parameters: Parameters, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The crossings: the difference of the means changes its side."""
    fast, slow = parameters.fast, parameters.slow
    if max(int(abs(columns[name]).max(initial=0)) for name in columns) * slow > LARGEST // 2:
        columns = {name: column.astype(object) for name, column in columns.items()}  # int64 would wrap in silence
    now = columns["fast"] * slow - columns["slow"] * fast
    before = columns["fast_before"] * slow - columns["slow_before"] * fast
    crossed: NDArray[np.bool_] = ((before <= 0) & (now > 0)) | ((before >= 0) & (now < 0))
    return crossed


def on_candle(parameters: Parameters, view: View) -> Act | None:
    """Flat and crossed up: buy at market. Long and crossed down: sell all of it."""
    fast, slow, fast_before, slow_before = view.features
    now = fast * parameters.slow - slow * parameters.fast
    before = fast_before * parameters.slow - slow_before * parameters.fast
    instrument, position = view.instrument, view.position
    if before <= 0 < now and position < instrument.step:
        quantity = quantity_for(instrument, parameters.notional, view.close)
        if quantity and not view.is_working():
            return Act((Place("buy", "market", quantity),))
    elif before >= 0 > now and position >= instrument.step and not view.is_working():
        return Act((Place("sell", "market", instrument.whole_steps(position)),))
    return None


STRATEGY = Strategy(
    name="sma_cross",
    title="Long while the fast moving average is above the slow one.",
    parameters=Parameters,
    on_candle=on_candle,
    features=features,
    may_act=may_act,
    check=check,
)
