"""Where a statistic is not defined, and what its definition leaves to choose; tests/replay/metrics/test_reference.py has the rest."""

import numpy as np
import pytest

from replay.metrics import relative, statistics

MIXED = np.array([0.02, -0.01, 0.03, -0.04, 0.01])


def test_what_never_varies_has_no_deviation_though_floats_say_so() -> None:
    same = np.full(6, 0.1)
    assert same.std(ddof=1) > 0
    assert statistics.deviation(same) == 0
    assert statistics.annual_volatility(same, 365) == 0
    assert statistics.sharpe(same, 365) is None
    assert statistics.skew(same) is None
    assert statistics.kurtosis(same) is None


def test_beside_what_never_varies_there_is_no_slope() -> None:
    same, returns = np.full(6, 0.1), np.array([0.1, 0.2, -0.1, 0.0, 0.1, 0.3])
    assert relative.beta(returns, same) is None
    assert relative.alpha(returns, same, 365) is None
    assert relative.information_ratio(same + same, same) is None


def test_moments_are_those_of_the_returns_as_they_are() -> None:
    off = MIXED - MIXED.mean()
    assert statistics.skew(MIXED) == pytest.approx((off**3).mean() / off.std() ** 3)
    assert statistics.kurtosis(MIXED) == pytest.approx((off**4).mean() / off.std() ** 4 - 3)
    normal = np.random.default_rng(1).normal(size=200_000)
    assert statistics.skew(normal) == pytest.approx(0, abs=0.02)
    assert statistics.kurtosis(normal) == pytest.approx(0, abs=0.04)


def test_the_deviation_of_a_compounded_year_is_that_of_drawn_years() -> None:
    """Of independent returns, whatever their distribution: products of twelve, drawn."""
    months = np.random.default_rng(2).choice(MIXED, (200_000, 12))
    years = np.prod(1 + months, axis=1)
    # The formula puts the geometric mean for the arithmetic one, a difference of a hundredth here.
    sample = np.resize(MIXED, 10_000)
    assert statistics.compounded_volatility(sample, 12) == pytest.approx(float(years.std()), rel=0.02)


def test_the_shortfall_counts_the_value_at_risk_itself() -> None:
    returns = np.array([-0.1, -0.05, 0.0, 0.01, 0.02])
    assert statistics.value_at_risk(returns, 0.25) == -0.05
    assert statistics.expected_shortfall(returns, 0.25) == pytest.approx(-0.075)


def test_growth_without_a_bend_is_stable_and_no_more_than_that() -> None:
    assert statistics.stability(np.full(50, 0.01)) == pytest.approx(1.0)
    found = [statistics.stability(np.full(count, rate)) for count in range(2, 200) for rate in (0.01, -0.03, 0.1)]
    assert all(value is not None and value <= 1 for value in found)
    assert statistics.stability(np.zeros(5)) is None


def test_a_period_that_lost_everything_has_no_logarithm() -> None:
    lost = np.array([0.1, -1.0, 0.2])
    assert statistics.stability(lost) is None
    assert statistics.annual_return(lost, 365) == -1
    assert statistics.max_drawdown(lost) == -1


@pytest.mark.parametrize(("start", "end", "years"), [(0, 5, 1), (5, 6, 0), (-1, 5, 1), (1, 10, 1e-6)])
def test_growth_that_no_rate_describes(start: float, end: float, years: float) -> None:
    assert statistics.cagr(start, end, years) is None


def test_growth_to_nothing() -> None:
    assert statistics.cagr(5, 0, 2) == -1
    assert statistics.cagr(5, -1, 2) is None


def test_no_returns_have_no_statistics() -> None:
    none = np.empty(0)
    assert statistics.value_at_risk(none) is None
    assert statistics.expected_shortfall(none) is None
    assert statistics.compounded_volatility(none, 365) is None
    assert statistics.kurtosis(none) is None


def test_returns_too_small_to_square_are_no_error() -> None:
    tiny = np.array([0.0, 2e-241])
    assert statistics.skew(tiny) is None
    assert statistics.kurtosis(tiny) is None


def test_windows_roll_over_several_series() -> None:
    def spread(first: statistics.Floats, second: statistics.Floats) -> float:
        return float((first - second).sum())

    assert statistics.rolling(spread, 2, np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 1.0])) == [2, 4]
    assert statistics.rolling(spread, 4, np.zeros(3), np.zeros(3)) == []
