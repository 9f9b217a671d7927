"""Migrations: once, in order, all or none, by one at a time; a schema that is not the code's is refused."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from domain.errors import StoreError
from infrastructure.embedded_postgres import OWNER
from infrastructure.event_store.database import connect
from infrastructure.event_store.migrations import Migration, check_schema, migrate, read_migrations
from tests.conftest import TestServer

FIRST = Migration("0001-first.sql", "CREATE TABLE first (x integer); INSERT INTO first VALUES (1)")
SECOND = Migration(
    "0002-second.sql",
    "CREATE FUNCTION second() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN 100 % 7; END; $$",
)
BROKEN = Migration("0003-broken.sql", "CREATE TABLE third (x integer); SELECT no_such_thing()")


@pytest.fixture
def empty(test_server: TestServer) -> Iterator[str]:
    """An empty database, as its owner."""
    name = test_server.create("template0")
    yield test_server.url(name, OWNER)
    test_server.drop(name)


def applied(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM schema_migrations ORDER BY name").fetchall()]


def refusal(url: str, known: Sequence[Migration]) -> str:
    with psycopg.connect(url) as connection, pytest.raises(StoreError) as caught:
        check_schema(connection, known)
    return str(caught.value)


def test_each_is_applied_once(empty: str) -> None:
    assert migrate(empty, [FIRST]) == [FIRST.name]
    assert migrate(empty, [FIRST, SECOND]) == [SECOND.name]
    assert migrate(empty, [FIRST, SECOND]) == []
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT second(), count(*) FROM first").fetchall() == [(2, 1)]
        check_schema(connection, [FIRST, SECOND])


def test_a_broken_one_applies_nothing(empty: str) -> None:
    migrate(empty, [FIRST])
    with pytest.raises(StoreError, match="cannot be migrated: function no_such_thing"):
        migrate(empty, [FIRST, SECOND, BROKEN])
    assert applied(empty) == [FIRST.name]


def test_an_altered_one_is_refused(empty: str) -> None:
    migrate(empty, [FIRST])
    altered = Migration(FIRST.name, FIRST.sql + " ")
    with pytest.raises(StoreError, match=r"0001-first\.sql was applied with other contents"):
        migrate(empty, [altered, SECOND])
    assert applied(empty) == [FIRST.name]
    assert "other contents" in refusal(empty, [altered])


def test_starters_do_not_race(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrate(empty, [FIRST, SECOND]), range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, 2]


def test_another_schema_is_refused_with_the_mend(empty: str) -> None:
    assert "run `truetape migrate`" in refusal(empty, [FIRST])
    migrate(empty, [FIRST])
    assert "older than this Truetape (0002-second.sql is missing); run `truetape migrate`" in refusal(
        empty, [FIRST, SECOND]
    )
    assert "newer than this Truetape" in refusal(empty, [])


def test_an_unmigrated_database_is_not_opened(empty: str) -> None:
    with pytest.raises(StoreError, match="run `truetape migrate`"):
        connect(empty)


def test_who_may_not_migrate_is_told_what_is_needed(test_server: TestServer) -> None:
    name = test_server.create("template0")
    with pytest.raises(StoreError, match="needs to own the database"):
        migrate(test_server.url(name))
    test_server.drop(name)


def test_the_schema_is_read_in_order_of_name(tmp_path: Path) -> None:
    for name in ("0002-b.sql", "0001-a.sql", "notes.txt"):
        (tmp_path / name).write_text(name)
    assert [migration.name for migration in read_migrations(tmp_path)] == ["0001-a.sql", "0002-b.sql"]
    assert read_migrations()[0].name == "0001-event-store.sql"
