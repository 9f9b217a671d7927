"""An SMA 10/30 cross on GOOG that turns long and short, through our engine: the trades and figures of backtesting.py 0.6.6.

That engine sizes an entry where it fills, with all that closing the position has given; ours wants a quantity when it
decides. So the quantities are handed in, found by that rule in a plain loop over opens; with those that can be known at the
close the trades are at the same times and prices, of other sizes. It also turns in one go, which an account without
leverage cannot pay for before the first of both orders is filled: the account has that much more, which it never uses.
"""

import csv
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from domain.account.events import OrderDenied, OrderFilled
from domain.indicators import Indicator, Lag, Sum
from domain.strategy.intents import Place
from domain.strategy.plugin import Act, Strategy, View
from domain.strategy.registry import register
from domain.values import Quantity, Side, Time, decimal_text, time_text
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from projections.performance import RoundTrip, round_trips
from replay.game import MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from replay.metrics.curve import closes_at, equity_curve
from replay.metrics.metrics import metrics_of
from tests.api.stage import run as run_command
from tests.replay.metrics.test_stock_statistics import (
    CASH,
    FAST,
    GOOG,
    SLOW,
    WEEKDAYS,
    Run,
    expected,
    goog,
    statistics_of,
    traded,
)
from tests.simulator import ListLedger

