"""What is drawn of many points has every extreme of them."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.result_report.report import Fills, Market, Series
from replay.result_report.sampling import column_width, counted, of_side, thinned
from replay.result_report.zoom import FILLS_MAX, zoom_data
from tests.replay.result_report.drawing import market

POINTS = st.lists(st.tuples(st.integers(0, 500), st.integers(-9, 9)), min_size=1, max_size=200)


def series(points: list[tuple[int, int]]) -> Series:
    """Times need not be even, nor a value unlike its neighbour."""
    times = np.unique(np.array([at for at, _ in points], np.int64))
    return Series(times, np.array([value for _, value in points][: len(times)], np.float64))


def envelope(full: Series, columns: int) -> dict[int, tuple[float, float]]:
    """The lowest and highest value of every column, point by point."""
    first, span = int(full.times[0]), max(1, int(full.times[-1] - full.times[0]))
    edges = [first + column * span // columns for column in range(columns)]
    found: dict[int, tuple[float, float]] = {}
    for at, value in zip(full.times.tolist(), full.values.tolist(), strict=True):
        column = max(number for number, edge in enumerate(edges) if edge <= at)
        low, high = found.get(column, (value, value))
        found[column] = (min(low, value), max(high, value))
    return found


@given(POINTS, st.integers(1, 20))
def test_no_extreme_of_a_column_is_lost(points: list[tuple[int, int]], columns: int) -> None:
    full = series(points)
    drawn = thinned(full, columns)
    assert envelope(drawn, columns) == envelope(full, columns)
    assert len(drawn.times) <= max(2 * columns + 2, 1)
    pairs = set(zip(full.times.tolist(), full.values.tolist(), strict=True))
    assert set(zip(drawn.times.tolist(), drawn.values.tolist(), strict=True)) <= pairs
    assert (np.diff(drawn.times) > 0).all()
    assert (drawn.times[0], drawn.times[-1]) == (full.times[0], full.times[-1])


def test_a_spike_of_one_candle_is_drawn_where_every_nth_would_lose_it() -> None:
    times, values = np.arange(10_000, dtype=np.int64), np.ones(10_000)
    values[4321] = 9.0
    assert thinned(Series(times, values), 100).values.max() == 9.0
    assert values[::100].max() == 1.0


@given(st.lists(st.tuples(st.integers(0, 999), st.booleans()), max_size=60), st.integers(1, 30))
def test_every_fill_is_counted_in_its_column(found: list[tuple[int, bool]], columns: int) -> None:
    found.sort(key=lambda fill: fill[0])
    times, sides = np.array([at for at, _ in found], np.int64), np.array([buy for _, buy in found], np.bool_)
    fills = Fills(times, np.ones(len(found)), sides)
    width = column_width(0, 1000, columns)
    assert width * columns >= 1000 > width * columns - columns
    for buys in (True, False):
        starts, counts = counted(of_side(fills, buys=buys), 0, 1000, columns)
        expected = Counter(at // width * width for at, is_buy in found if is_buy == buys)
        assert dict(zip(starts.tolist(), counts.tolist(), strict=True)) == expected


def test_what_is_looked_into_is_what_was_filled() -> None:
    drawn = market(5000, 700)
    data = json.loads(zoom_data(drawn, 1, {}, {}, {}))
    start = data["start"] * 1_000_000
    assert (start + np.cumsum(data["fill_times"]) * 1_000_000).tolist() == drawn.fills.times.tolist()
    assert (np.cumsum(data["fill_prices"]) / 100).tolist() == drawn.fills.prices.tolist()
    assert [side == "b" for side in data["sides"]] == drawn.fills.is_buy.tolist()
    assert (start + np.cumsum(data["times"]) * 1_000_000).tolist() == drawn.closes.times.tolist()
    assert (np.cumsum(data["prices"]) / 100).tolist() == drawn.closes.values.tolist()


@pytest.mark.parametrize(("share", "fits"), [(1, True), (FILLS_MAX // 700, True), (FILLS_MAX // 700 + 1, False)])
def test_fills_beyond_a_markets_share_are_left_out_whole(share: int, fits: bool) -> None:
    drawn: Market = market(5000, 700)
    data = json.loads(zoom_data(drawn, share, {}, {}, {}))
    assert {len(data[name]) for name in ("fill_times", "fill_prices", "sides")} == {700 if fits else 0}
