"""One task run in this process: its trial, with its daily returns summed up."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from domain.errors import InputError, TruetapeError
from replay.metrics import statistics
from replay.sweep.job import DAILY_RETURNS, Evaluate, Moments, Task, Trial, named

RETURNS_MIN = 4
"""With fewer returns the fourth moment says nothing."""
CHUNK_MAX = 32
"""Tasks that a worker is given at once: messages are few, and a worker that dies loses little."""


def attempt(evaluate: Evaluate, task: Task) -> Trial:
    """Run a task. What the strategy refuses is a skipped trial; any other error is said with the parameters."""
    try:
        outcome = dict(evaluate(task.parameters, task.window))
    except InputError as error:
        return Trial(task.number, task.parameters, status="skipped", error=str(error), window=task.window)
    except Exception as error:
        raise TruetapeError(f"the trial {named(task.parameters)} failed: {said(error)}") from error
    returns = outcome.pop(DAILY_RETURNS, None) or ()
    return Trial(
        task.number,
        task.parameters,
        outcome,
        window=task.window,
        moments=moments_of(returns),
        daily_returns=tuple(returns) if task.keep_returns else (),
    )


def said(error: BaseException) -> str:
    """An error as it is told: in its own words, with its type where it is none of ours."""
    return str(error) if isinstance(error, TruetapeError) else f"{type(error).__name__}: {error}"


def moments_of(returns: Sequence[float]) -> Moments | None:
    """The moments of a series; None where it is too short, or does not move."""
    series = np.asarray(returns, dtype=np.float64)
    if len(series) < RETURNS_MIN:
        return None
    deviation, skew, kurtosis = statistics.deviation(series), statistics.skew(series), statistics.kurtosis(series)
    if not deviation or skew is None or kurtosis is None:
        return None
    return Moments(len(series), float(series.mean()), deviation, skew, kurtosis)


def take_chunk(waiting: deque[Task], workers: int) -> list[Task]:
    """The next tasks for one of so many workers, in order: many at first, fewer in the end, so that all end together."""
    size = max(1, min(CHUNK_MAX, len(waiting) // (2 * workers)))
    return [waiting.popleft() for _ in range(min(size, len(waiting)))]
