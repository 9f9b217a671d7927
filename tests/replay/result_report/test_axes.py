"""Axes hold what is drawn on them, and their ticks are round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.values import DAY, parse_time
from replay.result_report.axes import HOUR, number_text, round_step, time_ticks, value_scale

JUNE = parse_time("2022-06-15T10:20:30Z")
NUMBERS = st.floats(-1e12, 1e12, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(st.lists(NUMBERS, min_size=1))
def test_all_values_lie_between_the_ends(values: list[float]) -> None:
    scale, ticks = value_scale(np.array(values), 100.0, 0.0)
    room = 1e-6 * max(1.0, abs(ticks[0]), abs(ticks[-1]))
    assert ticks[0] - room <= min(values)
    assert max(values) <= ticks[-1] + room
    assert 2 <= len(ticks) <= 9
    assert all(-1e-3 <= pixel <= 100 + 1e-3 for pixel in scale.at(np.array(values)))
    assert scale.of(ticks[0]) == pytest.approx(100)
    assert scale.of(ticks[-1]) == pytest.approx(0)


def test_nothing_and_one_value_have_an_axis_too() -> None:
    assert value_scale(np.empty(0), 100.0, 0.0)[1]
    scale, ticks = value_scale(np.array([5.0, 5.0]), 100.0, 0.0)
    assert ticks[0] < 5 < ticks[-1]
    assert 0 < scale.of(5.0) < 100


@pytest.mark.parametrize(
    ("least", "step"), [(0.9, 1), (1.0, 1), (1.1, 2), (2.1, 5), (6, 10), (0.00012, 0.0002), (730, 1000)]
)
def test_steps_are_round(least: float, step: float) -> None:
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(12_000.0, 500.0, "12,000"), (0.1 + 0.2, 0.1, "0.3"), (-0.0004, 0.05, "0.00"), (-2.5, 0.5, "-2.5"), (0.02, 0.005, "0.020")],
)  # fmt: skip
def test_a_tick_has_the_places_of_its_step(value: float, step: float, text: str) -> None:
    assert number_text(value, step) == text


@pytest.mark.parametrize(
    ("length", "first", "count"),
    [
        (10 * HOUR, "12:00", 5),
        (3 * DAY, "12:00", 6),
        (20 * DAY, "2022-06-17", 5),
        (365 * DAY, "2022-07", 6),
        (3650 * DAY, "2024", 5),
    ],
)
def test_times_are_round_and_few(length: int, first: str, count: int) -> None:
    ticks = time_ticks(JUNE, JUNE + length)
    assert ticks[0][1] == first
    assert len(ticks) == count
    assert all(JUNE <= at <= JUNE + length for at, _ in ticks)


@given(st.integers(0, 2 * 10**15), st.integers(0, 5 * 10**15))
def test_any_stretch_has_few_ticks_in_order(start: int, length: int) -> None:
    ticks = time_ticks(start, start + length)
    assert len(ticks) <= 11
    assert all(start <= at <= start + length for at, _ in ticks)
    assert [at for at, _ in ticks] == sorted({at for at, _ in ticks})
