"""A server that has stopped is told from one that is slow, and what was on its way to it is looked up when it goes on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from domain.errors import InDoubtError, StoreError
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.append_statement import LOCK
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.runs import list_runs, records_of
from infrastructure.event_store.watchful import WatchfulConnection
from tests.infrastructure.event_store.rows import begin, record
from tests.infrastructure.event_store.scenarios import processes_of


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchfulConnection, "silence_seconds", 0.2)
    monkeypatch.setattr(WatchfulConnection, "knock_seconds", 2)


@contextmanager
def stopped(server: EmbeddedPostgres) -> Iterator[None]:
    """While it lasts, no process of the server does anything; all its sockets stay open."""
    processes = processes_of(server)
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def test_an_append_to_a_stopped_server_ends_in_doubt_and_is_there_once_when_it_goes_on(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        migrations.migrate(server.owner_url)
        with connect(server.url) as database:
            ledger = begin(database)
            database.datastore.pool.timeout = 0.2
            ledger.append([record(1, 1), record(2, 1)])
            with stopped(server):
                with pytest.raises(InDoubtError, match="whether it was written is not known"):
                    ledger.flush()
                with pytest.raises(StoreError, match="cannot be read"):
                    list_runs(database)
            database.datastore.pool.timeout = 60
            ledger.append([record(1, 2)])
            ledger.end()
            kept = [each.decode() for each in records_of(database, ledger.run)][1:]
    assert [(each.stream, each.version) for each in kept] == [(1, 1), (2, 1), (1, 2)]


def test_a_server_that_is_slow_is_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    knocked = threading.Event()
    knock = WatchfulConnection.knock

    def noted(connection: WatchfulConnection) -> None:
        knock(connection)
        knocked.set()

    monkeypatch.setattr(WatchfulConnection, "knock", noted)
    ledger = begin(database)
    ledger.append([record(1, 1)])
    with psycopg.connect(database.url) as held:
        held.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        flushing = threading.Thread(target=ledger.flush)
        flushing.start()
        assert knocked.wait(60)
        assert flushing.is_alive()
    flushing.join(60)
    assert [each.decode().version for each in records_of(database, ledger.run)][1:] == [1]


def test_a_server_that_refuses_who_knocks_lives(database: Database, superuser_url: str) -> None:
    """As one does that has as many connections as it takes."""
    with database.datastore.get_connection() as connection:
        assert isinstance(connection, WatchfulConnection)
        name = connection.info.dbname
        with psycopg.connect(superuser_url, autocommit=True) as other:
            other.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0".encode())
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(database.url)
            assert connection.execute("SELECT 1 AS one, pg_sleep(1)").fetchone() == {"one": 1, "pg_sleep": ""}
            other.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1".encode())
        assert not connection.gave_up
