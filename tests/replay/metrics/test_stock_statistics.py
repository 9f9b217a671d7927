"""All 31 statistics that backtesting.py 0.6.6 gives of an SMA 10/30 cross on GOOG, from our curve, trips and formulas."""

import csv
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from domain.account.events import OrderFilled
from domain.market import make_instrument
from domain.values import DAY, SECOND, Asset, Fee, Price, Quantity, Side, Time, exact_quanta, parse_time, time_text
from infrastructure.market_data.tape import COLUMNS, Tape, make_tape
from projections.performance import Trades, round_trips
from replay.metrics import relative, statistics
from replay.metrics.curve import Curve, closes_at, equity_curve
from replay.metrics.metrics import Metrics, metrics_of
from replay.metrics.periods import day_returns
from tests.conftest import shared_data

GOOG = make_instrument("GOOG/INR", Decimal("0.01"), Decimal(1), Decimal(0))
CASH = 1_000_000
FAST, SLOW = 10, 30
WEEKDAYS = 252
JULIAN_YEAR = 365.25 * DAY / SECOND


def goog() -> Tape:
    path = shared_data("reference/backtests/backtestingpy_GOOG.csv")
    with path.open() as file:
        rows = [
            (
                parse_time(f"{row['']}T00:00:00Z"),
                *(exact_quanta(row[name], 2) for name in ("Open", "High", "Low", "Close")),
                0,
            )
            for row in csv.DictReader(file)
        ]
    table = np.array(rows, np.int64)
    return make_tape({name: table[:, index] for index, name in enumerate(COLUMNS)}, 2, 0, DAY, "GOOG/INR")


def crossings(closes: Sequence[int]) -> list[tuple[int, Side]]:
    """(row, side): where one mean was below the other and now is above it; of sums, compared without a division."""
    found: list[tuple[int, Side]] = []
    above = [
        SLOW * sum(closes[row - FAST : row]) - FAST * sum(closes[row - SLOW : row])
        for row in range(SLOW, len(closes) + 1)
    ]
    for row, (before, now) in enumerate(pairwise(above), SLOW):
        if before < 0 < now:
            found.append((row, "buy"))
        elif before > 0 > now:
            found.append((row, "sell"))
    return found


