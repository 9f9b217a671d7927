"""Truetape: the loop that also trades live, with every order's whole life made, encoded and hashed by block.

What is timed is the features and the loop; the file becomes a tape before it, and the fills are read off the log after it.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.workload import STEPS, SWEEP, Answer, Fill, Took, serve, timed
from domain.account.events import OrderFilled
from domain.market import make_instrument
from domain.strategy.registry import read_parameters, strategy_named
from infrastructure.market_data.importers import read_candles
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import RULES, Rules, Terms
from replay.game import MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from replay.spool import Spool

SYMBOL = "BTC/USDT"
TAKEN = {"sma_cross": ("fast", "slow", "notional"), "grid": ("lower", "upper", "levels", "quantity")}
"""What each strategy wants of the workload's parameters; the rest is of the account and the venue."""


class Ran(NamedTuple):
    """What the engine took, the fills, and what they earned in quote currency at the last close, fees taken off."""

    engine: Took
    fills: list[Fill]
    profit: float


def run_strategy(strategy: str, parameters: dict[str, Any], tape: Tape, rules: Rules = RULES) -> Ran:
    """`parameters` are those of a workload. The account has its balances, `quote` and `base`, from the start."""
    instrument = make_instrument(
        SYMBOL, Decimal(parameters["tick"]), Decimal(parameters["step"]), Decimal(0), price_scale=tape.price_scale
    )
    terms = Terms(maker_fee=Decimal(parameters["maker_fee"]), taker_fee=Decimal(parameters["taker_fee"]))
    plugin = strategy_named(strategy)
    wanted = read_parameters(plugin, {name: parameters[name] for name in TAKEN[strategy]}, instrument)
    balances = {"USDT": Decimal(parameters["quote"]), "BTC": Decimal(parameters["base"])}
    portfolio = Portfolio(
        (MarketSetup(instrument, terms),),
        (),
        balances,
        strategies=(StrategySetup(strategy, plugin, wanted, instrument.id),),
        rules=rules,
    )
    game = portfolio_game(portfolio, [tape], [])
    with Spool() as spool:

        def work() -> None:
            play(game, spool)
            spool.flush()

        engine, _ = timed(work)
        fills, moved, held = list[Fill](), 0, 0
        for event in _fills_on(spool):
            fills.append(Fill(event.venue_at, event.side, event.price, event.quantity))
            sign = 1 if event.side == "buy" else -1
            moved -= sign * event.cash + event.fee
            held += sign * event.quantity
    assert instrument.size_scale == len(str(STEPS)) - 1, "a quantum of the instrument is a step of the workload"
    profit = moved + (1 if held >= 0 else -1) * instrument.notional(tape.closes[-1], abs(held))
    return Ran(engine, fills, profit / 10**instrument.quote_scale)


def _fills_on(spool: Spool) -> Iterator[OrderFilled]:
    return (event for record in spool.records() for event in record.events if isinstance(event, OrderFilled))


def run(workload: str, parameters: dict[str, Any], data: Path) -> Answer:
    tape = read_candles(data, instrument=SYMBOL)
    if not parameters.get("sweep"):
        ran = run_strategy(workload, parameters, tape, parameters.get("rules", RULES))
        return Answer(ran.engine, len(ran.fills), ran.profit, lambda: ran.fills)
    all_ran = [
        run_strategy(workload, parameters | {"fast": fast, "slow": slow}, tape) for fast, slow in product(*SWEEP)
    ]
    count, profit = sum(len(ran.fills) for ran in all_ran), sum(ran.profit for ran in all_ran)
    took = Took(*(sum(each) for each in zip(*(ran.engine for ran in all_ran), strict=True)))
    return Answer(took, count, profit, lambda: all_ran[0].fills)


if __name__ == "__main__":
    serve(run)
