"""Statistics of a series of returns, one for each period: pure functions, None where a figure is not defined.

Returns are fractions, 0.01 for one percent, and finite. `periods` is how many of them make a year. Deviations are of the
sample (divided by n - 1). Where excess returns are meant, the caller takes the risk-free rate away first.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FEWEST = 2
"""Returns that a deviation needs."""
_LOG_LARGEST = math.log(1e300)
NORMAL_KURTOSIS = 3.0


def finite(value: float) -> float | None:
    """A plain number, or None where it is none: JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def ratio(numerator: float, denominator: float) -> float | None:
    """A quotient, None over zero."""
    return finite(numerator / denominator) if denominator else None


def power(growth: float, exponent: float) -> float | None:
    """growth ^ exponent of a growth that is not below zero; None where that passes every number."""
    if growth <= 0:
        return 0.0 if growth == 0 and exponent > 0 else None
    logarithm = math.log(growth) * exponent
    return math.exp(logarithm) if abs(logarithm) < _LOG_LARGEST else None


def simple_returns(values: Integers) -> Floats:
    """Each value over the one before it, less 1; the difference is taken in integers, so one quantum is not lost."""
    return np.diff(values) / values[:-1]


def cumulative_returns(returns: Floats) -> Floats:
    """The compounded return up to each period."""
    return np.cumprod(1 + returns, dtype=np.float64) - 1


def total_return(returns: Floats) -> float | None:
    """All returns compounded."""
    return finite(float(np.prod(1 + returns)) - 1) if len(returns) else None


def cagr(start: float, end: float, years: float) -> float | None:
    """Compound annual growth: (end / start) ^ (1 / years) - 1."""
    if start <= 0 or years <= 0:
        return None
    grown = power(end / start, 1 / years)
    return None if grown is None else grown - 1


def annual_return(returns: Floats, periods: float) -> float | None:
    """The geometric mean of the returns, compounded over a year."""
    if not len(returns):
        return None
    grown = power(float(np.prod(1 + returns)), periods / len(returns))
    return None if grown is None else grown - 1


def deviation(returns: Floats) -> float | None:
    """The standard deviation of the sample; exactly zero where all are the same."""
    if len(returns) < FEWEST:
        return None
    return 0.0 if returns.max() == returns.min() else float(returns.std(ddof=1))


def annual_volatility(returns: Floats, periods: float) -> float | None:
    """The deviation of a period times sqrt(periods)."""
    spread = deviation(returns)
    return None if spread is None else spread * math.sqrt(periods)


def compounded_volatility(returns: Floats, periods: float) -> float | None:
    """The deviation of a year's compounded return: sqrt((var + (1 + g)^2)^n - (1 + g)^2n), g the geometric mean.

    Tolley and Ticatpunda (backtesting.py uses it); wider than `annual_volatility` where returns are large.
    """
    spread, grown = deviation(returns), annual_return(returns, 1)
    if spread is None or grown is None:
        return None
    growth = (1 + grown) ** 2
    above, below = power(spread**2 + growth, periods), power(growth, periods)
    return None if above is None or below is None else math.sqrt(max(0.0, above - below))


def downside_deviation(returns: Floats, required: float | Floats = 0.0) -> float | None:
    """sqrt(mean(min(return - required, 0)^2)) of one period: returns that reach the required one count as zeros."""
    if not len(returns):
        return None
    below = np.minimum(returns - required, 0)
    return float(np.sqrt(np.mean(below * below)))


def sharpe(returns: Floats, periods: float) -> float | None:
    """mean / deviation x sqrt(periods) (Sharpe 1994); None where nothing varies."""
    spread = deviation(returns)
    if spread is None or not spread:
        return None
    return ratio(float(returns.mean()) * math.sqrt(periods), spread)


def sortino(returns: Floats, periods: float, required: float | Floats = 0.0) -> float | None:
    """mean(return - required) / downside deviation x sqrt(periods) (Sortino and Price 1994); None without downside."""
    below = downside_deviation(returns, required)
    if len(returns) < FEWEST or below is None:
        return None
    return ratio(float(np.mean(returns - required)) * math.sqrt(periods), below)


def omega(returns: Floats, threshold: float = 0.0) -> float | None:
    """Sum of what is above a threshold over the sum of what is below (Keating and Shadwick 2002)."""
    if len(returns) < FEWEST:
        return None
    above = returns - threshold
    return ratio(float(above[above > 0].sum()), -float(above[above < 0].sum()))


def max_drawdown(returns: Floats) -> float | None:
    """The deepest fall of the compounded returns below an earlier height, at most 0; the start is a height too."""
    if not len(returns):
        return None
    worth = np.concatenate((np.ones(1), np.cumprod(1 + returns)))
    height = np.maximum.accumulate(worth)
    return float(((worth - height) / height).min())


def calmar(returns: Floats, periods: float) -> float | None:
    """Annual return over the depth of the deepest drawdown (Young 1991); None without one."""
    grown, fall = annual_return(returns, periods), max_drawdown(returns)
    return ratio(grown, -fall) if grown is not None and fall is not None else None


def skew(returns: Floats) -> float | None:
    """Third standardized moment of the returns as they are, without a correction for the sample's size."""
    return _standardized_moment(returns, 3)


def kurtosis(returns: Floats) -> float | None:
    """Fourth standardized moment less 3, so 0 for a normal distribution; without a correction for the sample's size."""
    moment = _standardized_moment(returns, 4)
    return None if moment is None else moment - NORMAL_KURTOSIS


def value_at_risk(returns: Floats, share: float = 0.05) -> float | None:
    """The return below which this share of all returns lies: the historical quantile, interpolated."""
    return float(np.quantile(returns, share)) if len(returns) else None


def expected_shortfall(returns: Floats, share: float = 0.05) -> float | None:
    """The mean of the returns at or below the value at risk."""
    limit = value_at_risk(returns, share)
    return None if limit is None else float(returns[returns <= limit].mean())


def tail_ratio(returns: Floats) -> float | None:
    """The 95th percentile over the 5th, both without their sign."""
    if not len(returns):
        return None
    low, high = np.quantile(returns, (0.05, 0.95))
    return ratio(abs(float(high)), abs(float(low)))


def stability(returns: Floats) -> float | None:
    """R^2 of a straight line through the cumulative log returns: 1 is growth without a bend."""
    if len(returns) < FEWEST or returns.min() <= -1:
        return None
    grown = np.cumsum(np.log1p(returns))
    steps = np.arange(len(grown), dtype=np.float64)
    steps -= steps.mean()
    grown -= grown.mean()
    fitted = ratio(float(steps @ grown) ** 2, float(steps @ steps) * float(grown @ grown))
    return None if fitted is None else min(fitted, 1.0)  # rounding may take a straight line past 1


def rolling(statistic: Callable[..., float | None], window: int, *series: Floats) -> list[float | None]:
    """A statistic over each window of one or more series of one length; empty where they are shorter than it."""
    ends = range(window, len(series[0]) + 1)
    return [statistic(*(values[end - window : end] for values in series)) for end in ends]


def _standardized_moment(returns: Floats, order: int) -> float | None:
    if len(returns) < FEWEST or returns.max() == returns.min():
        return None
    off = returns - returns.mean()
    spread = float(np.sqrt(np.mean(off * off)))
    # Returns below 1e-160 have squares that are no numbers any more.
    return finite(float(np.mean((off / spread) ** order))) if spread else None
