"""Sharpe ratios after many trials: the paper's worked example, and chance that is drawn instead of derived."""

import math
from statistics import variance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.metrics.overfitting import (
    deflated_sharpe,
    expected_max_sharpe,
    probabilistic_sharpe,
    sharpe_probability,
)
from replay.metrics.statistics import kurtosis, sharpe, skew

# Bailey and Lopez de Prado (2014): an annual Sharpe ratio of 2.5 over 1,250 days, chosen among trials whose annual ratios
# vary by 1/2; the returns are skewed by -3 and have a kurtosis of 10, which is 7 above the normal one.
SHARPE = 2.5 / math.sqrt(250)
VARIANCE = 0.5 / 250
DAYS = 1250


@pytest.mark.parametrize(
    ("trials", "skewness", "excess", "expected"), [(100, -3, 7, 0.9004), (46, -3, 7, 0.9505), (88, 0, 0, 0.9505)]
)
def test_the_worked_example_of_the_paper(trials: int, skewness: float, excess: float, expected: float) -> None:
    threshold = expected_max_sharpe(VARIANCE, trials)
    found = probabilistic_sharpe(SHARPE, DAYS, skewness, excess, threshold)
    assert found == pytest.approx(expected, abs=5e-5)
    if trials == 100:
        assert threshold == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(("trials", "error"), [(10, 0.03), (100, 0.015), (500, 0.01)])
def test_the_best_of_trials_without_skill_is_as_lucky_as_expected(trials: int, error: float) -> None:
    """The formula is that of the limit: it overstates the best of a few by some percent."""
    best = np.random.default_rng(7).normal(0.0, 0.2, (10_000, trials)).max(axis=1)
    assert expected_max_sharpe(0.04, trials) == pytest.approx(float(best.mean()), rel=error)


def test_the_probability_is_the_share_of_samples_below() -> None:
    """Of many samples of a true ratio, as many show less than the observed one as it says, also for skewed returns."""
    true, count = 0.1, 500
    chance = np.random.default_rng(11)
    # A gamma variate less its mean: skew 2 / sqrt(k), excess kurtosis 6 / k; turned around it falls deeper than it rises.
    k = 4.0
    draws = -(chance.gamma(k, 1.0, (8_000, count)) - k) / math.sqrt(k) + true
    ratios = draws.mean(axis=1) / draws.std(axis=1, ddof=1)
    for observed in (0.05, 0.1, 0.16):
        expected = probabilistic_sharpe(observed, count, -2 / math.sqrt(k), 6 / k, true)
        assert expected == pytest.approx(float(np.mean(ratios < observed)), abs=0.015)


def test_one_trial_deflates_nothing() -> None:
    returns = np.array([0.01, -0.005, 0.02, 0.003, -0.01, 0.004])
    assert expected_max_sharpe(0.5, 1) == 0
    assert deflated_sharpe(returns, [0.3]) == sharpe_probability(returns)


def test_the_deflated_ratio_is_the_probability_above_the_best_by_luck() -> None:
    returns, sharpes = np.array([0.01, -0.005, 0.02, 0.003, -0.01, 0.004]), [0.1, 0.3, -0.2, 0.35]
    moments = sharpe(returns, 1), skew(returns), kurtosis(returns)
    observed, third, fourth = (0.0 if value is None else value for value in moments)
    luck = expected_max_sharpe(variance(sharpes), 4)
    assert deflated_sharpe(returns, sharpes) == pytest.approx(probabilistic_sharpe(observed, 6, third, fourth, luck))


def test_more_trials_deflate_more() -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.01, 400)
    own = sharpe(returns, 1)
    assert own is not None
    found = [deflated_sharpe(returns, [own, *np.linspace(-0.1, 0.1, count)]) for count in (1, 10, 100, 1000)]
    assert all(value is not None for value in found)
    assert found == sorted(found, key=lambda value: -(value or 0))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01, 0.01]])
def test_without_a_sharpe_ratio_there_is_no_probability(returns: list[float]) -> None:
    assert sharpe_probability(np.array(returns)) is None
    assert deflated_sharpe(np.array(returns), [0.1, 0.2]) is None


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=50))
def test_what_is_said_is_a_probability(numbers: list[float]) -> None:
    returns = np.array(numbers)
    found = sharpe_probability(returns)
    assert found is None or 0 <= found <= 1
    if found is not None:
        observed, third, fourth = sharpe(returns, 1), skew(returns), kurtosis(returns)
        assert observed is not None
        assert third is not None
        assert fourth is not None
        assert (found > 0.5) == (observed > 0) or math.isclose(found, 0.5)


def test_a_trillion_trials_are_no_infinity() -> None:
    assert math.isfinite(expected_max_sharpe(1.0, 10**12))
    assert expected_max_sharpe(1.0, 10**12) > expected_max_sharpe(1.0, 10**6)
