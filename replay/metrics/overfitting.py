"""How likely a Sharpe ratio is more than luck, after one look or after many trials.

Sharpe ratios here are those of one period, not annualised; `kurtosis` is 0 for a normal distribution. Formulas: Bailey and
Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012), and The Deflated Sharpe Ratio (2014).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from replay.metrics.statistics import FEWEST, Floats, kurtosis, sharpe, skew

EULER = 0.5772156649015329
"""The Euler-Mascheroni constant."""
_NORMAL = NormalDist()


def probabilistic_sharpe(
    observed: float, count: int, skewness: float, excess_kurtosis: float, threshold: float = 0.0
) -> float | None:
    """The probability that the true Sharpe ratio is above a threshold, from one observed over `count` returns."""
    variance = 1 - skewness * observed + (excess_kurtosis + 2) / 4 * observed * observed
    if count < FEWEST or variance <= 0:
        return None
    return _NORMAL.cdf((observed - threshold) * math.sqrt((count - 1) / variance))


def expected_max_sharpe(variance: float, trials: int) -> float:
    """What the best of so many independent trials is expected to show where none has any skill.

    `variance` is that of the trials' Sharpe ratios. sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))); 0 for a single one.
    """
    if trials < FEWEST:
        return 0.0
    first, second = _upper_quantile(1 / trials), _upper_quantile(1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER) * first + EULER * second)


def deflated_sharpe(returns: Floats, sharpes: Sequence[float]) -> float | None:
    """The probability that the chosen trial's true Sharpe ratio is above what the best of all would show by luck.

    `returns` are the chosen trial's, `sharpes` those of all trials, it among them. Trials count as independent; of trials
    that resemble each other there are fewer than their number says, so this errs on the careful side.
    """
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) >= FEWEST else 0.0
    return _probability(returns, expected_max_sharpe(variance, len(sharpes)))


def sharpe_probability(returns: Floats) -> float | None:
    """The probability that the true Sharpe ratio of these returns is above zero, had there been no other trial."""
    return _probability(returns, 0.0)


def _probability(returns: Floats, threshold: float) -> float | None:
    observed, third, fourth = sharpe(returns, 1), skew(returns), kurtosis(returns)
    if observed is None or third is None or fourth is None:
        return None
    return probabilistic_sharpe(observed, len(returns), third, fourth, threshold)


def _upper_quantile(tail: float) -> float:
    """The value that a standard normal exceeds with this probability, exact also where 1 - tail rounds to 1."""
    return -_NORMAL.inv_cdf(tail)
