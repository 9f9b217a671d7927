"""The engine of a Ray cluster: one started here for the search, or a running one by its address or `RAY_ADDRESS`.

A cluster's machines need the same version of Truetape, and what the job loads where this machine has it.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from domain.errors import InputError, TruetapeError
from replay.sweep.attempt import attempt, said, take_chunk
from replay.sweep.job import Advance, Evaluate, Job, Run, Task, Trial
from replay.sweep.processes import DEATHS_MAX

OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster that is started here: it holds the job and the trials, not the market."""


@contextmanager
def on_ray(job: Job, address: str | None, count: int | None) -> Iterator[Run]:
    """The engine of `count` Ray workers, or of as many as the cluster has processors; without an address a local one."""
    if count is not None and count < 1:
        raise InputError(f"--processes is {count}; allowed: 1 or more")
    was_there = ray.is_initialized()
    if not was_there:
        _connect(address, count)
    try:
        cluster = _Cluster(job, _workers(count))
        try:
            cluster.start()
            yield cluster.run
        finally:
            cluster.stop()
    finally:
        if not was_there:
            ray.shutdown()


def _workers(count: int | None) -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # of theirs
    processors = max(1, int(resources.get("CPU", 1)))
    if count is not None and count > processors:
        # More would wait for a processor for ever.
        raise InputError(f"--processes is {count}; allowed: at most the {processors} processors of the cluster")
    return count or processors


def _connect(address: str | None, count: int | None) -> None:
    # Ray sends usage figures to its makers unless told otherwise; a trading desk's searches are nobody's business.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address is None:
            ray.init(
                "local", num_cpus=count, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **options
            )
        else:
            ray.init(address, **options)
    except (ConnectionError, ValueError, OSError, RuntimeError, RayError) as error:
        raise InputError(f"--engine {address or 'ray'}: Ray cannot be reached: {error}") from None


class _Worker:
    """What an actor is: a job prepared once, and its tasks. Errors are returned as text: they must not lose their words."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._evaluate: Evaluate | None = None

    def prepare(self) -> str:
        try:
            self._evaluate = self._job.prepare()
        except Exception as error:  # noqa: BLE001  (it is told, and ends the search)
            return said(error)
        return ""

    def run(self, tasks: list[Task]) -> list[Trial] | str:
        assert self._evaluate is not None
        try:
            return [attempt(self._evaluate, task) for task in tasks]
        except TruetapeError as error:
            return str(error)


class _Cluster:
    def __init__(self, job: Job, count: int) -> None:
        self._count = count
        self._deaths = 0
        self._job: Any = ray.put(job)
        self._actor: Any = ray.remote(num_cpus=1)(_Worker)
        self._workers: list[Any] = []

    def start(self) -> None:
        for _ in range(self._count):
            self._hire()

    def stop(self) -> None:
        for worker in self._workers:
            ray.kill(worker)

    def run(self, tasks: Sequence[Task], advance: Advance) -> list[Trial]:
        waiting, alone = deque(tasks), deque[Task]()
        idle = list(self._workers)
        given: dict[Any, tuple[Any, list[Task]]] = {}
        trials: dict[int, Trial] = {}
        while len(trials) < len(tasks):
            while idle and (waiting or alone):
                # Tasks of a worker that died go one by one, so that the one it died of is known.
                chunk = [alone.popleft()] if alone else take_chunk(waiting, self._count)
                worker = idle.pop()
                given[worker.run.remote(chunk)] = worker, chunk
            (done,), _ = ray.wait(list(given), num_returns=1)
            worker, chunk = given.pop(done)
            try:
                answer: list[Trial] | str = ray.get(done)
            except RayActorError as death:
                idle.append(self._replacement(worker, death))
                if len(chunk) > 1:
                    alone.extend(chunk)
                    continue
                answer = [_failed(chunk[0])]
            else:
                idle.append(worker)
            if isinstance(answer, str):
                raise TruetapeError(answer)
            trials.update((trial.number, trial) for trial in answer)
            advance(len(trials))
        return [trials[task.number] for task in tasks]

    def _hire(self) -> Any:
        worker = self._actor.remote(self._job)
        self._workers.append(worker)
        try:
            told = ray.get(worker.prepare.remote())
        except RayActorError:
            raise TruetapeError("a Ray worker ended while it prepared its backtests") from None
        if told:
            raise TruetapeError(told)
        return worker

    def _replacement(self, worker: Any, death: RayActorError) -> Any:
        self._workers.remove(worker)
        self._deaths += 1
        if self._deaths > DEATHS_MAX:
            raise TruetapeError(f"{self._deaths} Ray workers ended in the middle of trials: {death}") from None
        return self._hire()


def _failed(task: Task) -> Trial:
    return Trial(task.number, task.parameters, status="failed", error="its Ray worker ended", window=task.window)
