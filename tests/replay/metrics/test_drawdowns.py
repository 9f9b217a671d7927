from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.metrics.drawdowns import Drawdown, deepest, depths, episodes, largest

series = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def test_a_drawdown_runs_from_the_last_height_to_the_first_value_back_at_it() -> None:
    values = np.array([100, 120, 120, 90, 60, 100, 120, 130], np.int64)
    assert deepest(values) == largest(values) == Drawdown(-0.5, 60, 2, 4, 6)


def test_one_that_is_not_over_has_no_recovery() -> None:
    values = np.array([100, 50, 80], np.int64)
    assert deepest(values) == Drawdown(-0.5, 50, 0, 1, None)
    found = episodes(values)
    assert (found.peaks.tolist(), found.ends.tolist(), found.depths.tolist()) == ([0], [2], [-0.5])


def test_the_deepest_need_not_be_the_largest() -> None:
    values = np.array([1000, 500, 1000, 11_000, 10_000], np.int64)
    assert deepest(values) == Drawdown(-0.5, 500, 0, 1, 2)
    assert largest(values) == Drawdown(-1000 / 11_000, 1000, 3, 4, None)


def test_what_never_falls_has_none() -> None:
    values = np.array([1, 2, 2, 3], np.int64)
    assert deepest(values) is None
    assert largest(values) is None
    assert len(episodes(values).peaks) == 0


@given(series)
def test_episodes_are_a_walk_value_by_value(numbers: list[int]) -> None:
    walked: list[tuple[int, int, float]] = []
    height = row_of_height = 0
    lowest: int | None = None
    for row, value in enumerate(numbers):
        if value >= height:
            if lowest is not None:
                walked.append((row_of_height, row, (lowest - height) / height))
            height, row_of_height, lowest = value, row, None
        else:
            lowest = value if lowest is None else min(lowest, value)
    if lowest is not None:
        walked.append((row_of_height, len(numbers) - 1, (lowest - height) / height))
    found = episodes(np.array(numbers, np.int64))
    assert list(zip(found.peaks.tolist(), found.ends.tolist(), found.depths.tolist(), strict=True)) == walked


@given(series)
def test_the_deepest_is_the_deepest_of_all_pairs(numbers: list[int]) -> None:
    values = np.array(numbers, np.int64)
    pairs = [(low - high) / high for row, high in enumerate(numbers) for low in numbers[row:]]
    found = deepest(values)
    assert (0.0 if found is None else found.depth) == min(pairs) == depths(values).min()
    amounts = [high - low for row, high in enumerate(numbers) for low in numbers[row:]]
    most = largest(values)
    assert (0 if most is None else most.amount) == max(amounts)


@given(series)
def test_what_a_drawdown_says_of_its_rows_is_so(numbers: list[int]) -> None:
    found = deepest(np.array(numbers, np.int64))
    if found is not None:
        height = numbers[found.peak]
        assert found.peak < found.trough
        assert numbers[found.trough] == height - found.amount
        end = len(numbers) if found.recovered is None else found.recovered
        assert all(value < height for value in numbers[found.peak + 1 : end])
        assert found.recovered is None or numbers[found.recovered] >= height


@given(series)
def test_episodes_do_not_overlap(numbers: list[int]) -> None:
    found = episodes(np.array(numbers, np.int64))
    assert all(end <= peak for end, peak in pairwise_ends(found.peaks.tolist(), found.ends.tolist()))


def pairwise_ends(peaks: list[int], ends: list[int]) -> list[tuple[int, int]]:
    """The end of each with the beginning of the next."""
    return [(end, after) for (_, end), (after, _) in pairwise(zip(peaks, ends, strict=True))]
