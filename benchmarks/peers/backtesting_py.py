"""backtesting.py: orders fill at the next bar's open, limits inside the bar at the better of limit and open, as ours do.

It counts whole units only, so a unit here is one step of 0.00001 coins at the price of a whole coin, which keeps prices
as they are and makes money 100,000 times what it is. The account is one of margin without hedging: sells of the grid,
which ours covers with what it holds, go short; there is no base at the start.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
from backtesting import Backtest, Strategy, backtesting  # type: ignore[import-not-found]
from numpy.typing import NDArray

from benchmarks.peers.workload import (
    CENTS,
    STEPS,
    Answer,
    Fill,
    Took,
    cents,
    empty_level,
    levels,
    serve,
    steps,
    timed,
)

Floats = NDArray[np.float64]


class SmaCross(Strategy):  # type: ignore[misc]
    """Sums, not means, times the other's length: floats of whole numbers compare exactly."""

    fast = slow = notional = 0

    def init(self) -> None:
        closes = np.rint(self.data.Close * CENTS)
        self.quick = self.I(_sums, closes, self.fast, self.slow)
        self.calm = self.I(_sums, closes, self.slow, self.fast)

    def next(self) -> None:
        quick, calm = self.quick, self.calm
        if quick[-1] > calm[-1]:
            if quick[-2] <= calm[-2] and not self.position:
                self.buy(size=self.notional * STEPS // cents(self.data.Close[-1]))
        elif quick[-1] < calm[-1] and quick[-2] >= calm[-2] and self.position:
            self.position.close()


class Grid(Strategy):  # type: ignore[misc]
    """The orders that are gone since the last bar have filled: nothing here is ever cancelled or refused."""

    prices: list[int] = []  # noqa: RUF012  (set for each run)
    quantity = 0

    def init(self) -> None:
        self.resting: dict[Any, tuple[int, bool]] = {}
        empty = empty_level(self.prices, cents(self.data.Close[0]))
        for index in range(len(self.prices)):
            if index != empty:
                self.place(index, buy=index < empty)

    def place(self, index: int, *, buy: bool) -> None:
        order = (self.buy if buy else self.sell)(size=self.quantity, limit=self.prices[index] / CENTS)
        self.resting[order] = (index, buy)

    def next(self) -> None:
        if len(self.orders) == len(self.resting):
            return
        for order in self.resting.keys() - set(self.orders):
            index, buy = self.resting.pop(order)
            counter = index + 1 if buy else index - 1
            if 0 <= counter < len(self.prices):
                self.place(counter, buy=not buy)


def _sums(closes: Floats, length: int, factor: int) -> Floats:
    sums = np.full(len(closes), np.nan)
    totals = np.concatenate(([0.0], np.cumsum(closes)))
    sums[length - 1 :] = (totals[length:] - totals[:-length]) * factor
    return sums


def run(workload: str, parameters: dict[str, Any], data: Path) -> Answer:
    table = pl.read_parquet(data)
    frame = pd.DataFrame(
        {name.title(): table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(table["open_time"].to_numpy(), unit="us"),
    )
    if workload == "grid":
        strategy, fee = Grid, float(parameters["maker_fee"])
        settings = {"prices": levels(parameters), "quantity": steps(parameters["quantity"])}
    else:
        strategy, fee = SmaCross, float(parameters["taker_fee"])
        settings = {name: parameters[name] for name in ("fast", "slow")} | {"notional": cents(parameters["notional"])}
    cash = float(parameters["quote"]) * STEPS
    test = Backtest(frame, strategy, cash=cash, commission=fee, trade_on_close=False, exclusive_orders=False)
    apart, counted = list[Took](), backtesting.compute_stats

    def compute_stats(*given: object, **named: object) -> pd.Series:
        took, made = timed(lambda: counted(*given, **named))
        apart.append(took)
        return made

    warnings.filterwarnings("ignore", "Some trades remain open")  # as they do in the other engines
    # Its run ends with statistics of all trades, which are a report: they are told apart.
    backtesting.compute_stats = compute_stats
    whole, stats = timed(lambda: test.run(**settings))
    still_open = stats["_strategy"].trades
    count = 2 * len(stats["_trades"]) + len(still_open)
    profit = (stats["Equity Final [$]"] - cash) / STEPS

    def fills() -> Iterator[Fill]:
        closed = stats["_trades"]
        made = [*zip(closed["Size"], closed["EntryBar"], closed["EntryPrice"], strict=True)]
        made += zip(-closed["Size"], closed["ExitBar"], closed["ExitPrice"], strict=True)
        made += [(trade.size, trade.entry_bar, trade.entry_price) for trade in still_open]
        times = table["open_time"].to_list()
        for size, bar, price in made:
            yield Fill(times[bar], "buy" if size > 0 else "sell", cents(float(price)), abs(int(size)))

    return Answer(whole.less(apart[0]), count, profit, fills)


if __name__ == "__main__":
    serve(run)
