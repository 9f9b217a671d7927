"""What a sweep leaves: a table, a page, a summary, and the doubt about its best."""

import csv
import json
import random
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from replay.metrics.overfitting import deflated_sharpe, sharpe_probability
from replay.sweep.attempt import moments_of
from replay.sweep.doubt import doubt
from replay.sweep.heat_map import Axis, axis_of, cells, heat_map_page
from replay.sweep.job import Trial, unseen
from replay.sweep.objective import Objective
from replay.sweep.processes import here
from replay.sweep.result import SweepResult, write_result
from replay.sweep.search import Search, find
from replay.sweep.space import Between, Choice, read_space
from tests.replay.sweep.jobs import Cross, Hill, check_cross

SHARPE = Objective("sharpe", "max")


def swept(search: Search, *texts: str) -> SweepResult:
    space = read_space(texts, Cross, check_cross)
    with here(Hill()) as run:
        return SweepResult("hill", space, search, SHARPE, tuple(find(search, space, SHARPE, run, unseen)))


STEPS = swept(Search("grid"), "fast=10..50:10", "slow=30|60|90", "notional=100.50")


def test_the_table_has_a_row_for_each_trial(tmp_path: Path) -> None:
    names = write_result(STEPS, tmp_path, {"instrument": "BTC/USDT"})
    assert names == ["sweep.json", "trials.csv", "trials.parquet", "heatmap.html"]
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert list(rows[0]) == [
        "trial", "status", "fast", "slow", "sharpe", "total_return", "max_drawdown", "trades", "profit_factor", "error",
    ]  # fmt: skip
    assert (rows[0]["fast"], rows[0]["slow"], rows[0]["sharpe"]) == ("10", "30", "3.5")
    assert (rows[6]["status"], rows[6]["sharpe"]) == ("skipped", "")
    assert rows[6]["error"] == "parameter fast is 30; allowed: below slow, 30"
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["sharpe"].to_list() == [trial.outcome.get("sharpe") for trial in STEPS.trials]
    assert frame["fast"].to_list() == [trial.parameters["fast"] for trial in STEPS.trials]


def test_the_summary_says_the_best_and_the_doubt(tmp_path: Path) -> None:
    write_result(STEPS, tmp_path, {"instrument": "BTC/USDT"})
    said = json.loads((tmp_path / "sweep.json").read_text())
    assert said["counts"] == {"trials": 15, "done": 12, "without_value": 0, "skipped": 3, "failed": 0}
    assert said["best"][0]["parameters"] == {"fast": 20, "slow": 60, "notional": "100.50"}
    assert said["best"][0]["sharpe"] == 4.0
    assert len(said["best"]) == 10
    assert said["overfitting"]["trials"] == 12
    assert 0 < said["overfitting"]["deflated_sharpe"] < said["overfitting"]["sharpe_probability"] < 1
    assert said["instrument"] == "BTC/USDT"
    assert "seed" not in said


def test_one_parameter_has_a_table_and_no_map(tmp_path: Path) -> None:
    result = swept(Search("grid"), "fast=10..50:10", "slow=60")
    assert "heatmap.html" not in write_result(result, tmp_path, {})


def test_amounts_stay_exact_in_the_files(tmp_path: Path) -> None:
    result = swept(Search("grid"), "notional=0.1..0.3:0.1", "fast=10|20", "slow=60")
    write_result(result, tmp_path, {})
    assert pl.read_parquet(tmp_path / "trials.parquet")["notional"].to_list() == [
        "0.1",
        "0.1",
        "0.2",
        "0.2",
        "0.3",
        "0.3",
    ]
    assert result.trials[0].parameters["notional"] == Decimal("0.1")


# --- the doubt -------------------------------------------------------------------------------------------------------


def noise(number: int, days: int, drift: float) -> tuple[Trial, list[float]]:
    chance = random.Random(number)
    returns = [chance.gauss(drift, 0.01) for _ in range(days)]
    return Trial(number, {}, {"sharpe": sum(returns)}, moments=moments_of(returns)), returns


def test_the_doubt_is_the_published_formula_on_the_days_themselves() -> None:
    """The trials keep four moments instead of their days; nothing is lost by it."""
    made = [noise(number, 250, 0.0005) for number in range(30)]
    trials = [trial for trial, _ in made]
    best, returns = max(made, key=lambda each: each[0].moments.sharpe if each[0].moments else 0)
    found = doubt(best, trials)
    assert found is not None
    expected = deflated_sharpe(np.array(returns), [trial.moments.sharpe for trial in trials if trial.moments])
    assert found.deflated_sharpe == pytest.approx(expected, rel=1e-12)
    assert found.sharpe_probability == pytest.approx(sharpe_probability(np.array(returns)), rel=1e-12)
    assert (found.trials, found.days) == (30, 250)


