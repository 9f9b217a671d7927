"""What is run many times: a job that a process prepares once, its tasks, and the trials that come of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from domain.values import Time, time_text

Parameters = Mapping[str, Any]


class Window(Struct, frozen=True):
    """A stretch of the market: candles that open from `start` on and before `end`."""

    start: Time
    end: Time

    def __str__(self) -> str:
        return f"{time_text(self.start)} to {time_text(self.end)}"


Evaluate = Callable[[Parameters, Window | None], Mapping[str, Any]]
"""One backtest: its outcome by name, None where a figure is not defined, and `daily_returns`, a list."""

DAILY_RETURNS = "daily_returns"


class Job(Protocol):
    """What each process is given and prepares once; it can be pickled, and means the same on every machine."""

    def prepare(self) -> Evaluate:
        """Load what all its backtests share."""
        ...


class Task(Struct, frozen=True, array_like=True):
    """One backtest to be run. `keep_returns`: its daily returns are wanted, not only what they sum up to."""

    number: int
    parameters: dict[str, Any]
    window: Window | None = None
    keep_returns: bool = False


class Moments(Struct, frozen=True):
    """Daily returns summed up: how many, mean, standard deviation (n - 1), skew, kurtosis (0 where normal)."""

    count: int
    mean: float
    deviation: float
    skew: float
    kurtosis: float

    @property
    def sharpe(self) -> float:
        """Per day, not annualised."""
        return self.mean / self.deviation


Status = Literal["done", "skipped", "failed"]


class Trial(Struct, frozen=True):
    """What came of a task: an outcome, or why there is none.

    Skipped: the strategy refuses these parameters. Failed: the process that ran it died.
    """

    number: int
    parameters: dict[str, Any]
    outcome: dict[str, Any] = {}
    status: Status = "done"
    error: str = ""
    window: Window | None = None
    moments: Moments | None = None
    daily_returns: tuple[float, ...] = ()


Advance = Callable[[int], None]
"""Told how many tasks are done, as they are done."""

Run = Callable[[Sequence[Task], Advance], list[Trial]]
"""Run the tasks, wherever that is; the trials in the order of the tasks."""


def named(parameters: Parameters) -> str:
    """Parameters as a person types them: `fast=10 slow=30`."""
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def unseen(_done: int) -> None:
    """Nobody looks."""
