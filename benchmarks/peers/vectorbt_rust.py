"""vectorbt with its Rust engine alone: arrays in, orders out, no events; sma_cross only, for it knows no resting limits.

Signals are moved on by one candle, so that they trade at its open. With `{"sweep": true}` it runs all pairs of
`SWEEP` at once, a column for each.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import vectorbt as vbt  # type: ignore[import-not-found]
from numpy.typing import NDArray
from vectorbt.portfolio.enums import OrderSide  # type: ignore[import-not-found]

from benchmarks.peers.workload import STEPS, SWEEP, Answer, Fill, cents, serve, steps, timed

Floats = NDArray[np.float64]

vbt.settings["engine"] = "rust"  # what Rust cannot do raises, instead of falling back


def simulate(opens: Floats, closes: Floats, pairs: list[tuple[int, int]], parameters: dict[str, Any]) -> vbt.Portfolio:
    """The portfolio of all pairs; a mean that many pairs share is made once."""
    lengths = {length for pair in pairs for length in pair}
    means = {length: vbt.MA.run(closes, length, short_name=str(length)).ma.to_numpy() for length in lengths}
    up = [_crossed(means[fast], means[slow]) for fast, slow in pairs]
    down = [_crossed(means[slow], means[fast]) for fast, slow in pairs]
    # The smallest part is for quotients that are whole but for their last bit.
    sizes = np.floor(float(parameters["notional"]) / closes * STEPS + 1e-9) / STEPS
    return vbt.Portfolio.from_signals(
        closes[:, None],
        np.array(up).T.copy(),
        np.array(down).T.copy(),
        size=_moved(sizes)[:, None],
        price=opens[:, None],
        fees=float(parameters["taker_fee"]),
        init_cash=float(parameters["quote"]),
        direction="longonly",
        freq="1min",
    )


def _crossed(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """True at the candle after the one whose close made `one` cross `other` upwards."""
    above, below = one > other, one <= other
    crossed = np.zeros_like(above)
    crossed[2:] = below[:-2] & above[1:-1]
    return crossed


def _moved(values: Floats) -> Floats:
    moved = np.zeros_like(values)
    moved[1:] = values[:-1]
    return moved


def run(workload: str, parameters: dict[str, Any], data: Path) -> Answer:
    assert workload == "sma_cross", "vectorbt has no limit orders that rest"
    table = pl.read_parquet(data)
    opens, closes = table["open"].to_numpy(), table["close"].to_numpy()
    pairs = [*product(*SWEEP)] if parameters.get("sweep") else [(parameters["fast"], parameters["slow"])]

    def work() -> tuple[Any, int, float]:
        portfolio = simulate(opens, closes, pairs, parameters)
        return portfolio, len(portfolio.orders.values), float(np.sum(portfolio.final_value()))

    cold, _ = timed(work)
    warm, (portfolio, count, equity) = timed(work)
    profit = equity - len(pairs) * float(parameters["quote"])

    def fills() -> Iterator[Fill]:
        times = table["open_time"].to_list()
        for order in portfolio.orders.values:
            side = "buy" if order["side"] == OrderSide.Buy else "sell"
            yield Fill(times[order["idx"]], side, cents(float(order["price"])), steps(float(order["size"])))

    return Answer(warm, count, profit, fills, cold=cold)


if __name__ == "__main__":
    serve(run)
