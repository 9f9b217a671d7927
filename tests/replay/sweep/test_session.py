"""A sweep and a walk-forward from start to files."""

import csv
import json
from pathlib import Path

import pytest

from domain.errors import InputError
from replay.sweep.job import unseen
from replay.sweep.objective import Objective
from replay.sweep.search import Search
from replay.sweep.session import Course, Engine, Question, sweep, walk_forward
from replay.sweep.space import read_space
from replay.sweep.walk_forward import Plan
from tests.replay.sweep.jobs import Cross, Hill, check_cross
from tests.replay.sweep.test_walk_forward import RETURN, SPACE, Fashion, days

ABOUT = {"instrument": "BTC/USDT"}


def test_a_sweep_over_processes_leaves_its_files(tmp_path: Path) -> None:
    space = read_space(["fast=10..40:10", "slow=30|60"], Cross, check_cross)
    question = Question("hill", space, Search("grid"), Objective("sharpe", "max"))
    told: list[int] = []
    summary = sweep(question, Hill(deadly=10), Engine("processes", 2), tmp_path, told.append, ABOUT)
    assert summary["counts"] == {"trials": 8, "done": 4, "without_value": 0, "skipped": 2, "failed": 2}
    assert summary["best"][0]["parameters"] == {"fast": 20, "slow": 60}
    assert {each["error"] for each in summary["failed"]} == {"its process ended: killed by SIGKILL"}
    assert told[-1] == 6
    written = json.loads((tmp_path / "sweep.json").read_text())
    assert written == {name: value for name, value in summary.items() if name != "files"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(summary["files"])


def test_a_walk_forward_leaves_its_files(tmp_path: Path) -> None:
    question = Question("fashion", SPACE, Search("grid"), RETURN)
    course = Course(Plan("rolling", 10, 10, 10), days(0, 50))
    summary = walk_forward(question, course, Fashion(10), Engine("processes", 1), tmp_path, unseen, ABOUT)
    assert summary["out_of_sample"]["total_return"] == pytest.approx(0.995**40 - 1)
    assert summary["plan"] == {"anchor": "rolling", "train": 10, "test": 10, "step": 10}
    assert json.loads((tmp_path / "walk_forward.json").read_text()) == summary
    with (tmp_path / "windows.csv").open(newline="") as file:
        assert [row["fast"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    with (tmp_path / "returns.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert float(rows[-1]["growth"]) == pytest.approx(0.995**40)


def test_nothing_is_written_for_a_plan_that_does_not_fit(tmp_path: Path) -> None:
    question = Question("fashion", SPACE, Search("grid"), RETURN)
    with pytest.raises(InputError, match="are 60 days, and there are 50 whole ones"):
        walk_forward(
            question, Course(Plan("rolling", 50, 10, 10), days(0, 50)), Fashion(10), Engine(), tmp_path, unseen, ABOUT
        )
    assert list(tmp_path.iterdir()) == []