def test_the_best_of_noise_is_doubted_and_skill_is_not() -> None:
    """Of 200 strategies without any skill the best looks good alone: 99 %. Knowing of the others, nobody would buy it."""
    trials = [noise(number, 500, 0.0)[0] for number in range(200)]
    best = max(trials, key=lambda trial: trial.moments.sharpe if trial.moments else 0)
    found = doubt(best, trials)
    assert found is not None
    assert found.sharpe_probability is not None
    assert found.deflated_sharpe is not None
    assert found.sharpe_probability > 0.99
    assert found.deflated_sharpe < 0.75
    skilled, _ = noise(1000, 500, 0.003)
    found = doubt(skilled, [*trials, skilled])
    assert found is not None
    assert found.deflated_sharpe is not None
    assert found.deflated_sharpe > 0.99


def test_days_that_say_nothing_leave_no_doubt_to_be_said() -> None:
    assert moments_of([0.01] * 9) is None
    assert moments_of([0.01, 0.02, -0.01]) is None
    assert doubt(Trial(0, {}), [Trial(0, {})]) is None
    (alone, _) = noise(1, 100, 0.001)
    found = doubt(alone, [alone])
    assert found is not None
    assert (found.daily_sharpe_of_luck, found.deflated_sharpe) == (0.0, found.sharpe_probability)


# --- the heat map ----------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags of a page and what each cell says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_title = tag == "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.said.append(data)
            self._in_title = False


def test_a_cell_for_each_pair_and_a_frame_for_the_best() -> None:
    page = Page(heat_map_page("hill", STEPS.space, SHARPE, STEPS.trials))
    told = [each for each in page.said if each.startswith("slow ")]
    assert len(told) == 12
    assert "slow 60, fast 20: sharpe 4" in told
    frames = [attributes for tag, attributes in page.tags if tag == "rect" and attributes.get("class") == "best"]
    (best,) = (a for t, a in page.tags if t == "rect" and a.get("class") == "c9" and a.get("height") != "12.0")
    assert [(frame["x"], frame["y"]) for frame in frames] == [(best["x"], best["y"])]


def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    class Tricky(Cross, frozen=True, forbid_unknown_fields=True):
        """A parameter that is text."""

        name: str = ""

    texts = ["fast=10|20", "name=<script>alert(1)</script>|\"'><img src=x>", "slow=60"]
    space = read_space(texts, Tricky)
    with here(Hill()) as run:
        trials = find(Search("grid"), space, SHARPE, run, unseen)
    page = Page(heat_map_page("<b>hill</b>", space, SHARPE, trials))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "b", "link", "iframe"})
    assert not any(name in {"src", "href"} or name.startswith("on") for _, each in page.tags for name in each)
    assert "name <script>alert(1)</script>, fast 10: sharpe 3.75" in page.said


def test_more_parameters_make_a_map_for_each_pair_with_medians() -> None:
    result = swept(Search("grid"), "fast=10|20", "slow=60|90", "band=0|1|5")
    page = Page(heat_map_page("hill", result.space, SHARPE, result.trials))
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    assert "slow 60, fast 20: sharpe 3" in page.said


def test_many_values_are_put_together() -> None:
    axis = axis_of(Between("band", 0.01, 1.0, "log", float))
    assert len(axis.labels) == 20
    assert (axis.labels[0], axis.ticks[10]) == ("0.01 to 0.0126", "0.1")
    assert [axis.index(value) for value in (0.01, 0.0999, 0.101, 0.999, 1.0)] == [0, 9, 10, 19, 19]
    exact = axis_of(Between("notional", 1, 21, "lin", Decimal))
    assert [exact.index(Decimal(text)) for text in ("1", "1.99999", "2", "21")] == [0, 0, 1, 19]
    steps = axis_of(Choice("fast", tuple(range(1, 101)), ordered=True))
    assert (steps.labels[0], steps.ticks[1]) == ("1 to 5", "6")
    assert [steps.index(value) for value in (1, 50, 51, 100)] == [0, 9, 10, 19]
    trials = [Trial(n, {"fast": n, "band": 0.5}, {"sharpe": float(n)}) for n in range(1, 101)]
    one = Axis("band", ("0.5",), ("0.5",), (0.5,))
    found = cells(steps, one, SHARPE, trials)
    assert len(found) == 20
    assert found[0, 0] == 3  # the median of 1 to 5


def test_no_trial_with_a_value_makes_a_page_too() -> None:
    trials = tuple(Trial(trial.number, trial.parameters, {"sharpe": None}) for trial in STEPS.trials)
    assert "No trial has a sharpe." in heat_map_page("hill", STEPS.space, SHARPE, trials)
    assert SweepResult("hill", STEPS.space, STEPS.search, SHARPE, trials).summary()["overfitting"] is None


def test_the_lowest_is_the_lightest_where_lower_is_better() -> None:
    lowest = Objective("sharpe", "min")
    worst = min(STEPS.trials, key=lambda trial: trial.outcome.get("sharpe", 9.0))
    page = Page(heat_map_page("hill", STEPS.space, lowest, STEPS.trials))
    (frame,) = (a for t, a in page.tags if t == "rect" and a.get("class") == "best")
    (best,) = (a for t, a in page.tags if t == "rect" and a.get("class") == "c9" and a.get("height") != "12.0")
    assert (frame["x"], frame["y"]) == (best["x"], best["y"])
    assert worst.outcome["sharpe"] < 4
