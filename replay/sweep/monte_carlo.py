"""What chance would have made of a run's trades: the same ones in another order, or drawn again from among them.

Profits are added up, as they are where the size of a trade does not follow the equity. Trades are taken as independent:
what follows from each other in them (a trend, a grid's inventory) is not in the answer.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.errors import InputError
from replay.files import SUMMARY_FILE, TRIPS_FILE

Method = Literal["shuffle", "bootstrap"]
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
PATHS_MAX = 1_000_000
CELLS_AT_ONCE = 2_000_000
"""Trades of all paths that are in memory at the same time: 16 MB for each array of them."""

Floats = NDArray[np.float64]


class MonteCarlo(Struct, frozen=True):
    """Percentiles over all paths, by name (`p5`); a drawdown is a share of the highest equity before it, at most 0.

    `p5` of a drawdown is one that only 5 % of the paths exceed. `loss` is the share of paths that end below the start,
    `ruin` of those that ever have nothing left.
    """

    method: Method
    paths: int
    seed: int
    trades: int
    start: float
    final_equity: dict[str, float]
    max_drawdown: dict[str, float]
    actual_final_equity: float
    actual_max_drawdown: float
    loss: float
    ruin: float


def read_method(text: str) -> Method:
    known: Method
    for known in get_args(Method):
        if text == known:
            return known
    raise InputError(f"--method is {text!r}; allowed: {', '.join(get_args(Method))}")


def read_trades(folder: Path) -> tuple[list[float], float, str]:
    """Profits of a backtest's round trips, the equity before them, and their currency, from the files that it wrote."""
    trips, summary = folder / TRIPS_FILE, folder / SUMMARY_FILE
    try:
        with trips.open(encoding="utf-8", newline="") as file:
            profits = [float(row["profit"]) for row in csv.DictReader(file)]
    except (KeyError, ValueError, csv.Error):
        raise InputError(f"{trips} has no column `profit` of numbers; allowed: what a backtest wrote") from None
    except FileNotFoundError:
        raise InputError(f"{trips} is not there; allowed: a folder that a backtest wrote") from None
    try:
        figures = json.loads(summary.read_text(encoding="utf-8"))["metrics"]
        return profits, float(figures["initial_equity"]), str(figures["currency"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{summary} says no metrics.initial_equity; allowed: what a backtest wrote") from None
    except FileNotFoundError:
        raise InputError(f"{summary} is not there; allowed: a folder that a backtest wrote") from None


def simulate(profits: Sequence[float], start: float, method: Method, paths: int = 10_000, seed: int = 1) -> MonteCarlo:
    """Draw `paths` orders of the trades' profits, in the currency of `start`, the equity before the first.

    A shuffle takes each trade once, so it ends where the run did and only its way differs; a bootstrap draws as many
    trades as there were, each from all of them.
    """
    trades = np.asarray(profits, dtype=np.float64)
    if not len(trades):
        raise InputError("there are no trades to draw from; allowed: 1 or more")
    if not np.isfinite(trades).all() or not 0 < start < float("inf"):
        raise InputError(f"trades and the equity before them must be finite, and that above 0; it is {start}")
    if not 1 <= paths <= PATHS_MAX:
        raise InputError(f"--paths is {paths:,}; allowed: 1 to {PATHS_MAX:,}")
    chance = np.random.default_rng(seed)
    ends, falls, lows = np.empty(paths), np.empty(paths), np.empty(paths)
    size = max(1, CELLS_AT_ONCE // len(trades))
    for first in range(0, paths, size):
        part = slice(first, min(first + size, paths))
        ends[part], falls[part], lows[part] = paths_of(_drawn(trades, method, part.stop - first, chance), start)
    (actual_end,), (actual_fall,), _ = paths_of(trades[np.newaxis, :], start)
    return MonteCarlo(
        method,
        paths,
        seed,
        len(trades),
        start,
        _percentiles(ends),
        _percentiles(falls),
        float(actual_end),
        float(actual_fall),
        float((ends < start).mean()),
        float((lows <= 0).mean()),
    )


def paths_of(profits: Floats, start: float) -> tuple[Floats, Floats, Floats]:
    """Of each row of profits: the final equity, the deepest drawdown (a share, at most 0), and the lowest equity."""
    equity = start + np.cumsum(profits, axis=1)
    heights = np.maximum(np.maximum.accumulate(equity, axis=1), start)
    return equity[:, -1], np.minimum(((equity - heights) / heights).min(axis=1), 0), equity.min(axis=1)


def _drawn(trades: Floats, method: Method, paths: int, chance: np.random.Generator) -> Floats:
    """One row for each path."""
    if method == "bootstrap":
        return trades[chance.integers(0, len(trades), (paths, len(trades)))]
    return chance.permuted(np.broadcast_to(trades, (paths, len(trades))), axis=1)


def _percentiles(values: Floats) -> dict[str, float]:
    found: Any = np.percentile(values, PERCENTILES)
    return {f"p{percent}": float(value) for percent, value in zip(PERCENTILES, found, strict=True)}
