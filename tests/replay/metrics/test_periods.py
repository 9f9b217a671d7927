from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.values import DAY, Asset, Time, parse_time
from replay.metrics.curve import Curve
from replay.metrics.periods import day_ends, day_returns, period_returns

HOUR = DAY // 24


def curve_of(points: list[tuple[int, int]], initial: int = 100) -> Curve:
    """A curve of (time, equity)."""
    times, equity = (np.array(column, np.int64) for column in zip(*points, strict=True))
    return Curve(times, equity, np.zeros_like(equity), Time(int(times[0]) - 1), initial, 2, Asset("USDT"))


def at(text: str) -> int:
    return parse_time(text)


def test_midnight_ends_the_day_before_it() -> None:
    times = np.array([at("2022-01-01T23:00:00Z"), at("2022-01-02T00:00:00Z"), at("2022-01-02T01:00:00Z")], np.int64)
    assert day_ends(times).tolist() == [1, 2]


@given(st.lists(st.integers(1, 40 * 24), min_size=1, unique=True))
def test_the_last_of_each_day(hours: list[int]) -> None:
    times = np.array(sorted(hours), np.int64) * HOUR
    last = {(time - 1) // DAY: row for row, time in enumerate(times.tolist())}
    assert day_ends(times).tolist() == list(last.values())


def test_days_weeks_and_months_by_hand() -> None:
    # 2022-01-30 was a Sunday, the last day of the fourth week.
    points = [
        (at("2022-01-30T12:00:00Z"), 105),
        (at("2022-01-31T00:00:00Z"), 110),
        (at("2022-02-01T00:00:00Z"), 99),
        (at("2022-02-02T00:00:00Z"), 198),
    ]
    curve = curve_of(points)
    days = [(each.period, each.profit, each.change) for each in period_returns(curve, "day")]
    assert days == [("2022-01-30", "0.1", 0.1), ("2022-01-31", "-0.11", -0.1), ("2022-02-01", "0.99", 1.0)]
    weeks = [(each.period, each.profit, each.change) for each in period_returns(curve, "week")]
    assert weeks == [("2022-W04", "0.1", 0.1), ("2022-W05", "0.88", 0.8)]
    months = [(each.period, each.profit) for each in period_returns(curve, "month")]
    assert months == [("2022-01", "-0.01"), ("2022-02", "0.99")]
    assert day_returns(curve).tolist() == [0.1, -0.1, 1.0]


def test_a_day_without_a_candle_has_no_return() -> None:
    friday, monday = at("2022-01-08T00:00:00Z"), at("2022-01-11T00:00:00Z")
    assert day_returns(curve_of([(friday, 110), (monday, 121)])).tolist() == pytest.approx([0.1, 0.1])


def test_the_iso_year_of_a_week_may_be_another() -> None:
    curve = curve_of([(at("2023-01-01T12:00:00Z"), 100), (at("2024-12-30T12:00:00Z"), 100)])
    assert [each.period for each in period_returns(curve, "week")] == ["2022-W52", "2025-W01"]


def test_an_equity_that_was_not_above_zero_has_no_returns() -> None:
    curve = curve_of([(DAY, 100), (2 * DAY, 0), (3 * DAY, -50), (4 * DAY, 50)])
    assert len(day_returns(curve)) == 0
    assert [each.change for each in period_returns(curve, "day")] == [0.0, -1.0, None, None]


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    steps = draw(st.lists(st.tuples(st.integers(1, 40 * DAY), st.integers(1, 10**6)), min_size=1, max_size=40))
    time, points = draw(st.integers(0, 20_000)) * DAY, []
    for step, equity in steps:
        time += step
        points.append((time, equity))
    return curve_of(points, draw(st.integers(1, 10**6)))


@given(curves())
def test_periods_compound_to_the_whole_and_are_those_of_the_calendar(curve: Curve) -> None:
    labels: dict[str, list[str]] = {"day": [], "week": [], "month": []}
    for time in curve.times.tolist():
        on = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time - 1)
        year, week, _ = on.isocalendar()
        labels["day"].append(f"{on:%Y-%m-%d}")
        labels["week"].append(f"{year:04d}-W{week:02d}")
        labels["month"].append(f"{on:%Y-%m}")
    gained = int(curve.equity[-1]) - curve.initial
    for name in ("day", "week", "month"):
        found = period_returns(curve, name)
        assert [each.period for each in found] == list(dict.fromkeys(labels[name]))
        assert sum(Fraction(each.profit) for each in found) == Fraction(gained, 100)
    assert float(np.prod(1 + day_returns(curve))) == pytest.approx(int(curve.equity[-1]) / curve.initial)
