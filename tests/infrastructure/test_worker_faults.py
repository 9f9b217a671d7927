"""The whole worker when Postgres is killed or its disk is full: nothing is taken meanwhile, and then everything once."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from domain.account.commands import OpenAccount
from domain.errors import StoreError
from infrastructure.embedded_postgres import DATABASE, SUPERUSER, EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.append_statement import LOCK
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.runs import records_of
from infrastructure.inbox import Entry, Inbox
from infrastructure.proof.log_check import check_log
from infrastructure.settings import Settings
from infrastructure.worker import Worker
from tests.infrastructure.event_store.scenarios import answers, filled, kill_all, small_disk, started_again

ROWS = 300
LONG = "x" * 2000
"""Of each row's account, so that what they cause does not fit into what a database has spare."""
Ready = Callable[[], tuple[int, str]]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def put(database: Database, names: list[str]) -> list[int]:
    """As a client does: until it is answered, under the same key."""
    entries = [Entry("me", OpenAccount(name, "spot"), name) for name in names]
    while True:
        try:
            return Inbox(database).put(entries)
        except StoreError:
            time.sleep(0.1)


@contextmanager
def living(server: EmbeddedPostgres, home: Path) -> Iterator[tuple[Database, Worker, Ready]]:
    """A worker and the API beside it, on one opening of the database."""
    migrations.migrate(server.owner_url)
    with connect(server.url) as database, Worker(database) as worker:
        database.datastore.pool.timeout = 0.5
        app = create_app(
            database,
            Settings(home=home),
            worker_alive=lambda: worker.is_alive,
            worker_halted=lambda: worker.halted,
        )
        with TestClient(app) as client:

            def ready() -> tuple[int, str]:
                answer = client.get("/health/ready")
                return answer.status_code, answer.json().get("code", "")

            yield database, worker, ready


def assert_all_taken_once(server: EmbeddedPostgres, worker: Worker, ids: list[int], names: list[str]) -> None:
    """Every row has an outcome without an error, its events are on the log once, and the log is whole."""
    with connect(server.url) as database:  # of its own: the worker's may be on its way back still
        until(lambda: len(Inbox(database).outcomes(ids)) == len(ids))
        outcomes = Inbox(database).outcomes(ids)
        assert [each.error for each in outcomes.values() if each.error is not None] == []
        keys = [each.decode().key for each in records_of(database, worker.run)]
        assert [key for key in keys if key and key.startswith("account/")] == [f"account/{name}" for name in names]
        assert check_log(database).damage is None
    assert worker.is_alive


def test_postgres_killed_while_the_worker_takes_rows(home: Path) -> None:
    with EmbeddedPostgres(home) as server, living(server, home) as (database, worker, ready):
        until(lambda: ready() == (200, ""))
        names = [f"{number}" for number in range(ROWS)]
        ids = put(database, names)
        until(lambda: Inbox(database).outcomes(ids[:1]))
        kill_all(server)
        until(lambda: worker.halted)
        assert ready() == (503, "WORKER_HALTED")
        started_again(server)
        assert_all_taken_once(server, worker, ids, names)
        # Its lock's session is noticed to be lost last; then too it takes it again by itself.
        until(lambda: worker.halted is None and ready() == (200, ""))


def test_a_full_disk_halts_the_worker_until_there_is_room(home: Path) -> None:
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(home / "disk", 160))
        except PermissionError as error:
            pytest.skip(str(error))
        server = stack.enter_context(EmbeddedPostgres(disk))
        database, worker, ready = stack.enter_context(living(server, home))
        until(lambda: ready() == (200, ""))
        names = [f"{LONG}{number}" for number in range(ROWS)]
        with psycopg.connect(server.url_of(SUPERUSER, DATABASE)) as held:
            # Nothing is appended before the disk is full.
            held.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            ids = put(database, names)
            with filled(disk):
                held.rollback()
                until(lambda: worker.halted)
                assert ready() == (503, "WORKER_HALTED")
                assert worker.is_alive
        if not answers(server):
            started_again(server)
        assert_all_taken_once(server, worker, ids, names)
        until(lambda: ready() == (200, ""))
