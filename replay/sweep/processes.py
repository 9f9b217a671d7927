"""The engine of several processes: each prepares the job once and is then given tasks in chunks.

A process that dies takes the task with it that it had under way: that trial has failed, with its parameters, and another
process goes on with the rest.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from domain.errors import InputError, TruetapeError
from replay.sweep.attempt import attempt, said, take_chunk
from replay.sweep.job import Advance, Job, Run, Task, Trial

DEATHS_MAX = 10
"""With more, the machine or the job is at fault and not a trial."""
SECONDS_TO_END = 5.0

# Not fork: the database driver and polars have threads, which a forked process would lose in the middle of their work.
_SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def here(job: Job) -> Iterator[Run]:
    """The engine of one process: this one."""
    evaluate = job.prepare()

    def run(tasks: Sequence[Task], advance: Advance) -> list[Trial]:
        trials = []
        for done, task in enumerate(tasks, start=1):
            trials.append(attempt(evaluate, task))
            advance(done)
        return trials

    yield run


@contextmanager
def processes(job: Job, count: int) -> Iterator[Run]:
    """The engine of `count` processes; they are gone when the block ends, however it ends."""
    if count < 1:
        raise InputError(f"--processes is {count}; allowed: 1 or more")
    crew = _Crew(job, count)
    try:
        crew.start()
        yield crew.run
    finally:
        crew.stop()


class _Worker:
    """A process, our end of its pipe, and the tasks it was given and has not answered."""

    def __init__(self, job: Job) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(target=_work, args=(theirs, job), daemon=True)
        self.given: deque[Task] = deque()
        self.is_ready = False
        with _interrupts_held():
            self.process.start()
        theirs.close()

    def how_it_ended(self) -> str:
        self.process.join(SECONDS_TO_END)
        code = self.process.exitcode
        if code is None:
            return "it does not answer"
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


class _Crew:
    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._count = count
        self._workers: list[_Worker] = []
        self._deaths = 0

    def start(self) -> None:
        for _ in range(self._count):
            self._workers.append(_Worker(self._job))

    def run(self, tasks: Sequence[Task], advance: Advance) -> list[Trial]:
        waiting = deque(tasks)
        trials: dict[int, Trial] = {}
        while len(trials) < len(tasks):
            for worker in list(self._workers):
                if waiting and worker.is_ready and not worker.given:
                    self._give(worker, waiting)
            busy = {each.pipe: each for each in self._workers if each.given or not each.is_ready}
            for pipe in wait(list(busy)):
                trial = self._hear(busy[pipe], waiting)  # type: ignore[index]  # typeshed: it may be a socket
                if trial is not None:
                    trials[trial.number] = trial
            advance(len(trials))
        return [trials[task.number] for task in tasks]

    def _give(self, worker: _Worker, waiting: deque[Task]) -> None:
        chunk = take_chunk(waiting, self._count)
        try:
            worker.pipe.send(chunk)
        except OSError:
            # It died while it had nothing to do, so no task is to blame.
            waiting.extendleft(reversed(chunk))
            self._replace(worker)
            return
        worker.given.extend(chunk)

    def _hear(self, worker: _Worker, waiting: deque[Task]) -> Trial | None:
        """The trial that a worker has done, or that it died of."""
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker, waiting)
        if isinstance(message, str):
            raise TruetapeError(message)
        if isinstance(message, Trial):
            worker.given.popleft()
            return message
        worker.is_ready = True
        return None

    def _bury(self, worker: _Worker, waiting: deque[Task]) -> Trial | None:
        how = worker.how_it_ended()
        if not worker.is_ready:
            raise TruetapeError(f"a process ended while it prepared its backtests: {how}")
        task = worker.given.popleft() if worker.given else None
        waiting.extendleft(reversed(worker.given))
        self._replace(worker)
        if task is None:
            return None
        return Trial(
            task.number, task.parameters, status="failed", error=f"its process ended: {how}", window=task.window
        )

    def _replace(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        _end(worker)
        self._deaths += 1
        if self._deaths > DEATHS_MAX:
            raise TruetapeError(f"{self._deaths} processes ended in the middle of trials: {worker.how_it_ended()}")
        self._workers.append(_Worker(self._job))

    def stop(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _end(worker)


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join(SECONDS_TO_END)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _work(pipe: Connection, job: Job) -> None:
    """A worker's life. Each answer is a trial, or what ends the search; ready is said with None."""
    try:
        evaluate = job.prepare()
    except Exception as error:  # noqa: BLE001  (it is told, and ends the search)
        pipe.send(said(error))
        return
    try:
        pipe.send(None)
        while True:
            for task in pipe.recv():
                pipe.send(attempt(evaluate, task))
    except TruetapeError as error:
        pipe.send(str(error))
    except (EOFError, BrokenPipeError):
        return  # nobody asks any more


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after the block, and a process that is started in it is born deaf to it.

    Ctrl-C reaches all processes of a terminal; the one that shows it to the user ends the others.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
