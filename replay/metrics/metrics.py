"""All statistics of one run: of its equity curve, its round trips, and a benchmark where there is one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs

from domain.values import DAY, SECOND, Asset, decimal_text, time_text
from projections.performance import Trades
from replay.metrics import drawdowns, relative, statistics
from replay.metrics.curve import Curve
from replay.metrics.overfitting import sharpe_probability
from replay.metrics.periods import PeriodReturn, day_ends, day_returns, period_returns, sampled
from replay.metrics.statistics import Floats, Integers, ratio
from replay.metrics.trades import TradeStatistics, trade_statistics

PERIODS_PER_YEAR = 365
"""Of a market that never closes; 252 for one that trades on weekdays."""
YEAR = 365 * DAY
"""Microseconds of a year in `cagr` and in what is said of one year."""


class Growth(Struct, frozen=True, kw_only=True):
    """From when to when, and what the equity became. Ratios are fractions: 0.01 is one percent."""

    start: str
    end: str
    duration_s: float
    currency: Asset
    initial_equity: str
    final_equity: str
    highest_equity: str
    lowest_equity: str
    total_return: float | None
    cagr: float | None


class Risk(Struct, frozen=True, kw_only=True):
    """Of the returns of UTC days, annualised with `periods_per_year` where a figure is of a year."""

    periods_per_year: float
    periods: int
    annual_return: float | None
    volatility: float | None
    compounded_volatility: float | None
    downside_volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    omega: float | None
    annual_return_to_volatility: float | None
    annual_return_to_downside: float | None
    sharpe_probability: float | None
    skew: float | None
    kurtosis: float | None
    value_at_risk_95: float | None
    expected_shortfall_95: float | None
    tail_ratio: float | None
    stability: float | None
    best_period: float | None
    worst_period: float | None


class Falls(Struct, frozen=True, kw_only=True):
    """Drawdowns of the equity at candle closes; depths are at most 0, times are candle closes, durations seconds.

    `max_drawdown` is the deepest as a part of its height; `max_drawdown_amount` is the largest amount, perhaps of another.
    """

    max_drawdown: float | None = None
    max_drawdown_amount: str | None = None
    max_drawdown_from: str | None = None
    max_drawdown_at: str | None = None
    max_drawdown_recovered_at: str | None = None
    max_drawdown_s: float | None = None
    recovery_s: float | None = None
    recovery_factor: float | None = None
    drawdowns: int | None = None
    average_drawdown: float | None = None
    average_drawdown_s: float | None = None
    longest_drawdown_s: float | None = None


class Exposure(Struct, frozen=True, kw_only=True):
    """How much was held: the share of candles with a position, worth over equity at their closes, turnover a year."""

    exposure_time: float | None
    average_exposure: float | None
    highest_exposure: float | None
    turnover_per_year: float | None


class Beside(Struct, frozen=True, kw_only=True):
    """Beside a benchmark that was bought at its first close: total return, then figures of the days' returns of both."""

    benchmark_return: float
    excess_return: float | None
    alpha: float | None
    beta: float | None
    information_ratio: float | None
    up_capture: float | None
    down_capture: float | None
    batting_average: float | None


class Metrics(Struct, frozen=True, kw_only=True):
    """All figures of a run; None where one is not defined, so that JSON has neither NaN nor infinity."""

    growth: Growth
    risk: Risk
    drawdown: Falls
    exposure: Exposure
    trades: TradeStatistics
    benchmark: Beside | None
    by_day: list[PeriodReturn]
    by_week: list[PeriodReturn]
    by_month: list[PeriodReturn]


