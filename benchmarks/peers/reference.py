"""The two workloads by the rules `candle-v1` in plain loops: what the engines' fills are compared with.

It knows nothing of Truetape or of any peer, and refuses nothing: the account must be large enough for every order.
"""

from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from benchmarks.peers.workload import (
    CENTS,
    STEPS,
    Answer,
    Fill,
    cents,
    empty_level,
    levels,
    profit_of,
    serve,
    steps,
    timed,
)


class Candles(NamedTuple):
    """Microseconds, and prices with two decimals."""

    open_time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]


def read_candles(path: Path) -> Candles:
    table = pl.read_parquet(path)
    return Candles(*(table[name].to_list() for name in Candles._fields))


Rule = Literal["candle-v1", "close fill", "own price"]
"""close fill: market orders, and limits that the deciding close lies beyond, fill there at once; what rests fills at its own
price, also where a candle opens beyond it. own price: only that."""


def sma_cross(candles: Candles, parameters: dict[str, Any], rule: Rule = "candle-v1") -> list[Fill]:
    fast, slow = parameters["fast"], parameters["slow"]
    closes, opens = [cents(each) for each in candles.close], [cents(each) for each in candles.open]
    sums = [0, *accumulate(closes)]
    notional, fills, held, above = cents(parameters["notional"]), list[Fill](), 0, False
    below = False
    for at in range(slow - 1, len(closes) - 1):
        # fast mean - slow mean, times both lengths: exact.
        gap = (sums[at + 1] - sums[at + 1 - fast]) * slow - (sums[at + 1] - sums[at + 1 - slow]) * fast
        up, down = gap > 0 and not above and at >= slow, gap < 0 and not below and at >= slow
        above, below = gap > 0, gap < 0
        if (up and not held) or (down and held):
            quantity = held or notional * STEPS // closes[at]
            held = 0 if held else quantity
            price, time = (closes[at], at) if rule == "close fill" else (opens[at + 1], at + 1)
            fills.append(Fill(candles.open_time[time], "buy" if held else "sell", price, quantity))
    return fills


class Order(NamedTuple):
    """A limit order at a level of the grid."""

    level: int
    side: str

    def counter(self) -> "Order":
        return Order(self.level + 1, "sell") if self.side == "buy" else Order(self.level - 1, "buy")

    def met_by(self, low: int, high: int, limit: int) -> bool:
        return low <= limit if self.side == "buy" else high >= limit


def grid(candles: Candles, parameters: dict[str, Any], rule: Rule = "candle-v1") -> list[Fill]:
    prices, quantity = levels(parameters), steps(parameters["quantity"])
    empty = empty_level(prices, cents(candles.close[0]))
    due = [Order(index, "buy" if index < empty else "sell") for index in range(len(prices)) if index != empty]
    resting: list[Order] = []
    fills: list[Fill] = []
    for time, *floats in zip(*candles, strict=True):
        opened, high, low, close = (cents(each) for each in floats)
        met = [order for order in resting if order.met_by(low, high, prices[order.level])]
        for order in met:
            limit = prices[order.level]
            better = min(limit, opened) if order.side == "buy" else max(limit, opened)
            fills.append(Fill(time, order.side, better if rule == "candle-v1" else limit, quantity))
            resting.remove(order)
        made, due = due + [order.counter() for order in met], []
        for order in made:
            if not 0 <= order.level < len(prices):
                continue
            # A tick beyond: at its price alone a new order rests there.
            if rule == "close fill" and order.met_by(close + 1, close - 1, prices[order.level]):
                fills.append(Fill(time, order.side, close, quantity))
                due.append(order.counter())
            else:
                resting.append(order)
    return fills


def fills_of(workload: str, candles: Candles, parameters: dict[str, Any], rule: Rule = "candle-v1") -> list[Fill]:
    return (grid if workload == "grid" else sma_cross)(candles, parameters, rule)


def run(workload: str, parameters: dict[str, Any], data: Path) -> Answer:
    candles = read_candles(data)
    engine, fills = timed(lambda: fills_of(workload, candles, parameters))
    fee = float(parameters["maker_fee" if workload == "grid" else "taker_fee"])
    return Answer(engine, len(fills), profit_of(fills, fee, cents(candles.close[-1]) / CENTS), lambda: fills)


if __name__ == "__main__":
    serve(run)
