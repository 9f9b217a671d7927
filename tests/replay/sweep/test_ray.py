"""A search on a real Ray cluster of two workers, started for it: the same trials as here. One test: a start takes seconds."""

import pytest
import ray

from domain.errors import InputError, TruetapeError
from replay.sweep.engines import open_engine
from replay.sweep.job import Task, unseen
from replay.sweep.objective import Objective
from replay.sweep.processes import here
from replay.sweep.ray_engine import on_ray
from replay.sweep.search import Search, find
from tests.replay.sweep.jobs import Hill, Unprepared
from tests.replay.sweep.test_search import SMOOTH

TASKS = [Task(number, {"fast": fast, "slow": 60}) for number, fast in enumerate(range(5, 80, 5))]


def test_a_ray_cluster_gives_what_one_process_gives() -> None:
    sharpe, search, told = Objective("sharpe", "max"), Search("random", trials=20, seed=3), list[int]()
    with here(Hill()) as run:
        expected = find(search, SMOOTH, sharpe, run, unseen)
    try:
        with open_engine("ray", Hill(), 2) as run:
            assert find(search, SMOOTH, sharpe, run, told.append) == expected
        assert told[-1] == 20
        assert not ray.is_initialized()
    finally:
        ray.shutdown()


def test_a_cluster_that_is_there_is_used_and_left_as_it_is() -> None:
    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    try:
        with on_ray(Hill(deadly=35), None, 2) as run:
            trials = run(TASKS, unseen)
        fault = pytest.raises(TruetapeError, match="the trial fast=30 slow=60 failed: ZeroDivisionError")
        with on_ray(Hill(faulty=30), None, None) as run, fault:
            run(TASKS, unseen)
        with pytest.raises(TruetapeError, match="tape nowhere is not there"), on_ray(Unprepared(), None, 1):
            raise AssertionError
        with pytest.raises(InputError, match="--processes is 3; allowed: at most the 2"), on_ray(Hill(), None, 3):
            raise AssertionError
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    with here(Hill()) as run:
        every = run(TASKS, unseen)
    assert [trial.parameters["fast"] for trial in trials if trial.status == "failed"] == [35]
    assert [trial for trial in trials if trial.status != "failed"] == [
        trial for trial in every if trial.parameters["fast"] != 35
    ]


def test_engines_that_are_none() -> None:
    for name in ("rays", "", "dask", "processes://2"):
        with pytest.raises(InputError) as refused:
            open_engine(name, Hill(), 1)
        assert str(refused.value) == f"--engine is {name!r}; allowed: processes, ray, ray://HOST:PORT"
    with pytest.raises(InputError, match="--processes is 0"), open_engine("ray", Hill(), 0):
        raise AssertionError