def metrics_of(
    curve: Curve,
    trades: Trades,
    benchmark: Sequence[int] | Integers | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Metrics:
    """The figures of a curve that has at least one candle; `benchmark` has one price above zero for each of its times."""
    returns, falls = day_returns(curve), _falls(curve)
    return Metrics(
        growth=_growth(curve),
        risk=_risk(returns, falls.max_drawdown, periods_per_year),
        drawdown=falls,
        exposure=_exposure(curve, trades),
        trades=trade_statistics(trades, curve.cash_scale),
        benchmark=None if benchmark is None else _beside(curve, returns, np.asarray(benchmark), periods_per_year),
        by_day=period_returns(curve, "day"),
        by_week=period_returns(curve, "week"),
        by_month=period_returns(curve, "month"),
    )


def figures(metrics: Metrics) -> dict[str, Any]:
    """Every figure by its name alone, which no other has; without the lists of periods."""
    parts = (metrics.growth, metrics.risk, metrics.drawdown, metrics.exposure, metrics.trades, metrics.benchmark)
    return {name: value for part in parts if part is not None for name, value in structs.asdict(part).items()}


def _growth(curve: Curve) -> Growth:
    scale, final, end = curve.cash_scale, int(curve.equity[-1]), int(curve.times[-1])
    return Growth(
        start=time_text(curve.start),
        end=time_text(end),
        duration_s=(end - curve.start) / SECOND,
        currency=curve.currency,
        initial_equity=decimal_text(curve.initial, scale),
        final_equity=decimal_text(final, scale),
        highest_equity=decimal_text(max(curve.initial, int(curve.equity.max())), scale),
        lowest_equity=decimal_text(min(curve.initial, int(curve.equity.min())), scale),
        total_return=ratio(final - curve.initial, curve.initial),
        cagr=statistics.cagr(curve.initial, final, (end - curve.start) / YEAR),
    )


def _risk(returns: Floats, fall: float | None, periods: float) -> Risk:
    growth = statistics.annual_return(returns, periods)
    below = statistics.downside_deviation(returns)
    downside = None if below is None else below * periods**0.5
    compounded = statistics.compounded_volatility(returns, periods)
    return Risk(
        periods_per_year=periods,
        periods=len(returns),
        annual_return=growth,
        volatility=statistics.annual_volatility(returns, periods),
        compounded_volatility=compounded,
        downside_volatility=downside,
        sharpe=statistics.sharpe(returns, periods),
        sortino=statistics.sortino(returns, periods),
        calmar=_over(growth, None if fall is None else -fall),
        omega=statistics.omega(returns),
        annual_return_to_volatility=_over(growth, compounded),
        annual_return_to_downside=_over(growth, downside),
        sharpe_probability=sharpe_probability(returns),
        skew=statistics.skew(returns),
        kurtosis=statistics.kurtosis(returns),
        value_at_risk_95=statistics.value_at_risk(returns),
        expected_shortfall_95=statistics.expected_shortfall(returns),
        tail_ratio=statistics.tail_ratio(returns),
        stability=statistics.stability(returns),
        best_period=float(returns.max()) if len(returns) else None,
        worst_period=float(returns.min()) if len(returns) else None,
    )


def _falls(curve: Curve) -> Falls:
    if curve.initial <= 0:
        return Falls()
    values = np.concatenate((np.array([curve.initial], np.int64), curve.equity))
    times = np.concatenate((np.array([curve.start], np.int64), curve.times))
    falls = drawdowns.depths(values)
    deepest, largest = drawdowns.deepest(values, falls), drawdowns.largest(values)
    every = drawdowns.episodes(values, falls)
    if deepest is None or largest is None:
        return Falls(max_drawdown=0.0, max_drawdown_amount="0", drawdowns=0)
    lengths = (times[every.ends] - times[every.peaks]) / SECOND
    back = None if deepest.recovered is None else int(times[deepest.recovered])
    until = int(times[-1]) if back is None else back
    gained = int(values[-1]) - curve.initial
    return Falls(
        max_drawdown=deepest.depth,
        max_drawdown_amount=decimal_text(largest.amount, curve.cash_scale),
        max_drawdown_from=time_text(int(times[deepest.peak])),
        max_drawdown_at=time_text(int(times[deepest.trough])),
        max_drawdown_recovered_at=None if back is None else time_text(back),
        max_drawdown_s=(until - int(times[deepest.peak])) / SECOND,
        recovery_s=None if back is None else (back - int(times[deepest.trough])) / SECOND,
        recovery_factor=gained / largest.amount,
        drawdowns=len(every.depths),
        average_drawdown=float(every.depths.mean()),
        average_drawdown_s=float(lengths.mean()),
        longest_drawdown_s=float(lengths.max()),
    )


def _exposure(curve: Curve, trades: Trades) -> Exposure:
    """A candle counts also where what was held in it was closed before its end."""
    held = curve.exposure > 0
    closed = np.array([trip.closed_at for trip in trades.trips], np.int64)
    held[np.minimum(np.searchsorted(curve.times, closed, side="right"), len(curve) - 1)] = True
    years = (int(curve.times[-1]) - curve.start) / YEAR
    if curve.equity.min() <= 0:
        return Exposure(
            exposure_time=float(held.mean()), average_exposure=None, highest_exposure=None, turnover_per_year=None
        )
    parts = curve.exposure / curve.equity
    return Exposure(
        exposure_time=float(held.mean()),
        average_exposure=float(parts.mean()),
        highest_exposure=float(parts.max()),
        turnover_per_year=ratio(trades.turnover / float(curve.equity.mean()), years),
    )


def _beside(curve: Curve, returns: Floats, closes: Integers, periods: float) -> Beside:
    first, last = int(closes[0]), int(closes[-1])
    gained = last / first - 1
    own = ratio(int(curve.equity[-1]) - curve.initial, curve.initial)
    other = statistics.simple_returns(sampled(closes, first, day_ends(curve.times)))[: len(returns)]
    return Beside(
        benchmark_return=gained,
        excess_return=None if own is None else own - gained,
        alpha=relative.alpha(returns, other, periods),
        beta=relative.beta(returns, other),
        information_ratio=relative.information_ratio(returns, other),
        up_capture=relative.up_capture(returns, other, periods),
        down_capture=relative.down_capture(returns, other, periods),
        batting_average=relative.batting_average(returns, other),
    )


def _over(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or denominator is None else ratio(numerator, denominator)