def traded(market: Tape) -> list[OrderFilled]:
    """At the open after a cross: close what is held, and all the cash into the other side in whole shares."""
    fills: list[OrderFilled] = []
    cash, held = CASH, 0

    def fill(row: int, side: Side, quantity: int) -> None:
        nonlocal cash, held
        price = market.opens[row]
        sign = 1 if side == "buy" else -1
        cash, held = cash - sign * quantity * price, held + sign * quantity
        fills.append(
            OrderFilled(
                "main", len(fills) + 1, "sma", 0, 0, "manual", GOOG.id, side, Price(price), Quantity(quantity),
                GOOG.notional(price, quantity), Quantity(quantity), Fee(0), Asset("INR"), "taker", str(len(fills)),
                Time(market.open_times[row]), Quantity(0),
            )
        )  # fmt: skip

    for row, side in crossings(market.closes.tolist()):
        if row + 1 < len(market):
            if held:
                fill(row + 1, side, abs(held))
            fill(row + 1, side, cash // market.opens[row + 1])
    fill(len(market) - 1, "sell" if held > 0 else "buy", abs(held))
    return fills


class Run(NamedTuple):
    """What the statistics are of."""

    market: Tape
    curve: Curve
    trades: Trades
    metrics: Metrics


@cache
def run() -> Run:
    market = goog()
    fills = traded(market)
    curve, trades = equity_curve(fills, [(GOOG, market)], CASH, [0]), round_trips(fills)
    return Run(market, curve, trades, metrics_of(curve, trades, closes_at(market, curve.times), WEEKDAYS))


def statistics_of(run: Run) -> dict[str, Any]:
    """The 31 under their names there. Rates are in percent; durations count from one day's open to another's, rounded up."""
    market, curve, metrics = run.market, run.curve, run.metrics
    growth, fall, trades = metrics.growth, metrics.drawdown, metrics.trades
    # There the first day, in which nothing was held, has no return.
    returns = day_returns(curve)[1:]
    annual = statistics.annual_return(returns, WEEKDAYS)
    spread = statistics.compounded_volatility(returns, WEEKDAYS)
    below = statistics.downside_deviation(returns)
    duration = market.open_times[-1] - market.open_times[0]
    # A holder buys when the slow mean is first known.
    held = market.closes[-1] / market.closes[SLOW - 1] - 1
    logs = [np.diff(np.log(values.astype(np.float64))) for values in (curve.equity, closes_at(market, curve.times))]
    beta = relative.beta(*logs)
    assert annual is not None
    assert spread is not None
    assert below is not None
    assert beta is not None
    assert growth.total_return is not None
    assert fall.max_drawdown is not None
    return {
        "# Trades": trades.trades,
        "Start": time_text(market.open_times[0])[:10],
        "End": time_text(market.open_times[-1])[:10],
        "Duration": days(duration / SECOND),
        "Exposure Time [%]": percent(metrics.exposure.exposure_time),
        "Equity Final [$]": float(growth.final_equity),
        "Equity Peak [$]": float(growth.highest_equity),
        "Return [%]": percent(growth.total_return),
        "Buy & Hold Return [%]": percent(held),
        "Return (Ann.) [%]": percent(annual),
        "Volatility (Ann.) [%]": percent(spread),
        "CAGR [%]": percent(statistics.cagr(curve.initial, int(curve.equity[-1]), duration / SECOND / JULIAN_YEAR)),
        "Sharpe Ratio": annual / spread,
        "Sortino Ratio": annual / (below * math.sqrt(WEEKDAYS)),
        "Calmar Ratio": annual / -fall.max_drawdown,
        "Alpha [%]": percent(growth.total_return - beta * held),
        "Beta": beta,
        "Max. Drawdown [%]": percent(fall.max_drawdown),
        "Avg. Drawdown [%]": percent(fall.average_drawdown),
        "Max. Drawdown Duration": days(fall.longest_drawdown_s),
        "Avg. Drawdown Duration": days(fall.average_drawdown_s),
        "Win Rate [%]": percent(trades.win_rate),
        "Best Trade [%]": percent(trades.best_trade_return),
        "Worst Trade [%]": percent(trades.worst_trade_return),
        "Avg. Trade [%]": percent(trades.geometric_trade_return),
        "Max. Trade Duration": days(trades.longest_trade_s),
        "Avg. Trade Duration": days(trades.average_trade_s),
        "Profit Factor": trades.return_profit_factor,
        "Expectancy [%]": percent(trades.average_trade_return),
        "SQN": trades.sqn,
        "Kelly Criterion": trades.kelly,
    }


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def days(seconds: float | None) -> str:
    assert seconds is not None
    return f"{math.ceil(seconds / 86_400)} days"


def expected() -> dict[str, Any]:
    text = shared_data("reference/backtests/backtestingpy_expected_stats.json").read_text()
    found: dict[str, Any] = json.loads(text)["expected"]
    return found


def test_all_31_statistics_agree() -> None:
    got, wanted = statistics_of(run()), expected()
    assert len(wanted) == 31
    for name, value in wanted.items():
        assert got[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9)), name


def test_our_own_figures_count_the_first_day_too() -> None:
    """It returned nothing, so the annual return is a little lower."""
    risk = run().metrics.risk
    assert risk.periods == len(run().market)
    assert day_returns(run().curve)[0] == 0
    assert risk.annual_return == pytest.approx((51422.99 / 10_000) ** (WEEKDAYS / len(run().market)) - 1, rel=1e-9)


def test_a_trade_less_is_found() -> None:
    market = run().market
    fills = traded(market)[:-2]
    trades = round_trips(fills)
    curve = equity_curve(fills, [(GOOG, market)], CASH, [0])
    got = statistics_of(Run(market, curve, trades, metrics_of(curve, trades, None, WEEKDAYS)))
    wrong = {
        name
        for name, value in expected().items()
        if got[name] != (value if isinstance(value, str) else pytest.approx(value, rel=1e-9))
    }
    assert {"# Trades", "Return [%]", "Sharpe Ratio", "SQN", "Win Rate [%]", "Exposure Time [%]"} <= wrong
