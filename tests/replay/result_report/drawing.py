"""A report to draw, seeded, of any length."""

from typing import Any

import numpy as np

from replay.result_report.report import Figure, Fills, Market, Report, Series, Table

START = 1_640_995_200_000_000
MINUTE = 60_000_000


def market(candles: int, fills: int, seed: int = 1, instrument: str = "BTC/USDT") -> Market:
    chance = np.random.default_rng(seed)
    times = START + MINUTE * np.arange(1, candles + 1, dtype=np.int64)
    closes = (4_600_000 + np.cumsum(chance.integers(-900, 901, candles))) / 100
    rows = np.sort(chance.choice(candles, fills, replace=False))
    return Market(instrument, Series(times, closes), Fills(times[rows], closes[rows], chance.random(fills) < 0.5))


def report(candles: int = 3000, fills: int = 40, **changes: Any) -> Report:
    drawn = market(candles, fills)
    chance = np.random.default_rng(2)
    equity = 10_000 + np.cumsum(chance.normal(0, 3, candles))
    heights = np.maximum.accumulate(equity)
    fields: dict[str, Any] = {
        "title": "sma_cross on BTC/USDT",
        "subtitle": "2022, fills by candle-v1",
        "currency": "USDT",
        "headline": (Figure("Total return", "+1.00%", "10,100 USDT at the end"), Figure("Sharpe", "1.2")),
        "equity": Series(drawn.closes.times, equity),
        "drawdown": Series(drawn.closes.times, equity / heights - 1),
        "months": {"2021-12": 0.02, "2022-01": -0.01, "2022-02": None},
        "markets": (drawn,),
        "profits": chance.normal(0, 5, fills // 2),
        "tables": (Table("Parameters", (Figure("fast", "10"), Figure("slow", "30", "candles"))),),
        "warnings": ("20 round trips: fewer than 30 say little of a strategy.",),
        "benchmark": Series(drawn.closes.times, drawn.closes.values / drawn.closes.values[0] * 10_000),
    }
    return Report(**{**fields, **changes})
