"""Upkeep: again and again, once more on the way out, and no trouble of one time ends it."""

import threading

import pytest

from domain.errors import StoreError
from infrastructure.upkeep import Upkeep


def test_it_is_done_again_and_again_and_once_more_at_the_end() -> None:
    done, often = [], threading.Event()

    def work() -> None:
        done.append(threading.current_thread().name)
        if len(done) == 3:
            often.set()

    with Upkeep("sweeping", 0.001, work):
        assert often.wait(30)
    assert done[0] == "truetape-sweeping"
    assert done[-1] == threading.current_thread().name


def test_a_long_period_still_ends_with_one() -> None:
    done: list[int] = []
    with Upkeep("sweeping", 100_000, lambda: done.append(1)):
        assert done == []
    assert done == [1]


def test_it_can_be_off() -> None:
    done: list[int] = []
    with Upkeep("sweeping", 0, lambda: done.append(1)):
        pass
    assert done == []


def test_what_hinders_it_is_logged_and_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done, again = [], threading.Event()

    def work() -> None:
        done.append(1)
        if len(done) == 1:
            raise StoreError("the broom is gone")
        again.set()

    with Upkeep("sweeping", 0.001, work):
        assert again.wait(30)
    assert caplog.messages == ["sweeping: the broom is gone"]
