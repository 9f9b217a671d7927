"""Where a search runs, by the name that `--engine` gives: processes of this machine, or Ray."""

import os
from contextlib import AbstractContextManager

from domain.errors import InputError
from replay.sweep.job import Job, Run
from replay.sweep.processes import here, processes

ALLOWED = "processes, ray, ray://HOST:PORT"


def open_engine(name: str, job: Job, count: int | None) -> AbstractContextManager[Run]:
    """The engine with `count` workers, all processors without it; raises InputError for a name that is none."""
    if name == "processes":
        wanted = len(os.sched_getaffinity(0)) if count is None else count
        return here(job) if wanted == 1 else processes(job, wanted)
    if name == "ray" or name.startswith("ray://"):
        try:
            from replay.sweep.ray_engine import on_ray  # noqa: PLC0415  (an extra, and slow to load)
        except ModuleNotFoundError:
            raise InputError(f"--engine {name} needs Ray: pip install 'truetape[ray]'") from None
        return on_ray(job, name if name.startswith("ray://") else None, count)
    raise InputError(f"--engine is {name!r}; allowed: {ALLOWED}")
