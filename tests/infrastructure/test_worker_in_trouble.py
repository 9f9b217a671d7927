"""The worker when the database goes: no row is blamed for it, nothing is taken meanwhile, and it goes on by itself."""

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from domain.account.commands import OpenAccount
from domain.errors import FencedError, StoreError
from infrastructure.embedded_postgres import WRITER
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.leases import take_lease
from infrastructure.event_store.runs import records_of
from infrastructure.inbox import Entry, Inbox, Outcome
from infrastructure.shard_lock import ShardLock
from infrastructure.worker import Worker
from tests.conftest import TestServer
from tests.infrastructure.event_store.proxy import COMMIT, SlammingDoor
from tests.infrastructure.event_store.rows import begin


@pytest.fixture
def door(test_server: TestServer) -> Iterator[SlammingDoor]:
    with SlammingDoor(str(test_server.server.folder)) as door:
        yield door


@pytest.fixture
def behind(door: SlammingDoor, database_name: str) -> Iterator[Database]:
    """The test's database, reached through the door."""
    with connect(door.url(WRITER, database_name)) as opened:
        yield opened


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(database: Database, account: str) -> int:
    (number,) = Inbox(database).put([Entry("me", OpenAccount(account, "spot"))])
    return number


def outcome(database: Database, number: int) -> Outcome:
    until(lambda: Inbox(database).outcomes([number]))
    return Inbox(database).outcomes([number])[number]


def accounts(database: Database, run: int) -> list[str | None]:
    keys = [each.decode().key for each in records_of(database, run)]
    return [key for key in keys if key and key.startswith("account/")]


@pytest.mark.parametrize("at", [COMMIT, b"INSERT INTO outcomes"])
def test_a_row_is_not_blamed_for_a_database_that_was_lost(
    behind: Database, door: SlammingDoor, database: Database, at: bytes
) -> None:
    with Worker(behind) as worker:
        outcome(database, ask(database, "one"))
        # A second opening of one causes no events: its outcome is all there is to commit.
        for account in ("one", "two"):
            door.arm("commit_lost", at=at)
            answer = outcome(database, ask(database, account))
            assert answer.error is None
        assert door.slammed == 2
        assert worker.is_alive
        assert accounts(database, worker.run) == ["account/one", "account/two"]


def test_a_worker_that_cannot_append_says_so_until_it_can(
    behind: Database, door: SlammingDoor, database: Database
) -> None:
    behind.datastore.pool.timeout = 0.1
    with Worker(behind) as worker:
        outcome(database, ask(database, "one"))
        until(lambda: worker.halted is None)
        door.shut = True
        number = ask(database, "two")
        until(lambda: worker.halted)
        assert Inbox(database).outcomes([number]) == {}
        door.shut = False
        assert outcome(database, number).error is None
        until(lambda: worker.halted is None)
        assert accounts(database, worker.run) == ["account/one", "account/two"]


def test_a_lock_that_was_lost_and_could_not_be_taken_at_once_is_taken_later(
    behind: Database, door: SlammingDoor, database: Database
) -> None:
    behind.datastore.pool.timeout = 0.1
    lock = ShardLock(behind, "inbox")
    lock.take(take_over=False)
    lock.lease(begin(database).run)
    door.shut = True
    with pytest.raises(psycopg.OperationalError):
        lock.wait(10)
    for _ in range(2):
        with pytest.raises(StoreError):
            lock.renew()
    door.shut = False
    behind.datastore.pool.timeout = 30
    lock.renew()
    with pytest.raises(StoreError, match="another Truetape worker"):
        ShardLock(database, "inbox").take(take_over=False)
    lock.wait(0)
    lock.close()


def test_a_lock_held_by_our_own_dead_session_is_taken_back(
    behind: Database, door: SlammingDoor, database: Database
) -> None:
    """The network has cut us off without telling the server, which keeps the session and its lock."""
    lock = ShardLock(behind, "inbox")
    lock.take(take_over=False)
    run = begin(database).run
    lock.lease(run)
    lock.close()
    door.arm("late", at=b"LISTEN")
    with pytest.raises(StoreError, match="the shard cannot be taken"):
        lock.renew()
    with pytest.raises(StoreError, match="another Truetape worker"):
        ShardLock(database, "inbox").take(take_over=False)
    lock.renew()
    lock.wait(0)
    take_lease(database, run, "another")
    lock.close()
    with pytest.raises(FencedError, match=f"another worker has taken run {run}"):
        lock.renew()


def test_a_row_that_postgres_cannot_hold_halts_nobody(database: Database) -> None:
    with Worker(database) as worker:
        before, bad, after = (ask(database, name) for name in ("one", "nul \0", "two"))
        answers = [outcome(database, number).error for number in (before, bad, after)]
        assert answers[0] is None
        assert answers[2] is None
        assert answers[1] is not None
        assert answers[1].startswith("the log cannot hold it: nothing was appended: invalid byte sequence")
        assert accounts(database, worker.run) == ["account/one", "account/two"]
