"""Walk-forward: parameters are chosen on one stretch of the market and traded on the next, again and again.

What the stretches behind the choices made, one after the other, is what the choosing was worth (Pardo 1992).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from msgspec import Struct

from domain.errors import InputError
from domain.values import DAY, Time, time_text
from replay.metrics import statistics
from replay.sweep.job import Advance, Run, Task, Trial, Window
from replay.sweep.objective import Objective, figure
from replay.sweep.search import Search, find, from_on
from replay.sweep.space import Space

Anchor = Literal["anchored", "rolling"]
WINDOWS_MAX = 10_000


class Plan(Struct, frozen=True):
    """Lengths in days. Rolling training windows move on; anchored ones begin at the beginning and grow."""

    anchor: Anchor
    train: int
    test: int
    step: int

    def windows(self, market: Window) -> list[tuple[Window, Window]]:
        """Training and test windows, oldest first, as many as the market's whole UTC days hold; at least one."""
        train, test, step = (days * DAY for days in (self.train, self.test, self.step))
        first, last = -(-market.start // DAY) * DAY, market.end // DAY * DAY
        count = (last - first - train - test) // step + 1
        if count < 1:
            raise InputError(
                f"--train {self.train} and --test {self.test} are {self.train + self.test} days, and there are "
                f"{max(0, last - first) // DAY} whole ones, {market}; allowed: no more than there are"
            )
        if count > WINDOWS_MAX:
            raise InputError(f"--every {self.step} makes {count:,} windows; allowed: at most {WINDOWS_MAX:,}")
        pairs = []
        for number in range(count):
            split = first + train + number * step
            start = first if self.anchor == "anchored" else split - train
            pairs.append((Window(Time(start), Time(split)), Window(Time(split), Time(split + test))))
        return pairs


def read_plan(anchor: str, train: int, test: int, step: int | None) -> Plan:
    """The plan that the options ask for; raises InputError where they make no sense. Without a step it is the test's."""
    step = test if step is None else step
    for name, days in (("train", train), ("test", test), ("every", step)):
        if days < 1:
            raise InputError(f"--{name} is {days}; allowed: 1 day or more")
    if step < test:
        raise InputError(
            f"--every is {step}; allowed: {test} or more, the length of a test: shorter ones would count days twice"
        )
    for known in get_args(Anchor):
        if anchor == known:
            return Plan(known, train, test, step)
    raise InputError(f"--windows is {anchor!r}; allowed: {', '.join(get_args(Anchor))}")


class Leg(Struct, frozen=True):
    """One step: the best trial of the training window and its parameters on the test window; None where none was found."""

    train: Window
    test: Window
    trials: int
    chosen: Trial | None = None
    tested: Trial | None = None


class WalkForward(Struct, frozen=True):
    """The legs, and the test windows' days one after the other."""

    names: tuple[str, ...]
    plan: Plan
    search: Search
    objective: Objective
    legs: tuple[Leg, ...]

    @property
    def returns(self) -> statistics.Floats:
        """The daily returns of all test windows. A window without a choice is not traded: nothing is gained or lost."""
        return np.concatenate([_days_of(leg) for leg in self.legs])

    def return_rows(self) -> list[dict[str, Any]]:
        """A row for each day of the test windows: its return, and the growth of all of them up to it."""
        rows, grown = [], 1.0
        for number, leg in enumerate(self.legs, start=1):
            for day, each in enumerate(_days_of(leg).tolist(), start=1):
                grown *= 1 + each
                rows.append({"window": number, "day": day, "return": each, "growth": grown})
        return rows

    @property
    def efficiency(self) -> float | None:
        """Growth a day in the test windows over growth a day in the training windows, in logarithms.

        1: as much was made as the choice promised. None where the choices promised no growth, or lost all.
        """
        pairs = [(leg.chosen, leg.tested) for leg in self.legs]
        promised = _growth_a_day([chosen for chosen, tested in pairs if chosen is not None and tested is not None])
        made = _growth_a_day([tested for chosen, tested in pairs if chosen is not None and tested is not None])
        if promised is None or made is None or promised <= 0:
            return None
        return made / promised

    def summary(self, periods: float) -> dict[str, Any]:
        """What the stitched test windows came to; `periods` are days of trading in a year."""
        returns = self.returns
        return {
            "windows": len(self.legs),
            "traded": sum(leg.tested is not None and leg.tested.status == "done" for leg in self.legs),
            "from": time_text(self.legs[0].test.start),
            "to": time_text(self.legs[-1].test.end),
            "days": len(returns),
            "total_return": statistics.total_return(returns),
            "annual_return": statistics.annual_return(returns, periods),
            "sharpe": statistics.sharpe(returns, periods),
            "max_drawdown": statistics.max_drawdown(returns),
            "efficiency": self.efficiency,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One leg each: its windows, what was chosen, and each side's objective and return."""
        return [self._row(number, leg) for number, leg in enumerate(self.legs, start=1)]

    def _row(self, number: int, leg: Leg) -> dict[str, Any]:
        chosen, tested = leg.chosen, leg.tested
        return {
            "window": number,
            "train_from": time_text(leg.train.start),
            "test_from": time_text(leg.test.start),
            "test_to": time_text(leg.test.end),
            "trials": leg.trials,
            **{name: None if chosen is None else chosen.parameters[name] for name in self.names},
            f"train_{self.objective.name}": None if chosen is None else self.objective.value(chosen),
            f"test_{self.objective.name}": None if tested is None else self.objective.value(tested),
            "train_return": None if chosen is None else figure(chosen.outcome, "total_return"),
            "test_return": None if tested is None else figure(tested.outcome, "total_return"),
            "test_trades": None if tested is None else tested.outcome.get("trades"),
            "note": _note(leg),
        }


def walk(
    plan: Plan, market: Window, search: Search, space: Space, objective: Objective, run: Run, advance: Advance
) -> WalkForward:
    """Search on every training window, then run what was best of each on its test window."""
    pairs = plan.windows(market)
    legs: list[Leg] = []
    done = 0
    for train, test in pairs:
        trials = find(search, space, objective, run, from_on(done, advance), train)
        done += sum(trial.status != "skipped" for trial in trials)
        best = next(iter(objective.ranked(trials)), None)
        legs.append(Leg(train, test, len(trials), best))
    tasks = [
        Task(number, leg.chosen.parameters, leg.test, keep_returns=True)
        for number, leg in enumerate(legs)
        if leg.chosen is not None
    ]
    tested = {trial.number: trial for trial in run(tasks, from_on(done, advance))}
    return WalkForward(
        space.names, plan, search, objective,
        tuple(Leg(leg.train, leg.test, leg.trials, leg.chosen, tested.get(number)) for number, leg in enumerate(legs)),
    )  # fmt: skip


def _days_of(leg: Leg) -> statistics.Floats:
    """The daily returns of a test window: zeros where it was not traded."""
    tested = leg.tested
    if tested is None or tested.status != "done":
        return np.zeros((leg.test.end - leg.test.start) // DAY)
    if _is_ruin(tested):
        return np.array([-1.0])
    return np.array(tested.daily_returns, np.float64)


def _is_ruin(tested: Trial) -> bool:
    """Whether there are no daily returns because the equity was not above zero on some day."""
    return tested.status == "done" and not tested.daily_returns and bool(tested.outcome.get("trades"))


def _growth_a_day(trials: Sequence[Trial]) -> float | None:
    growth, days = 0.0, 0.0
    for trial in trials:
        grown = figure(trial.outcome, "total_return")
        if grown is None or grown <= -1 or trial.window is None:
            return None
        growth += math.log1p(grown)
        days += (trial.window.end - trial.window.start) / DAY
    return growth / days if days else None


def _note(leg: Leg) -> str:
    if leg.chosen is None:
        return "no trial had a value: not traded"
    if leg.tested is not None and leg.tested.status != "done":
        return f"not traded: {leg.tested.error}"
    if leg.tested is not None and _is_ruin(leg.tested):
        return "nothing was left: counted as a loss of all"
    return ""
