"""Monte Carlo on trade order: against all orders where they can be counted, and what must hold of any."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputError
from replay.sweep import monte_carlo
from replay.sweep.monte_carlo import paths_of, read_method, simulate

PROFITS = [50.0, -30.0, 20.0, -10.0, 5.0]
START = 100.0


def plainly(profits: tuple[float, ...], start: float) -> tuple[float, float, float]:
    """End, deepest drawdown and lowest equity of one path, by hand."""
    equity = height = low = start
    low, deepest = float("inf"), 0.0
    for profit in profits:
        equity += profit
        height, low = max(height, equity), min(low, equity)
        deepest = min(deepest, (equity - height) / height)
    return equity, deepest, low


@given(profits=st.lists(st.integers(-90, 90), min_size=1, max_size=12), start=st.integers(1, 1000))
def test_a_path_is_what_it_is_by_hand(profits: list[int], start: int) -> None:
    found = paths_of(np.array([profits], np.float64), float(start))
    assert tuple(float(each[0]) for each in found) == pytest.approx(plainly(tuple(profits), float(start)))


def test_shuffles_are_drawn_from_all_orders_alike() -> None:
    """120 orders can be counted; 20,000 shuffles agree with them. A draw that left an order out would not."""
    every = np.array([plainly(order, START) for order in itertools.permutations(PROFITS)])
    found = simulate(PROFITS, START, "shuffle", paths=20_000, seed=5)
    assert set(found.final_equity.values()) == {135.0}
    for name, value in found.max_drawdown.items():
        at = float(name.removeprefix("p"))
        around = np.percentile(every[:, 1], (max(0, at - 2), min(100, at + 2)))
        assert around[0] - 1e-12 <= value <= around[1] + 1e-12
    assert found.loss == 0.0
    assert found.actual_max_drawdown == pytest.approx(plainly(tuple(PROFITS), START)[1])


def test_bootstraps_are_drawn_from_all_draws_alike() -> None:
    every = np.array([plainly(draw, START) for draw in itertools.product(PROFITS, repeat=5)])
    found = simulate(PROFITS, START, "bootstrap", paths=40_000, seed=5)
    assert found.loss == pytest.approx(float((every[:, 0] < START).mean()), abs=0.01)
    assert found.final_equity["p50"] == pytest.approx(float(np.median(every[:, 0])), abs=3)
    assert found.actual_final_equity == 135.0


def test_the_same_seed_gives_the_same_paths_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(PROFITS, START, "shuffle", paths=1000, seed=3)
    assert simulate(PROFITS, START, "shuffle", paths=1000, seed=3) == whole
    assert simulate(PROFITS, START, "shuffle", paths=1000, seed=4) != whole
    for method in ("shuffle", "bootstrap"):
        monkeypatch.undo()
        whole = simulate(PROFITS, START, read_method(method), paths=1000, seed=3)
        monkeypatch.setattr(monte_carlo, "CELLS_AT_ONCE", 35)
        assert simulate(PROFITS, START, read_method(method), paths=1000, seed=3) == whole


@given(
    profits=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    start=st.floats(1, 1e6),
    method=st.sampled_from(["shuffle", "bootstrap"]),
)
def test_percentiles_are_ordered_and_drawdowns_are_none_or_falls(
    profits: list[float], start: float, method: str
) -> None:
    found = simulate(profits, start, read_method(method), paths=50)
    assert sorted(found.final_equity.values()) == list(found.final_equity.values())
    assert sorted(found.max_drawdown.values()) == list(found.max_drawdown.values())
    assert max(found.max_drawdown.values()) <= 0
    assert 0 <= found.loss <= 1
    assert 0 <= found.ruin <= 1
    if all(profit >= 0 for profit in profits):
        assert (found.loss, found.ruin, found.max_drawdown["p1"]) == (0, 0, 0)


def test_ruin_is_to_have_nothing_left_on_the_way() -> None:
    """All orders end at 110; in those that lose first nothing is left, which is half of them."""
    found = simulate([-100.0, 110.0], START, "shuffle", paths=20_000)
    assert found.loss == 0
    assert found.ruin == pytest.approx(0.5, abs=0.02)


def test_what_makes_no_sense_is_refused() -> None:
    for profits, start, paths, refusal in (
        ([], 100.0, 10, "there are no trades"),
        ([1.0, float("nan")], 100.0, 10, "must be finite"),
        ([1.0], 0.0, 10, "above 0; it is 0"),
        ([1.0], 100.0, 0, "--paths is 0; allowed"),
    ):
        with pytest.raises(InputError, match=refusal):
            simulate(profits, start, "shuffle", paths)
    with pytest.raises(InputError, match="--method is 'deal'; allowed: shuffle, bootstrap"):
        read_method("deal")
