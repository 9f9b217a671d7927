"""Walk-forward: windows that never look ahead, the choice of each traded behind it, and what that came to."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from domain.errors import InputError
from domain.values import DAY, Time, parse_time
from replay.sweep.job import Evaluate, Window, unseen
from replay.sweep.objective import Objective
from replay.sweep.processes import here, processes
from replay.sweep.search import Search
from replay.sweep.space import read_space
from replay.sweep.walk_forward import Plan, WalkForward, read_plan, walk
from tests.replay.sweep.jobs import Cross, check_cross

START = parse_time("2022-01-01T00:00:00Z")
SPACE = read_space(["fast=1..9", "slow=9"], Cross, check_cross)
RETURN = Objective("total_return", "max")


def days(first: int, last: int) -> Window:
    return Window(Time(START + first * DAY), Time(START + last * DAY))


class Fashion(Struct, frozen=True):
    """A market in which one fast mean earns a percent a day, until the fashion changes; all others lose half a percent.

    On day d it is `1 + d // turn`.
    """

    turn: int

    def prepare(self) -> Evaluate:
        def evaluate(parameters: Mapping[str, Any], window: Window | None) -> Mapping[str, Any]:
            assert window is not None
            first, last = ((at - START) // DAY for at in (window.start, window.end))
            returns = [0.01 if parameters["fast"] == 1 + day // self.turn else -0.005 for day in range(first, last)]
            total = math.prod(1 + each for each in returns) - 1
            return {"total_return": total, "sharpe": None, "trades": len(returns), "daily_returns": returns}

        return evaluate


def walked(plan: Plan, job: Fashion, market: Window) -> WalkForward:
    with here(job) as run:
        return walk(plan, market, Search("grid"), SPACE, RETURN, run, unseen)


def test_rolling_windows_move_on_and_anchored_ones_grow() -> None:
    rolling = Plan("rolling", 10, 5, 5).windows(days(0, 27))
    assert rolling == [
        (days(0, 10), days(10, 15)),
        (days(5, 15), days(15, 20)),
        (days(10, 20), days(20, 25)),
    ]
    anchored = Plan("anchored", 10, 5, 7).windows(days(0, 27))
    assert anchored == [(days(0, 10), days(10, 15)), (days(0, 17), days(17, 22)), (days(0, 24), days(24, 29))][:2]


def test_windows_are_whole_days() -> None:
    """A market that begins and ends in the middle of a day has as many whole days as lie between."""
    market = Window(Time(START + 1), Time(START + 4 * DAY - 1))
    assert Plan("rolling", 1, 1, 1).windows(market) == [(days(1, 2), days(2, 3))]
    with pytest.raises(InputError, match="are 3 days, and there are 2 whole ones, 2022-01-01T00:00:00"):
        Plan("rolling", 2, 1, 1).windows(market)


@given(
    anchor=st.sampled_from(["rolling", "anchored"]),
    train=st.integers(1, 40),
    test=st.integers(1, 20),
    more=st.integers(0, 20),
    length=st.integers(1, 200),
)
def test_no_choice_has_seen_its_test_and_no_day_is_traded_twice(
    anchor: Any, train: int, test: int, more: int, length: int
) -> None:
    plan, market = Plan(anchor, train, test, test + more), days(0, length)
    if train + test > length:
        with pytest.raises(InputError, match="allowed: no more than there are"):
            plan.windows(market)
        return
    pairs = plan.windows(market)
    for trained, tested in pairs:
        assert market.start <= trained.start < trained.end == tested.start < tested.end <= market.end
        assert tested.end - tested.start == test * DAY
        assert trained.end - trained.start == train * DAY or anchor == "anchored"
    ends = [market.start, *(tested.end for _, tested in pairs)]
    assert all(tested.start >= end for (_, tested), end in zip(pairs, ends, strict=False))
    # One more would not have fitted.
    assert pairs[-1][1].end + plan.step * DAY > market.end


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("rolling", 0, 5, None), "--train is 0; allowed: 1 day or more"),
        (("rolling", 5, -1, None), "--test is -1; allowed"),
        (("rolling", 5, 5, 4), "--every is 4; allowed: 5 or more"),
        (("sliding", 5, 5, 5), "--windows is 'sliding'; allowed: anchored, rolling"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(arguments: Any, refusal: str) -> None:
    with pytest.raises(InputError) as refused:
        read_plan(*arguments)
    assert refusal in str(refused.value)
    assert read_plan("anchored", 30, 7, None) == Plan("anchored", 30, 7, 7)


def test_where_fashion_lasts_the_choice_pays() -> None:
    """Given a fashion of 100 days, when it is chosen on 10 and traded on 5, then each test earns a percent a day."""
    result = walked(Plan("rolling", 10, 5, 5), Fashion(100), days(0, 30))
    assert [leg.chosen.parameters["fast"] for leg in result.legs if leg.chosen] == [1] * 4
    assert result.returns.tolist() == [0.01] * 20
    assert result.efficiency == pytest.approx(1)
    said = result.summary(365)
    assert said["total_return"] == pytest.approx(1.01**20 - 1)
    assert (said["windows"], said["traded"], said["days"]) == (4, 4, 20)
    assert (said["from"], said["to"]) == ("2022-01-11T00:00:00Z", "2022-01-31T00:00:00Z")


def test_where_fashion_ends_with_the_training_the_choice_loses() -> None:
    """The best of the training windows loses in every test: in sample all is gain, out of sample all is loss."""
    result = walked(Plan("rolling", 10, 10, 10), Fashion(10), days(0, 50))
    assert [leg.chosen.parameters["fast"] for leg in result.legs if leg.chosen] == [1, 2, 3, 4]
    assert result.returns.tolist() == [-0.005] * 40
    assert result.efficiency == pytest.approx(math.log(0.995) / math.log(1.01))
    rows = result.rows()
    assert [row["fast"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["train_total_return"] == pytest.approx(1.01**10 - 1)
    assert rows[0]["test_total_return"] == pytest.approx(0.995**10 - 1)
    assert (rows[1]["train_from"], rows[1]["test_from"]) == ("2022-01-11T00:00:00Z", "2022-01-21T00:00:00Z")


def test_an_anchored_choice_goes_by_all_that_was_and_a_rolling_one_by_the_last() -> None:
    chosen = {}
    for anchor in ("anchored", "rolling"):
        legs = walked(read_plan(anchor, 10, 5, 5), Fashion(12), days(0, 30)).legs
        chosen[anchor] = [leg.chosen.parameters["fast"] for leg in legs if leg.chosen]
    assert chosen == {"anchored": [1, 1, 1, 1], "rolling": [1, 1, 2, 2]}


def test_a_window_without_a_choice_is_not_traded_and_said() -> None:
    with here(Fashion(10)) as run:
        result = walk(
            Plan("rolling", 5, 5, 5), days(0, 20), Search("grid"), SPACE, Objective("sharpe", "max"), run, unseen
        )
    assert result.returns.tolist() == [0.0] * 15
    assert {row["note"] for row in result.rows()} == {"no trial had a value: not traded"}
    assert result.efficiency is None
    assert result.summary(365)["traded"] == 0


class Ruin(Struct, frozen=True):
    """A market that earns a percent a day for ten days, and then takes all."""

    def prepare(self) -> Evaluate:
        def evaluate(parameters: Mapping[str, Any], window: Window | None) -> Mapping[str, Any]:
            assert window is not None
            lost = window.end > START + 10 * DAY
            return {
                "total_return": -1.2 if lost else 0.1,
                "trades": 3,
                "daily_returns": [] if lost else [0.01] * ((window.end - window.start) // DAY),
            }

        return evaluate


def test_a_window_that_takes_all_is_a_loss_of_all() -> None:
    with here(Ruin()) as run:
        result = walk(Plan("rolling", 5, 5, 5), days(0, 15), Search("grid"), SPACE, RETURN, run, unseen)
    assert result.returns.tolist() == [0.01] * 5 + [-1.0]
    assert result.summary(365)["total_return"] == -1
    assert result.rows()[1]["note"] == "nothing was left: counted as a loss of all"
    assert result.return_rows()[-1] == {"window": 2, "day": 1, "return": -1.0, "growth": 0.0}
    assert result.efficiency is None


@pytest.mark.parametrize("kind", ["random", "bayesian"])
def test_the_processes_do_not_show(kind: Any) -> None:
    space = read_space(["fast=1..50", "slow=100", "band=0..1"], Cross, check_cross)
    told: list[int] = []
    results = []
    for engine in (here(Fashion(10)), processes(Fashion(10), 2)):
        with engine as run:
            results.append(
                walk(Plan("rolling", 10, 5, 5), days(0, 30), Search(kind, trials=10), space, RETURN, run, told.append)
            )
    alone, shared = results
    assert alone.legs == shared.legs
    assert np.array_equal(alone.returns, shared.returns)
    assert told[-1] == 4 * 10 + 4
