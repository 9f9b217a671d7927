"""A sweep or a walk-forward from start to files: searched, written, summed up."""

import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from replay.metrics.metrics import PERIODS_PER_YEAR
from replay.result import write_summary
from replay.sweep.engines import open_engine
from replay.sweep.job import Advance, Job, Window
from replay.sweep.objective import Objective
from replay.sweep.result import SweepResult, plain, write_result, write_rows
from replay.sweep.search import Search, find
from replay.sweep.space import Space
from replay.sweep.walk_forward import Plan, walk

WALK_FILE, WINDOWS_FILE, RETURNS_FILE = "walk_forward.json", "windows.csv", "returns.csv"


class Question(Struct, frozen=True):
    """What is searched for: a strategy's parameters, in a space, by a search, for an objective."""

    strategy: str
    space: Space
    search: Search
    objective: Objective


class Course(Struct, frozen=True):
    """What a walk-forward walks: windows over a market, whose days make a year as they do in a backtest."""

    plan: Plan
    market: Window
    periods_per_year: float = PERIODS_PER_YEAR


class Engine(Struct, frozen=True):
    """Where it is searched: `processes`, `ray` or `ray://HOST:PORT`, with so many workers, or all processors."""

    name: str = "processes"
    count: int | None = None


def sweep(
    question: Question, job: Job, engine: Engine, out: Path, advance: Advance, about: dict[str, Any]
) -> dict[str, Any]:
    """Search, write the files into `out`, return the summary. `about` is said there too: the market, the account."""
    start = time.perf_counter()
    with open_engine(engine.name, job, engine.count) as run:
        trials = find(question.search, question.space, question.objective, run, advance)
    result = SweepResult(question.strategy, question.space, question.search, question.objective, tuple(trials))
    extra = {**about, "engine": engine.name, "seconds": round(time.perf_counter() - start, 4)}
    files = write_result(result, out, extra)
    return {**result.summary(), **extra, "files": files}


def walk_forward(
    question: Question, course: Course, job: Job, engine: Engine, out: Path, advance: Advance, about: dict[str, Any]
) -> dict[str, Any]:
    """The same for a walk-forward; its summary has the windows too."""
    plan = course.plan
    plan.windows(course.market)
    start = time.perf_counter()
    with open_engine(engine.name, job, engine.count) as run:
        result = walk(plan, course.market, question.search, question.space, question.objective, run, advance)
    summary = {
        "strategy": question.strategy,
        "search": question.search.kind,
        "seed": question.search.seed,
        "objective": {"name": question.objective.name, "direction": question.objective.direction},
        "searched": list(question.space.names),
        "fixed": plain(question.space.fixed),
        "plan": msgspec.to_builtins(plan),
        "out_of_sample": result.summary(course.periods_per_year),
        "windows": [plain(row) for row in result.rows()],
        **about,
        "engine": engine.name,
        "seconds": round(time.perf_counter() - start, 4),
        "files": [WALK_FILE, WINDOWS_FILE, RETURNS_FILE],
    }
    write_rows(out / WINDOWS_FILE, result.rows())
    write_rows(out / RETURNS_FILE, result.return_rows())
    write_summary(out / WALK_FILE, summary)
    return summary