TRADES = 66
BY_TIMES_AND_PRICES = {
    "# Trades", "Start", "End", "Duration", "Exposure Time [%]", "Buy & Hold Return [%]", "Win Rate [%]",
    "Best Trade [%]", "Worst Trade [%]", "Avg. Trade [%]", "Max. Trade Duration", "Avg. Trade Duration",
    "Profit Factor", "Expectancy [%]", "Max. Drawdown Duration",
}  # fmt: skip
"""The statistics that do not hang on how many shares were traded, or hardly: a rounded duration."""
FREE = Terms(Decimal(0), Decimal(0))
FLOAT = 100 * CASH
"""What the account has beside, so that it can turn."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """At the open time of the candle at whose close it turns: how many shares it goes on with. `ends`: it sells out."""

    sizes: dict[int, int]
    ends: int
    knows: bool = True


def features(_parameters: Parameters) -> Mapping[str, Indicator]:
    fast, slow = Sum("close", FAST), Sum("close", SLOW)
    return {"fast": fast, "slow": slow, "fast_before": Lag(fast), "slow_before": Lag(slow)}


def on_candle(parameters: Parameters, view: View) -> Act | None:
    """Out of what it holds and into the other side, at market."""
    fast, slow, fast_before, slow_before = view.features
    now, before = fast * SLOW - slow * FAST, fast_before * SLOW - slow_before * FAST
    held = view.position
    leave: tuple[Place, ...] = (Place("sell" if held > 0 else "buy", "market", Quantity(abs(held))),) if held else ()
    if view.at == parameters.ends:
        return Act(leave)
    side: Side
    if before < 0 < now:
        side = "buy"
    elif before > 0 > now:
        side = "sell"
    else:
        return None
    shares = parameters.sizes[view.at] if parameters.knows else (CASH + view.result) // view.close
    return Act((*leave, Place(side, "market", Quantity(shares))))


TURNS = Strategy("turns", "Long above, short below.", Parameters, on_candle, features=features)


@pytest.fixture(autouse=True)
def _registered(shipped_only: None) -> None:
    register(TURNS)


@cache
def market() -> Tape:
    return goog()


def sizes() -> dict[int, int]:
    """By the rule of backtesting.py: all the cash that is there after the close of the position, at that open."""
    times = market().open_times.tolist()
    # A turn is two fills at one open; the entry is the second. The last of all is an exit.
    return {times[times.index(fill.venue_at) - 1]: fill.quantity for fill in traded(market())[:-1]}


def played(cash: int, *, knows: bool = True) -> tuple[list[OrderFilled], list[OrderDenied]]:
    setup = StrategySetup("turns", TURNS, Parameters(sizes(), market().open_times[-2], knows), GOOG.id)
    balances = {"INR": Decimal(cash) / 100}
    portfolio = Portfolio((MarketSetup(GOOG, FREE),), (), balances, "margin", strategies=(setup,))
    ledger = ListLedger()
    play(portfolio_game(portfolio, [market()], []), ledger)
    events = [event for record in ledger.records for event in record.events]
    return (
        [event for event in events if isinstance(event, OrderFilled)],
        [event for event in events if isinstance(event, OrderDenied)],
    )


def ran(fills: list[OrderFilled]) -> Run:
    """What the figures are of: the fills of the engine on the money that backtesting.py has."""
    curve, trades = equity_curve(fills, [(GOOG, market())], CASH, [0]), round_trips(fills)
    return Run(market(), curve, trades, metrics_of(curve, trades, closes_at(market(), curve.times), WEEKDAYS))


def when(trip: RoundTrip) -> tuple[str, Time, Time, Fraction, Fraction]:
    """Side, times and prices; a price is cash over quantity, exactly."""
    entry, leave = (Fraction(cash, trip.quantity) for cash in (trip.entry_cash, trip.exit_cash))
    return trip.side, trip.opened_at, trip.closed_at, entry, leave


def test_the_same_66_trades_come_out_of_the_engine() -> None:
    fills, denied = played(CASH + FLOAT)
    assert denied == []
    trips, wanted = round_trips(fills).trips, round_trips(traded(market())).trips
    assert len(trips) == len(wanted) == TRADES == expected()["# Trades"]
    assert [(when(trip), trip.quantity) for trip in trips] == [(when(trip), trip.quantity) for trip in wanted]
    opens = dict(zip(market().open_times.tolist(), market().opens.tolist(), strict=True))
    assert all(fill.price == opens[fill.venue_at] for fill in fills)


def test_all_31_statistics_agree() -> None:
    fills, _ = played(CASH + FLOAT)
    got, wanted = statistics_of(ran(fills)), expected()
    assert len(wanted) == 31
    for name, value in wanted.items():
        assert got[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9)), name


def test_sizes_that_are_known_at_the_close_change_the_sizes_alone() -> None:
    """Without the next open: the same times and prices, and so what hangs on them alone agrees; the money does not."""
    fills, denied = played(CASH + FLOAT, knows=False)
    assert denied == []
    trips, wanted = round_trips(fills).trips, round_trips(traded(market())).trips
    assert [when(trip) for trip in trips] == [when(trip) for trip in wanted]
    assert [trip.quantity for trip in trips] != [trip.quantity for trip in wanted]
    got = statistics_of(ran(fills))
    agree = {
        name
        for name, value in expected().items()
        if got[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9))
    }
    assert agree == BY_TIMES_AND_PRICES
    assert got["Return [%]"] == pytest.approx(expected()["Return [%]"], rel=0.01)


def test_without_the_float_a_turn_cannot_be_paid_for() -> None:
    """Both orders of a turn are judged when they are decided, before the first has given its money back."""
    fills, denied = played(CASH)
    assert {each.code for each in denied} == {"BALANCE_INSUFFICIENT"}
    assert len(fills) < 2 * TRADES


def test_sma_cross_of_the_command_line_trades_it(tmp_path: Path, home: Path) -> None:
    assert home.exists()
    columns = (market().open_times, market().opens, market().highs, market().lows, market().closes)
    lines = [
        ",".join((time_text(Time(at)), *(decimal_text(price, 2) for price in prices), "0"))
        for at, *prices in zip(*columns, strict=True)
    ]
    candles = tmp_path / "goog.csv"
    candles.write_text("\n".join(["open_time,open,high,low,close,volume", *lines]) + "\n")
    ended = run_command(
        "backtest", "sma_cross", "--set=notional=5000", f"--candles={candles}", "--instrument=GOOG/USD", "--step=1",
        "--balance=USD=10000", "--periods-per-year=252", f"--out={tmp_path / 'out'}", "--json",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    metrics = ended.json["metrics"]
    # It is long only: its trades are the long ones of the other.
    *longs, last = [trip for trip in round_trips(traded(market())).trips if trip.side == "long"]
    assert last.closed_at == market().open_times[-1], "that one is closed because the tape ends; sma_cross still has it"
    assert ended.json["counts"]["candles"] == len(market()) == 2148
    assert (metrics["trades"], metrics["periods"]) == (len(longs), len(market()))
    with (tmp_path / "out" / "round_trips.csv").open(newline="") as file:
        trips = list(csv.DictReader(file))
    assert [(trip["opened_at"], trip["closed_at"]) for trip in trips] == [
        (time_text(trip.opened_at), time_text(trip.closed_at)) for trip in longs
    ]
