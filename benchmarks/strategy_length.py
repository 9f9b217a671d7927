"""What a backtest of a strategy costs against its length, its events, and how many strategies run together.

    python -m benchmarks.strategy_length [--candles 100000 1000000 5000000] [--together 1 2 4 8]

The market is the demo's seeded walk, the strategies are those of the comparison with the peers. Each line is a process of
its own; the time is processor time of the engine: features, feed, core and venue, records encoded and hashed, spooled to a
file. The tape's making and loading, tables and report stand beside it and are not in it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.timing import table
from benchmarks.workloads import first, market
from domain.account.events import OrderFilled
from domain.market import make_instrument
from domain.strategy.registry import read_parameters, strategy_named
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from replay.game import MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from replay.spool import Spool

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "sma_cross": {"notional": "10000"},
    "grid": {"lower": "88765", "upper": "91235", "levels": "20", "quantity": "0.01"},
    "dense grid": {"lower": "89600", "upper": "90400", "levels": "20", "quantity": "0.01"},
}
"""A dense grid fills about every fifth candle."""
TOGETHER = 200_000
"""Candles on which strategies run together."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candles", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--together", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run(**json.loads(given.one))))
        return
    if given.make:
        market(int(given.make[1])).save(Path(given.make[0]))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "walk.parquet")
        _process("--make", str(path), str(max(*given.candles, TOGETHER)))
        for name in PARAMETERS:
            table(f"{name}, against length", list(_lengths(path, name, given.candles)))
        for name in PARAMETERS:
            title = f"{name}, so many of it together on {TOGETHER:,} candles"
            table(title, list(_together(path, name, given.together)))


def run(path: str, name: str, candles: int, count: int) -> dict[str, Any]:
    """Play it once, in this process; seconds of processor time, what happened, and MiB."""
    tape = first(Tape.load(Path(path)), candles)
    instrument = make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5))
    strategy = strategy_named(name.rpartition(" ")[2])
    parameters = read_parameters(strategy, PARAMETERS[name], instrument)
    setups = tuple(StrategySetup(f"s{each}", strategy, parameters, instrument.id) for each in range(count))
    balances = {"USDT": Decimal(1_000_000 * count), "BTC": Decimal(count) / 4}
    terms = Terms(Decimal("0.0002"), Decimal("0.0005"))
    game = portfolio_game(
        Portfolio((MarketSetup(instrument, terms),), (), balances, strategies=setups), [tape], []
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Spool() as spool:
        start = time.process_time()
        play(game, spool)
        spool.flush()
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fills = sum(type(event) is OrderFilled for record in spool.records() for event in record.events)
        events = spool.digest.events
    return {"seconds": seconds, "fills": fills, "events": events, "peak": peak / 1024, "before": before / 1024}


def _lengths(path: Path, name: str, sizes: Sequence[int]) -> Iterator[tuple[str, str, str]]:
    for candles in sizes:
        made = _apart(path, name, candles, 1)
        yield f"{candles:,} candles", *_said(made)


def _together(path: Path, name: str, counts: Sequence[int]) -> Iterator[tuple[str, str, str]]:
    for count in counts:
        yield f"{count}", *_said(_apart(path, name, TOGETHER, count))


def _apart(path: Path, name: str, candles: int, count: int) -> dict[str, Any]:
    asked = json.dumps({"path": str(path), "name": name, "candles": candles, "count": count})
    made: dict[str, Any] = json.loads(_process("--one", asked))
    return made


def _process(*arguments: str) -> str:
    """What a process of its own prints: one that is begun from here counts the memory of here as its own peak."""
    command = [sys.executable, "-m", "benchmarks.strategy_length", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _said(made: Mapping[str, Any]) -> tuple[str, str]:
    per = made["seconds"] / max(1, made["fills"]) * 1e6
    figure = f"{made['seconds']:8.2f} s {per:7.1f} us a fill"
    return figure, (
        f"{made['fills']:,} fills, {made['events']:,} events; "
        f"{made['peak']:.0f} MiB at most ({made['before']:.0f} with the tape)"
    )


if __name__ == "__main__":
    main()
