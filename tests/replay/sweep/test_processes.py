"""Searches over real processes: the same trials as in one, whoever dies on the way."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from domain.errors import InputError, TruetapeError
from domain.values import Time
from replay.sweep.attempt import CHUNK_MAX, take_chunk
from replay.sweep.job import Task, Window, unseen
from replay.sweep.processes import DEATHS_MAX, here, processes
from tests.replay.sweep.jobs import DAY, Counted, Dying, Hill, Unprepared

ROOT = Path(__file__).resolve().parents[3]
TASKS = [Task(number, {"fast": fast, "slow": 60}) for number, fast in enumerate(range(5, 80, 5))]


def test_two_processes_give_what_one_gives() -> None:
    told: list[int] = []
    with here(Hill()) as run:
        expected = run(TASKS, unseen)
    with processes(Hill(), 2) as run:
        assert run(TASKS, told.append) == expected
        # The same processes take more.
        assert run(TASKS[3:5], unseen) == expected[3:5]
        assert run([], unseen) == []
    assert told == sorted(told)
    assert told[-1] == len(TASKS)
    statuses = Counter(trial.status for trial in expected)
    assert statuses == {"done": 11, "skipped": 4}
    assert expected[-1].error == "parameter fast is 75; allowed: below slow, 60"
    best = max((trial for trial in expected if trial.status == "done"), key=lambda trial: trial.outcome["sharpe"])
    assert best.parameters == {"fast": 20, "slow": 60}


def test_a_window_and_the_returns_reach_the_trial() -> None:
    window = Window(Time(0), Time(6 * DAY))
    with processes(Hill(), 1) as run:
        (trial, other) = run(
            [Task(0, {"fast": 20, "slow": 60}, window, keep_returns=True), Task(1, {"fast": 20, "slow": 60})], unseen
        )
    assert trial.window == window
    assert trial.daily_returns == (-0.001, 0.004) * 3
    assert trial.moments is not None
    assert trial.moments.count == 6
    assert trial.moments.mean == pytest.approx(0.0015)
    assert other.daily_returns == ()
    assert other.moments is not None
    assert other.moments.count == 20


def test_a_job_is_prepared_once_in_each_process(tmp_path: Path) -> None:
    with processes(Counted(str(tmp_path)), 2) as run:
        trials = run([Task(number, {"fast": number}) for number in range(200)], unseen)
        again = run([Task(number, {"fast": number}) for number in range(200)], unseen)
    prepared = {path.stem: path.read_text() for path in tmp_path.iterdir()}
    # One may be so late that the other has done everything.
    assert list(prepared.values()) in (["x"], ["x", "x"])
    assert {str(trial.outcome["process"]) for trial in trials + again} <= set(prepared)
    assert str(os.getpid()) not in prepared


def test_a_process_that_dies_takes_one_trial_with_it() -> None:
    with processes(Hill(deadly=35), 2) as run:
        trials = run(TASKS, unseen)
    failed = [trial for trial in trials if trial.status == "failed"]
    assert [(trial.parameters, trial.error) for trial in failed] == [
        ({"fast": 35, "slow": 60}, "its process ended: killed by SIGKILL")
    ]
    with here(Hill()) as run:
        expected = run(TASKS, unseen)
    assert [trial for trial in trials if trial.status != "failed"] == [
        trial for trial in expected if trial.parameters["fast"] != 35
    ]


def test_where_everything_dies_the_search_ends() -> None:
    deadly = [Task(number, {"fast": 35, "slow": 60}) for number in range(DEATHS_MAX + 5)]
    with processes(Hill(deadly=35), 1) as run, pytest.raises(TruetapeError, match="killed by SIGKILL"):
        run(deadly, unseen)
    with processes(Dying(), 2) as run, pytest.raises(TruetapeError, match="while it prepared its backtests: killed by"):
        run(TASKS, unseen)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_fault_is_said_with_its_parameters(count: int) -> None:
    engine = processes(Hill(faulty=30), count) if count else here(Hill(faulty=30))
    with engine as run, pytest.raises(TruetapeError) as fault:
        run(TASKS, unseen)
    assert str(fault.value) == "the trial fast=30 slow=60 failed: ZeroDivisionError: nothing to divide by"
    assert not isinstance(fault.value, InputError)


def test_what_cannot_be_prepared_is_said() -> None:
    with processes(Unprepared(), 2) as run, pytest.raises(TruetapeError, match="tape nowhere is not there"):
        run(TASKS, unseen)
    with pytest.raises(InputError, match="tape nowhere is not there"), here(Unprepared()):
        raise AssertionError
    with pytest.raises(InputError, match="--processes is 0; allowed: 1 or more"), processes(Hill(), 0):
        raise AssertionError


def test_no_process_is_left() -> None:
    with processes(Hill(), 2) as run:
        run(TASKS, unseen)
        assert len(workers_of(os.getpid())) == 2
    assert workers_of(os.getpid()) == []


SEARCH = """
import sys
from replay.sweep.job import Task, unseen
from replay.sweep.processes import processes
from tests.replay.sweep.jobs import Waiting

