"""What a sweep leaves for its reader: trials.csv, trials.parquet, sweep.json, and heatmap.html of two parameters."""

import csv
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from domain.values import time_text
from infrastructure.market_data.atomic_file import written_whole
from replay.result import replacing, write_summary
from replay.sweep.doubt import Doubt, doubt
from replay.sweep.heat_map import heat_map_page
from replay.sweep.job import Parameters, Trial
from replay.sweep.objective import Objective
from replay.sweep.search import Search
from replay.sweep.space import Space

TRIALS_CSV, TRIALS_PARQUET, SWEEP_FILE, HEAT_MAP_FILE = "trials.csv", "trials.parquet", "sweep.json", "heatmap.html"
SHOWN = 10


class SweepResult(Struct, frozen=True):
    """A search that was run: its trials in the order in which they were chosen."""

    strategy: str
    space: Space
    search: Search
    objective: Objective
    trials: tuple[Trial, ...]

    def ranked(self) -> list[Trial]:
        """The trials with a value, best first."""
        return self.objective.ranked(self.trials)

    def doubt(self) -> Doubt | None:
        """What the best one is worth, knowing that it is the best of all."""
        ranked = self.ranked()
        return doubt(ranked[0], self.trials) if ranked else None

    def figures(self) -> tuple[str, ...]:
        """The names of all figures that a trial has, in the order of the first that has them."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in trial.outcome))

    def rows(self, trials: Sequence[Trial] | None = None) -> list[dict[str, Any]]:
        """A row for each trial: its number, what became of it, its parameters and its figures."""
        figures = self.figures()
        return [
            {
                "trial": trial.number,
                "status": trial.status,
                **{name: trial.parameters[name] for name in self.space.names},
                **{name: trial.outcome.get(name) for name in figures if name not in self.space.names},
                "error": trial.error,
            }
            for trial in (self.trials if trials is None else trials)
        ]

    def summary(self) -> dict[str, Any]:
        """The search, its counts, its best trials, and the doubt about the first."""
        ranked, counts = self.ranked(), Counter(trial.status for trial in self.trials)
        return {
            "strategy": self.strategy,
            "search": self.search.kind,
            **({} if self.search.kind == "grid" else {"seed": self.search.seed}),
            **({"batch": self.search.batch} if self.search.kind == "bayesian" else {}),
            "objective": {"name": self.objective.name, "direction": self.objective.direction},
            "searched": list(self.space.names),
            "fixed": plain(self.space.fixed),
            "counts": {
                "trials": len(self.trials),
                "done": counts["done"],
                "without_value": counts["done"] - len(ranked),
                "skipped": counts["skipped"],
                "failed": counts["failed"],
            },
            "best": [
                {"trial": trial.number, "parameters": plain(trial.parameters), **trial.outcome}
                for trial in ranked[:SHOWN]
            ],
            "overfitting": msgspec.to_builtins(self.doubt()),
            "failed": [
                {"parameters": plain(trial.parameters), "error": trial.error}
                for trial in self.trials
                if trial.status == "failed"
            ],
        }


def write_result(result: SweepResult, out: Path, extra: dict[str, Any]) -> list[str]:
    """Write the files of a sweep; their names. `extra` is said in sweep.json too: the market, the seconds."""
    rows = result.rows()
    write_rows(out / TRIALS_CSV, rows)
    write_parquet(out / TRIALS_PARQUET, rows)
    names = [TRIALS_CSV, TRIALS_PARQUET]
    if len(result.space.names) > 1:
        with replacing(out / HEAT_MAP_FILE) as file:
            file.write(heat_map_page(result.strategy, result.space, result.objective, result.trials))
        names.append(HEAT_MAP_FILE)
    write_summary(out / SWEEP_FILE, {**result.summary(), **extra})
    return [SWEEP_FILE, *names]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of the same columns as CSV; what is not defined is empty."""
    with replacing(path) as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The same as Parquet: whole numbers, floats, text; amounts as text, since they are exact."""
    columns = list(rows[0]) if rows else []
    frame = pl.DataFrame([pl.Series(name, [_cell(row[name]) for row in rows], strict=False) for name in columns])
    with written_whole(path) as part:
        frame.write_parquet(part)


def plain(parameters: Parameters) -> dict[str, Any]:
    """Parameters as JSON has them: amounts as text."""
    return {name: _cell(value) for name, value in parameters.items()}


def window_text(start: int, end: int) -> dict[str, str]:
    """A stretch of the market in a summary."""
    return {"from": time_text(start), "to": time_text(end)}


def _cell(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value
