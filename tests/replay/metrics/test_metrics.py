"""All figures together: a run by hand, the cases in which nothing is defined, and that JSON never has NaN."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.account.events import OrderFilled
from domain.values import DAY, Asset, Cash, Side, Time, parse_time
from projections.performance import Trades, round_trips
from replay.metrics.curve import Curve
from replay.metrics.metrics import Metrics, figures, metrics_of
from tests.projections.story import fill_of, intended

START = parse_time("2022-01-01T00:00:00Z")
NO_TRADES = round_trips([])


def curve_of(*equity: int, initial: int = 100_000, exposure: tuple[int, ...] = (), every: int = DAY) -> Curve:
    times = START + every * np.arange(1, len(equity) + 1, dtype=np.int64)
    held = np.array(exposure or [0] * len(equity), np.int64)
    return Curve(times, np.array(equity, np.int64), held, START, initial, 2, Asset("USDT"))


def fill(order: int, side: Side, cash: int, day: float) -> OrderFilled:
    each = fill_of(intended(order, side=side))
    return structs.replace(each, cash=Cash(cash), venue_at=Time(START + int(day * DAY)))


def test_a_run_by_hand() -> None:
    """Ten percent up, a fifth of that down, back up by a quarter, and nothing on the last day."""
    curve = curve_of(110_000, 88_000, 110_000, 110_000, exposure=(55_000, 44_000, 0, 0))
    trades = round_trips([fill(1, "buy", 60_000, 0), fill(2, "sell", 70_000, 2.5)])
    found = metrics_of(curve, trades, [100, 90, 120, 120])
    returns = np.array([0.1, -0.2, 0.25, 0.0])
    growth, risk, fall, exposure = found.growth, found.risk, found.drawdown, found.exposure
    assert (growth.start, growth.end) == ("2022-01-01T00:00:00Z", "2022-01-05T00:00:00Z")
    assert (growth.initial_equity, growth.final_equity) == ("1000", "1100")
    assert (growth.highest_equity, growth.lowest_equity, growth.duration_s) == ("1100", "880", 4 * 86_400)
    assert growth.total_return == 0.1
    assert growth.cagr == pytest.approx(1.1 ** (365 / 4) - 1)
    assert (risk.periods_per_year, risk.periods) == (365, 4)
    assert risk.volatility == pytest.approx(returns.std(ddof=1) * math.sqrt(365))
    assert risk.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    assert risk.sortino == pytest.approx(returns.mean() / math.sqrt(0.04 / 4) * math.sqrt(365))
    assert risk.downside_volatility == pytest.approx(math.sqrt(0.04 / 4) * math.sqrt(365))
    assert risk.annual_return_to_downside == pytest.approx((1.1 ** (365 / 4) - 1) / math.sqrt(0.01 * 365))
    assert risk.omega == pytest.approx(0.35 / 0.2)
    assert risk.annual_return == pytest.approx(growth.cagr)
    assert risk.calmar == pytest.approx((1.1 ** (365 / 4) - 1) / 0.2)
    assert (risk.best_period, risk.worst_period) == (0.25, -0.2)
    assert risk.value_at_risk_95 == pytest.approx(-0.2 + 0.15 * 0.2)
    assert risk.expected_shortfall_95 == -0.2
    assert (fall.max_drawdown, fall.max_drawdown_amount, fall.drawdowns) == (-0.2, "220", 1)
    assert (fall.max_drawdown_from, fall.max_drawdown_at) == ("2022-01-02T00:00:00Z", "2022-01-03T00:00:00Z")
    assert (fall.max_drawdown_recovered_at, fall.max_drawdown_s) == ("2022-01-04T00:00:00Z", 2 * 86_400)
    assert fall.recovery_s == 86_400
    assert fall.recovery_factor == pytest.approx(100 / 220)
    assert exposure.exposure_time == 0.75
    assert (exposure.average_exposure, exposure.highest_exposure) == (0.25, 0.5)
    assert exposure.turnover_per_year == pytest.approx(130_000 / 104_500 * 365 / 4)
    assert found.trades.net_profit == "100"
    assert [each.profit for each in found.by_month] == ["100"]
    assert len(found.by_day) == 4


def test_beside_a_benchmark() -> None:
    curve = curve_of(110_000, 99_000, 118_800)
    found = metrics_of(curve, NO_TRADES, [100, 95, 114]).benchmark
    assert found is not None
    own, other = np.array([0.1, -0.1, 0.2]), np.array([0.0, -0.05, 0.2])
    slope = np.cov(own, other, ddof=0)[0, 1] / other.var()
    assert found.benchmark_return == pytest.approx(0.14)
    assert found.excess_return == pytest.approx(0.188 - 0.14)
    assert found.beta == pytest.approx(slope)
    assert found.alpha == pytest.approx((1 + (own - slope * other).mean()) ** 365 - 1)
    assert found.information_ratio == pytest.approx((own - other).mean() / (own - other).std(ddof=1))
    assert found.batting_average == pytest.approx(1 / 3)
    assert found.up_capture == pytest.approx(1.0)
    assert found.down_capture == pytest.approx((0.9**365 - 1) / (0.95**365 - 1))
    assert metrics_of(curve, NO_TRADES).benchmark is None


def test_a_day_has_the_return_of_its_last_candle() -> None:
    curve = curve_of(*([100_000] * 23), 120_000, *([90_000] * 24), every=DAY // 24)
    found = metrics_of(curve, NO_TRADES)
    assert (found.risk.periods, found.risk.best_period, found.risk.worst_period) == (2, 0.2, -0.25)


def test_another_number_of_periods_a_year() -> None:
    curve = curve_of(101_000, 100_000, 102_000)
    year, weekdays = metrics_of(curve, NO_TRADES).risk, metrics_of(curve, NO_TRADES, periods_per_year=252).risk
    assert (year.periods_per_year, weekdays.periods_per_year) == (365, 252)
    assert year.sharpe is not None
    assert weekdays.sharpe == pytest.approx(year.sharpe * math.sqrt(252 / 365))


def test_a_position_closed_within_its_candle_was_exposure() -> None:
    trades = round_trips([fill(1, "buy", 60_000, 1), fill(2, "sell", 70_000, 1.5)])
    assert metrics_of(curve_of(1, 1, 1, 1), trades).exposure.exposure_time == 0.25


def test_the_equity_at_the_start_may_be_the_highest_or_the_lowest() -> None:
    fallen, risen = (metrics_of(curve_of(equity), NO_TRADES) for equity in (90_000, 120_000))
    assert (fallen.growth.highest_equity, fallen.growth.lowest_equity) == ("1000", "900")
    assert (risen.growth.highest_equity, risen.growth.lowest_equity) == ("1200", "1000")
    assert fallen.drawdown.max_drawdown_from == "2022-01-01T00:00:00Z"


def test_an_account_that_did_nothing() -> None:
    found = metrics_of(curve_of(100_000, 100_000, 100_000), NO_TRADES, [100, 100, 100])
    risk = found.risk
    assert (found.growth.total_return, found.growth.cagr, risk.annual_return, risk.volatility) == (0, 0, 0, 0)
    assert {risk.sharpe, risk.sortino, risk.calmar, risk.omega, risk.skew, risk.kurtosis, risk.tail_ratio} == {None}
    fall = found.drawdown
    assert (fall.max_drawdown, fall.max_drawdown_amount, fall.drawdowns) == (0, "0", 0)
    assert {fall.max_drawdown_from, fall.longest_drawdown_s, fall.recovery_factor} == {None}
    assert found.benchmark is not None
    assert (found.benchmark.beta, found.benchmark.alpha) == (None, None)
    assert found.trades.win_rate is None


def test_an_account_that_was_wiped_out_has_no_returns() -> None:
    found = metrics_of(curve_of(50_000, -10_000, 5_000), NO_TRADES, [100, 90, 80])
    assert (found.risk.periods, found.risk.sharpe, found.risk.value_at_risk_95) == (0, None, None)
    assert found.growth.total_return == -0.95
    assert found.growth.cagr == pytest.approx(-1.0)
    assert (found.drawdown.max_drawdown, found.exposure.average_exposure) == (-1.1, None)


def test_an_account_that_began_with_nothing_has_no_ratios() -> None:
    found = metrics_of(curve_of(5, 6, initial=0), NO_TRADES, [1, 2])
    assert (found.growth.total_return, found.growth.cagr, found.drawdown.max_drawdown) == (None, None, None)


def test_one_candle_with_a_large_gain_is_no_infinity() -> None:
    found = metrics_of(curve_of(900_000, every=60_000_000), NO_TRADES, [7])
    assert (found.growth.total_return, found.growth.cagr) == (8, None)
    assert found.risk.sharpe is None


def test_every_figure_has_a_name_of_its_own() -> None:
    found = metrics_of(curve_of(110_000, 100_000), NO_TRADES, [100, 101])
    parts = [getattr(found, name) for name in ("growth", "risk", "drawdown", "exposure", "trades", "benchmark")]
    names = [name for part in parts for name in structs.asdict(part)]
    assert sorted(figures(found)) == sorted(names)
    assert figures(found)["sharpe"] == found.risk.sharpe


# --- laws ------------------------------------------------------------------------------------------------------------

sizes = st.sampled_from((1, 100, 10**6, 10**15))


@st.composite
def runs(draw: st.DrawFn) -> tuple[Curve, Trades, list[int] | None, float]:
    size = draw(sizes)
    count = draw(st.integers(1, 12))
    equity = draw(st.lists(st.integers(draw(st.sampled_from((1, -size))), size), min_size=count, max_size=count))
    held = tuple(draw(st.lists(st.integers(0, size), min_size=count, max_size=count)))
    every = draw(st.sampled_from((60_000_000, DAY // 3, DAY, 30 * DAY)))
    curve = curve_of(*equity, initial=draw(st.integers(0, size)), exposure=held, every=every)
    sides: list[Side] = draw(st.lists(st.sampled_from(("buy", "sell")), max_size=8))
    cash = draw(st.lists(st.integers(0, 10**12), min_size=len(sides), max_size=len(sides)))
    fills = [fill(order, side, amount, order / 3) for order, (side, amount) in enumerate(zip(sides, cash, strict=True))]
    prices = st.lists(st.integers(1, 10**9), min_size=count, max_size=count)
    return curve, round_trips(fills), draw(st.none() | prices), draw(st.sampled_from((252, 365)))


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} in JSON")


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_in(part)]
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers_in(part)]
    return [value] if isinstance(value, float) else []


@given(runs())
def test_whatever_the_run_every_figure_is_a_number_or_none(run: tuple[Curve, Trades, list[int] | None, float]) -> None:
    found = metrics_of(*run)
    # The encoder writes NaN as null: so the figures themselves are looked at too.
    assert all(math.isfinite(number) for number in numbers_in(msgspec.to_builtins(found)))
    text = msgspec.json.encode(found)
    assert json.loads(text, parse_constant=refuse)
    assert msgspec.json.decode(text, type=Metrics) == found


@given(runs())
def test_figures_keep_within_their_bounds(run: tuple[Curve, Trades, list[int] | None, float]) -> None:
    every = figures(metrics_of(*run))
    for name in ("exposure_time", "win_rate", "sharpe_probability", "stability", "batting_average"):
        assert every.get(name) is None or 0 <= every[name] <= 1, name
    for name in ("max_drawdown", "average_drawdown", "average_loss"):
        assert every[name] is None or every[name] <= 0, name
    for name in ("volatility", "compounded_volatility", "downside_volatility", "longest_drawdown_s", "profit_factor"):
        assert every[name] is None or every[name] >= 0, name
    if every["expected_shortfall_95"] is not None:
        rounding = 1e-9 * abs(every["worst_period"])
        assert every["worst_period"] - rounding <= every["expected_shortfall_95"]
        assert every["expected_shortfall_95"] <= every["value_at_risk_95"] + rounding
    assert every["wins"] + every["losses"] <= every["trades"]