if __name__ == "__main__":
    try:
        with processes(Waiting(sys.argv[1]), 2) as run:
            run([Task(number, {}) for number in range(9)], unseen)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("to_all", [True, False], ids=["to the whole group", "to the one process"])
def test_an_interrupt_ends_all_without_a_word(tmp_path: Path, to_all: bool) -> None:
    script = tmp_path / "search.py"
    script.write_text(SEARCH)
    (tmp_path / "begun").mkdir()
    search = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "begun")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while len(begun := list((tmp_path / "begun").iterdir())) < 2:
            assert search.poll() is None
            time.sleep(0.01)
        if to_all:
            os.killpg(search.pid, signal.SIGINT)
        else:
            search.send_signal(signal.SIGINT)
        _, errors = search.communicate(timeout=60)
    finally:
        search.kill()
        search.wait()
    assert (search.returncode, errors) == (130, b"")
    assert not any(psutil.pid_exists(int(path.stem)) for path in begun)


def test_workers_leave_when_the_search_is_killed(tmp_path: Path) -> None:
    """Nobody is told, so they notice it by themselves: here while they wait for tasks."""
    script = tmp_path / "search.py"
    script.write_text(
        SEARCH.replace("Waiting(sys.argv[1])", "Hill()")
        .replace(
            "run([Task(number, {}) for number in range(9)], unseen)",
            'run([Task(0, {"fast": 1, "slow": 2})], unseen); print("idle", flush=True); sys.stdin.read()',
        )
        .replace("import Waiting", "import Hill")
    )
    search = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert search.stdout is not None
    assert search.stdin is not None
    assert search.stdout.readline() == b"idle\n"
    left = workers_of(search.pid)
    search.kill()
    search.wait()
    search.stdin.close()
    search.stdout.close()
    assert len(left) == 2
    psutil.wait_procs(left, timeout=60)
    assert [process.pid for process in left if process.is_running()] == []


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers among a process's children; the rest is multiprocessing's own resource tracker."""
    return [each for each in psutil.Process(pid).children() if "spawn_main" in " ".join(each.cmdline())]


@pytest.mark.parametrize(("tasks", "workers"), [(1, 4), (7, 2), (1000, 2), (1000, 64)])
def test_chunks_are_all_tasks_in_order_and_get_smaller(tasks: int, workers: int) -> None:
    waiting = deque(Task(number, {}) for number in range(tasks))
    chunks = []
    while waiting:
        chunks.append(take_chunk(waiting, workers))
    assert [task.number for chunk in chunks for task in chunk] == list(range(tasks))
    sizes = [len(chunk) for chunk in chunks]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= CHUNK_MAX
    assert sizes[-1] == 1
