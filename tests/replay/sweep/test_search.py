"""Searches: which trials, in which order, the same from the same seed however many processes run them."""

from typing import Any

import pytest

from domain.errors import InputError
from replay.sweep.job import Advance, Run, Trial, unseen
from replay.sweep.objective import Objective, read_objective
from replay.sweep.processes import here, processes
from replay.sweep.search import Search, draws, find, read_search
from replay.sweep.space import Space, read_space
from tests.replay.sweep.jobs import Cross, Hill, check_cross

SHARPE = Objective("sharpe", "max")
STEPS = read_space(["fast=5..50:5", "slow=10|40|60|80"], Cross, check_cross)
SMOOTH = read_space(["fast=1..100", "slow=2..200", "band=0..1"], Cross, check_cross)


def found(search: Search, space: Space, run: Run, advance: Advance = unseen) -> list[Trial]:
    return find(search, space, SHARPE, run, advance)


def test_a_grid_runs_all_in_order_and_skips_what_the_strategy_refuses() -> None:
    told: list[int] = []
    with here(Hill()) as run:
        trials = found(Search("grid"), STEPS, run, told.append)
    assert [trial.number for trial in trials] == list(range(40))
    assert [trial.parameters for trial in trials] == list(STEPS.grid())
    skipped = [trial for trial in trials if trial.status == "skipped"]
    assert all(trial.parameters["fast"] >= trial.parameters["slow"] for trial in skipped)
    assert len(skipped) == 9 + 3  # of slow 10 and 40
    assert told == list(range(1, 29))
    assert SHARPE.ranked(trials)[0].parameters == {"fast": 20, "slow": 60}


@pytest.mark.parametrize("kind", ["grid", "random", "bayesian"])
def test_the_processes_do_not_show_in_the_trials(kind: Any) -> None:
    search = Search(kind, trials=30, seed=7)
    space = STEPS if kind == "grid" else SMOOTH
    with here(Hill()) as run:
        alone = found(search, space, run)
        assert found(search, space, run) == alone
    with processes(Hill(), 2) as run:
        assert found(search, space, run) == alone
    assert [trial.number for trial in alone] == list(range(len(alone)))
    assert sum(trial.status == "done" for trial in alone) == (28 if kind == "grid" else 30)


@pytest.mark.parametrize("kind", ["random", "bayesian"])
def test_another_seed_gives_other_trials(kind: Any) -> None:
    with here(Hill()) as run:
        one, other = (found(Search(kind, trials=5, seed=seed), SMOOTH, run) for seed in (1, 2))
    assert [trial.parameters for trial in one] != [trial.parameters for trial in other]


def test_draws_are_known_for_good() -> None:
    """A seed that somebody wrote down gives the same trials in every version of Python."""
    drawn = list(draws(SMOOTH, Search("random", trials=2, seed=1)))
    assert [tuple(each.values()) for each in drawn] == [(14, 170, 0.763775), (26, 100, 0.449491)]


def test_random_draws_repeat_nothing_and_end_with_the_space() -> None:
    drawn = [tuple(each.items()) for each in draws(STEPS, Search("random", trials=1000))]
    assert len(set(drawn)) == len(drawn) == 40
    counted = [each for each in draws(STEPS, Search("random", trials=9)) if not STEPS.refusal(each)]
    assert len(counted) == 9


def test_a_space_that_refuses_everything_is_given_up() -> None:
    space = read_space(["fast=50..400", "slow=10..49", "band=0..1"], Cross, check_cross)
    for kind in ("random", "bayesian"):
        with here(Hill()) as run:
            trials = found(Search(kind, trials=3), space, run)
        assert {trial.status for trial in trials} == {"skipped"}
        assert len(trials) <= 300


def test_a_bayesian_search_finds_what_chance_does_not() -> None:
    """Over 2,000 steps and a continuous band; of ten seeds chance is better in few."""
    wins = 0
    with here(Hill()) as run:
        for seed in range(10):
            best = {
                kind: SHARPE.ranked(found(Search(kind, trials=60, seed=seed), SMOOTH, run))[0].outcome["sharpe"]
                for kind in ("bayesian", "random")
            }
            wins += best["bayesian"] > best["random"]
    assert wins >= 8


@pytest.mark.parametrize("kind", ["random", "bayesian"])
def test_a_logarithmic_range_is_drawn_in_its_logarithm(kind: Any) -> None:
    """Over four powers of ten half of the values are below the middle one; drawn evenly one in a hundred would be."""
    space = read_space(["fast=5|10", "slow=60", "band=0.0001..1:log"], Cross, check_cross)
    with here(Hill()) as run:
        trials = found(Search(kind, trials=10), space, run)
    assert sum(trial.parameters["band"] < 0.01 for trial in trials) >= 2


def test_a_bayesian_search_ends_with_its_space() -> None:
    space = read_space(["fast=5|10|20", "slow=60|70"], Cross, check_cross)
    with here(Hill()) as run:
        trials = found(Search("bayesian", trials=50), space, run)
    assert sorted(tuple(trial.parameters.values()) for trial in trials) == [
        (fast, slow) for fast in (5, 10, 20) for slow in (60, 70)
    ]


def test_a_bayesian_search_goes_where_it_is_sent() -> None:
    """The last twenty of sixty trials lie lower where the lowest is asked for than where the highest is."""
    mean = {}
    for text in ("sharpe:min", "sharpe:max"):
        with here(Hill()) as run:
            trials = find(Search("bayesian", trials=60), SMOOTH, read_objective(text), run, unseen)
        last = [trial.outcome["sharpe"] for trial in trials if trial.status == "done"][-20:]
        mean[text] = sum(last) / len(last)
    assert mean["sharpe:min"] < mean["sharpe:max"] - 3


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("best", None, 1), "--search is 'best'; allowed: grid, random, bayesian"),
        (("grid", 5, 1), "--trials with --search grid"),
        (("random", 0, 1), "--trials is 0; allowed: 1 or more"),
        (("random", 5, -1), "--seed is -1"),
        (("bayesian", 5, 1, 0), "--batch is 0"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(arguments: tuple[Any, ...], refusal: str) -> None:
    with pytest.raises(InputError) as refused:
        read_search(*arguments)
    assert refusal in str(refused.value)


def test_objectives() -> None:
    assert read_objective("sharpe") == SHARPE
    assert read_objective("max_drawdown").direction == "min"
    assert read_objective("trades:min") == Objective("trades", "min")
    for text in ("luck", "sharpe:up", "", "sharpe:"):
        with pytest.raises(InputError, match="--objective"):
            read_objective(text)


def test_ranking_leaves_out_what_has_no_value() -> None:
    outcomes: list[dict[str, Any]] = [
        {"sharpe": 1.0},
        {"sharpe": None},
        {"sharpe": 2.0},
        {},
        {"sharpe": float("nan")},
        {"sharpe": 2},
    ]
    trials = [Trial(number, {}, outcome) for number, outcome in enumerate(outcomes)]
    trials.append(Trial(9, {}, {"sharpe": 5.0}, status="failed"))
    assert [trial.number for trial in SHARPE.ranked(trials)] == [2, 5, 0]
    assert [trial.number for trial in Objective("sharpe", "min").ranked(trials)] == [0, 2, 5]
    drawdowns = [Trial(0, {}, {"max_drawdown": -0.3}), Trial(1, {}, {"max_drawdown": -0.1})]
    assert [trial.number for trial in read_objective("max_drawdown").ranked(drawdowns)] == [1, 0]
