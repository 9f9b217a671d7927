"""What the best of many trials is worth, knowing that it is the best of many."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from replay.metrics.overfitting import expected_max_sharpe, probabilistic_sharpe
from replay.sweep.job import Trial


class Doubt(Struct, frozen=True):
    """Sharpe ratios of a day, not annualised: the chosen trial's, and what the best of so many shows by luck alone.

    `deflated_sharpe` is the probability that the chosen trial's true one is above that (Bailey and Lopez de Prado 2014);
    `sharpe_probability` that it is above zero, had there been no other trial.
    """

    trials: int
    days: int
    daily_sharpe: float
    daily_sharpe_of_luck: float
    deflated_sharpe: float | None
    sharpe_probability: float | None


def doubt(best: Trial, trials: Sequence[Trial]) -> Doubt | None:
    """The doubt about a trial that was chosen among others; None where its days say nothing.

    Trials count as independent. Neighbours on a grid are not, so this errs on the careful side.
    """
    moments = best.moments
    if moments is None:
        return None
    sharpes = [trial.moments.sharpe for trial in trials if trial.moments is not None]
    luck = expected_max_sharpe(float(np.var(sharpes, ddof=1)), len(sharpes)) if len(sharpes) > 1 else 0.0
    deflated, alone = (
        probabilistic_sharpe(moments.sharpe, moments.count, moments.skew, moments.kurtosis, threshold)
        for threshold in (luck, 0.0)
    )
    return Doubt(len(sharpes), moments.count, moments.sharpe, luck, deflated, alone)
