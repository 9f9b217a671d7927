"""The log cannot be changed: not by the application's role, and not by the owner of its tables."""

import psycopg
import pytest

from infrastructure.event_store.database import Database
from tests.infrastructure.event_store.rows import begin

CHANGES = ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"]
TABLES = {"runs": "label", "run_ends": "records", "records": "state", "snapshots": "state"}
"""Each with a column to change."""


@pytest.fixture(autouse=True)
def _one_run(database: Database) -> None:
    begin(database).end()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_writer_has_no_right_to(database: Database, table: str, change: str) -> None:
    with (
        psycopg.connect(database.url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"permission denied for table {table}"),
    ):
        connection.execute(change.format(table, TABLES[table]).encode())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_trigger_stops_the_owner(owner_url: str, table: str, change: str) -> None:
    with (
        psycopg.connect(owner_url) as connection,
        pytest.raises(psycopg.errors.RaiseException, match=r"append-only: (UPDATE|DELETE|TRUNCATE) refused"),
    ):
        connection.execute(change.format(table, TABLES[table]).encode())


@pytest.mark.parametrize("change", CHANGES)
def test_a_trigger_stops_a_superuser_who_plays_replica(superuser_url: str, change: str) -> None:
    with psycopg.connect(superuser_url) as connection:
        connection.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(change.format("records", "state").encode())


def test_an_insert_cannot_turn_into_an_update(owner_url: str) -> None:
    statement = (
        "INSERT INTO run_ends SELECT * FROM run_ends ON CONFLICT (run) DO UPDATE SET records = run_ends.records + 1"
    )
    with psycopg.connect(owner_url) as connection, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute(statement)


def test_every_connection_of_the_pool_is_the_writer(database: Database, superuser_url: str) -> None:
    with database.datastore.get_connection() as one, database.datastore.get_connection() as other:
        for connection in (one, other):
            row = connection.execute("SELECT current_user AS role").fetchone()
            assert row == {"role": "truetape_writer"}
    # A URL that logs in as somebody mightier acts as the writer all the same.
    with Database(superuser_url) as mighty, mighty.datastore.get_connection() as connection:
        row = connection.execute("SELECT current_user AS role, session_user AS login").fetchone()
        assert row == {"role": "truetape_writer", "login": "postgres"}


def test_the_writer_makes_no_tables(database: Database) -> None:
    with psycopg.connect(database.url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE mine (x integer)")
