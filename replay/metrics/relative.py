"""Statistics of a series of returns beside a benchmark's, period by period; None where a figure is not defined."""

import numpy as np

from replay.metrics.statistics import FEWEST, Floats, annual_return, deviation, finite, power, ratio


def beta(returns: Floats, benchmark: Floats) -> float | None:
    """Covariance with the benchmark over its variance (Sharpe 1964); None where the benchmark does not vary."""
    if len(returns) < FEWEST or benchmark.max() == benchmark.min():
        return None
    off = benchmark - benchmark.mean()
    return ratio(float(np.mean(off * (returns - returns.mean()))), float(np.mean(off * off)))


def alpha(returns: Floats, benchmark: Floats, periods: float) -> float | None:
    """(1 + mean(return - beta x benchmark)) ^ periods - 1: what the benchmark does not explain (Jensen 1968), a year."""
    slope = beta(returns, benchmark)
    if slope is None:
        return None
    grown = power(1 + float(np.mean(returns - slope * benchmark)), periods)
    return None if grown is None else grown - 1


def information_ratio(returns: Floats, benchmark: Floats) -> float | None:
    """mean / deviation of the difference to the benchmark, not annualised (Goodwin 1998)."""
    active = returns - benchmark
    spread = deviation(active)
    return None if not spread else ratio(float(active.mean()), spread)


def capture(returns: Floats, benchmark: Floats, periods: float) -> float | None:
    """Annual return over the benchmark's."""
    own, other = annual_return(returns, periods), annual_return(benchmark, periods)
    return None if own is None or other is None else ratio(own, other)


def up_capture(returns: Floats, benchmark: Floats, periods: float) -> float | None:
    """The capture in the periods in which the benchmark rose."""
    return capture(*rising(returns, benchmark), periods)


def down_capture(returns: Floats, benchmark: Floats, periods: float) -> float | None:
    """The capture in the periods in which the benchmark fell."""
    return capture(*falling(returns, benchmark), periods)


def rising(returns: Floats, benchmark: Floats) -> tuple[Floats, Floats]:
    """Both series, of the periods in which the benchmark rose."""
    return returns[benchmark > 0], benchmark[benchmark > 0]


def falling(returns: Floats, benchmark: Floats) -> tuple[Floats, Floats]:
    """Both series, of the periods in which the benchmark fell."""
    return returns[benchmark < 0], benchmark[benchmark < 0]


def batting_average(returns: Floats, benchmark: Floats) -> float | None:
    """The share of periods that were better than the benchmark."""
    return finite(float(np.mean(returns > benchmark))) if len(returns) else None
