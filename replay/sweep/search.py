"""How trials are chosen: all of a grid, by chance, or each batch by what the last ones gave."""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from domain.errors import InputError
from replay.sweep.job import Advance, Run, Task, Trial, Window
from replay.sweep.objective import Objective
from replay.sweep.space import Choice, Dimension, Space

if TYPE_CHECKING:
    from replay.sweep.bayesian import Sampler

Kind = Literal["grid", "random", "bayesian"]
KINDS: tuple[Kind, ...] = ("grid", "random", "bayesian")
TRIALS = 100
BATCH = 8
DRAWS_PER_TRIAL, ASKS_PER_TRIAL = 100, 10
"""A space that refuses nearly everything is given up after so many draws; asking a sampler takes milliseconds."""


class Search(Struct, frozen=True):
    """A search. The same one gives the same trials in the same order, however many processes run them.

    `trials` is how many a random or Bayesian search runs, those not counted that the strategy refuses; a grid runs all.
    A Bayesian search asks for `batch` trials at once, so that does not depend on the processes either.
    """

    kind: Kind = "grid"
    trials: int = TRIALS
    seed: int = 1
    batch: int = BATCH

    def total(self, space: Space) -> int:
        """How many trials there will be, at most."""
        return (space.size or 0) if self.kind == "grid" else self.trials


def read_search(kind: str, trials: int | None, seed: int, batch: int = BATCH) -> Search:
    """The search that the options ask for; raises InputError where they make no sense."""
    for known in KINDS:
        if kind == known:
            break
    else:
        raise InputError(f"--search is {kind!r}; allowed: {', '.join(KINDS)}")
    if known == "grid" and trials is not None:
        raise InputError("--trials with --search grid: a grid runs all its combinations; allowed: random or bayesian")
    for name, number in (("trials", TRIALS if trials is None else trials), ("batch", batch)):
        if number < 1:
            raise InputError(f"--{name} is {number}; allowed: 1 or more")
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed is {seed}; allowed: 0 to {2**32 - 1}")
    return Search(known, TRIALS if trials is None else trials, seed, batch)


def find(
    search: Search, space: Space, objective: Objective, run: Run, advance: Advance, window: Window | None = None
) -> list[Trial]:
    """Run the search on the window; its trials in the order in which they were chosen, refused ones among them."""
    if search.kind == "bayesian":
        return _bayesian(search, space, objective, run, advance, window)
    chosen = space.grid() if search.kind == "grid" else draws(space, search)
    trials: list[Trial | None] = []
    tasks: list[Task] = []
    for number, parameters in enumerate(chosen):
        if refusal := space.refusal(parameters):
            trials.append(_skipped(number, parameters, refusal, window))
        else:
            trials.append(None)
            tasks.append(Task(number, parameters, window))
    done = iter(run(tasks, advance))
    return [next(done) if trial is None else trial for trial in trials]


def draws(space: Space, search: Search) -> Iterator[dict[str, Any]]:
    """Combinations by chance, none twice, until as many as wanted are not refused."""
    chance = random.Random(search.seed)  # noqa: S311  (a search, not a secret)
    seen: set[tuple[Any, ...]] = set()
    wanted, left = search.trials, search.trials * DRAWS_PER_TRIAL
    while wanted and left and len(seen) != space.size:
        left -= 1
        values = tuple(_drawn(dimension, chance.random()) for dimension in space.dimensions)
        if values in seen:
            continue
        seen.add(values)
        parameters = dict(zip(space.names, values, strict=True)) | space.fixed
        wanted -= not space.refusal(parameters)
        yield parameters


def _drawn(dimension: Dimension, at: float) -> Any:
    """The value at a place between 0 and 1."""
    if isinstance(dimension, Choice):
        return dimension.values[int(at * len(dimension.values))]
    low, high = dimension.low, dimension.high
    return dimension.value(low * (high / low) ** at if dimension.scale == "log" else low + (high - low) * at)


def _bayesian(
    search: Search, space: Space, objective: Objective, run: Run, advance: Advance, window: Window | None
) -> list[Trial]:
    sampler = _sampler(space, objective, search.seed)
    trials: list[Trial] = []
    wanted, left = search.trials, search.trials * ASKS_PER_TRIAL
    numbers = itertools.count()
    while wanted and left and not sampler.is_exhausted:
        tasks: list[Task] = []
        while len(tasks) < min(search.batch, wanted) and left and not sampler.is_exhausted:
            left -= 1
            parameters = sampler.ask()
            if parameters is None:
                continue
            number = next(numbers)
            if refusal := space.refusal(parameters):
                skipped = _skipped(number, parameters, refusal, window)
                sampler.tell(skipped)
                trials.append(skipped)
            else:
                tasks.append(Task(number, parameters, window))
        done = run(tasks, from_on(search.trials - wanted, advance))
        for trial in done:
            sampler.tell(trial)
        trials += done
        wanted -= len(done)
    return sorted(trials, key=lambda trial: trial.number)


def _sampler(space: Space, objective: Objective, seed: int) -> "Sampler":
    try:
        from replay.sweep.bayesian import Sampler  # noqa: PLC0415  (optuna is an extra)
    except ModuleNotFoundError:
        raise InputError("--search bayesian needs optuna: pip install 'truetape[sweep]'") from None
    return Sampler(space, objective, seed)


def from_on(before: int, advance: Advance) -> Advance:
    """Progress of a part, told as progress of the whole: `before` were done when the part began."""
    return lambda done: advance(before + done)


def _skipped(number: int, parameters: Mapping[str, Any], refusal: str, window: Window | None) -> Trial:
    return Trial(number, dict(parameters), status="skipped", error=refusal, window=window)
