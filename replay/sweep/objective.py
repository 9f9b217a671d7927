"""What makes one trial better than another: a figure of its outcome, as large or as small as can be."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from msgspec import Struct

from domain.errors import InputError
from replay.sweep.job import Trial

Direction = Literal["max", "min"]

DIRECTIONS: Mapping[str, Direction] = {
    "sharpe": "max",
    "sortino": "max",
    "calmar": "max",
    "total_return": "max",
    "profit": "max",
    "profit_factor": "max",
    "win_rate": "max",
    "max_drawdown": "min",
    "fees": "min",
    "trades": "max",
}
"""The figures of an outcome, and which way is better unless one says otherwise."""


class Objective(Struct, frozen=True):
    """A figure and which way is better. A drawdown counts by its size, whatever its sign."""

    name: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.name}, {'highest' if self.direction == 'max' else 'lowest'}"

    def value(self, trial: Trial) -> float | None:
        """The figure of a trial; None where it has none that can be compared."""
        value = trial.outcome.get(self.name)
        if trial.status != "done" or value is None or not math.isfinite(value):
            return None
        return abs(float(value)) if self.name == "max_drawdown" else float(value)

    def ranked(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials that have a value, best first; of equals the one that came first."""
        sign = -1 if self.direction == "max" else 1
        found = [(value, trial) for trial in trials if (value := self.value(trial)) is not None]
        return [trial for _, trial in sorted(found, key=lambda each: (sign * each[0], each[1].number))]


def read_objective(text: str, known: Mapping[str, Direction] = DIRECTIONS) -> Objective:
    """`sharpe`, or with a direction `trades:min`; raises InputError for what no outcome has."""
    name, colon, direction = text.partition(":")
    if name not in known:
        raise InputError(f"--objective {text!r} is no figure of a backtest; allowed: {', '.join(known)}")
    if not colon:
        return Objective(name, known[name])
    for allowed in get_args(Direction):
        if direction == allowed:
            return Objective(name, allowed)
    raise InputError(f"--objective {text!r}; allowed: {name}, {name}:max, {name}:min")


def figure(outcome: Mapping[str, Any], name: str) -> float | None:
    """A figure of an outcome as a number; None where it is not defined."""
    value = outcome.get(name)
    return None if value is None else float(value)
