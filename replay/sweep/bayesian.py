"""Optuna's tree-structured Parzen estimator, asked for parameters and told what came of them."""

import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from replay.sweep.job import Trial
from replay.sweep.objective import Objective
from replay.sweep.space import Between, Dimension, Space


class Sampler:
    """Seeded: the same questions and answers in the same order give the same parameters."""

    def __init__(self, space: Space, objective: Objective, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._objective = objective
        self._distributions = {each.name: _distribution(each) for each in space.dimensions}
        with warnings.catch_warnings():
            # `constant_liar` keeps the trials of a batch apart from each other; optuna calls it experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(
            direction="maximize" if objective.direction == "max" else "minimize", sampler=sampler
        )
        self._asked: dict[tuple[Any, ...], list[optuna.Trial]] = {}
        self._told: dict[tuple[Any, ...], float | None] = {}

    @property
    def is_exhausted(self) -> bool:
        """Whether every combination has been tried."""
        return len(self._told) + len(self._asked) == self._space.size

    def ask(self) -> dict[str, Any] | None:
        """The parameters to try next; None where they have been tried, or are being tried."""
        trial = self._study.ask(self._distributions)
        parameters = {
            each.name: each.value(trial.params[each.name])
            if isinstance(each, Between)
            else each.values[trial.params[each.name]]
            for each in self._space.dimensions
        }
        key = tuple(parameters.values())
        if key in self._told:
            self._answer(trial, self._told[key])
            return None
        waiting = self._asked.setdefault(key, [])
        waiting.append(trial)
        return parameters | self._space.fixed if len(waiting) == 1 else None

    def tell(self, trial: Trial) -> None:
        """What came of parameters that were asked for."""
        key = tuple(trial.parameters[name] for name in self._space.names)
        value = self._told[key] = self._objective.value(trial)
        for asked in self._asked.pop(key):
            self._answer(asked, value)

    def _answer(self, asked: optuna.Trial, value: float | None) -> None:
        if value is None:
            # Pruned counts as worse than any value, so that the search leaves there; a failed one would say nothing.
            self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(asked, value)


def _distribution(dimension: Dimension) -> BaseDistribution:
    """Steps are told apart by their index: neighbours are alike in a range, and not in a choice."""
    if isinstance(dimension, Between):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.scale == "log")
    if dimension.ordered:
        return IntDistribution(0, len(dimension.values) - 1)
    return CategoricalDistribution(range(len(dimension.values)))
