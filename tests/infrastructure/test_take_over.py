"""A worker that hangs can be replaced; when it wakes up it appends nothing any more."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from domain.account.commands import OpenAccount
from domain.errors import StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import records_of
from infrastructure.inbox import CHANNEL, Entry, Inbox
from infrastructure.shard_lock import ShardLock
from infrastructure.worker import Worker
from tests.conftest import ROOT

CHILD = """
import sys, time
from infrastructure.event_store.database import connect
from infrastructure.worker import Worker
with connect(sys.argv[1]) as database, Worker(database) as worker:
    print("up", flush=True)
    while worker.is_alive:
        time.sleep(0.05)
    print("ended", flush=True)
"""


@contextmanager
def another_process(url: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", CHILD, url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            yield child
        finally:
            child.kill()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(database: Database, account: str) -> int:
    (number,) = Inbox(database).put([Entry("me", OpenAccount(account, "spot"))])
    return number


def taken(database: Database, number: int) -> bool:
    return bool(Inbox(database).outcomes([number]))


def test_a_lock_that_was_given_back_is_free_at_once(database: Database) -> None:
    """Left to the end of its session, some of a hundred find it taken still."""
    for _ in range(100):
        lock = ShardLock(database, CHANNEL)
        lock.take(take_over=False)
        lock.close()


def test_a_stopped_worker_that_wakes_up_appends_nothing(database: Database) -> None:
    with another_process(database.url) as child:
        first = ask(database, "one")
        until(lambda: taken(database, first))
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(StoreError, match="take over with --take-over"):
            Worker(database).start()
        with Worker(database, take_over=True) as worker:
            second = ask(database, "two")
            until(lambda: taken(database, second))
            os.kill(child.pid, signal.SIGCONT)
            third = ask(database, "three")
            until(lambda: taken(database, third))
            assert child.stdout is not None
            assert child.stdout.readline() == "ended\n"
            assert worker.is_alive
            streams = [each.decode() for each in records_of(database, worker.run)][1:]
        accounts = [each.key for each in streams if each.key and each.key.startswith("account/")]
        assert accounts == ["account/one", "account/two", "account/three"]
