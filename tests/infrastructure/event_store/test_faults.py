"""Under faults: what was acknowledged is there once, what was refused is not, and the writer goes on by itself."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from infrastructure.embedded_postgres import WRITER, EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from tests.conftest import TestServer
from tests.infrastructure.event_store.load import OurStore, Told, Writer, all_faults, faults, write_together
from tests.infrastructure.event_store.proxy import CuttingDoor
from tests.infrastructure.event_store.rows import begin
from tests.infrastructure.event_store.scenarios import cut, fill, kill, small_disk

CUTS = 40
DISK_MEGABYTES = 160


@contextmanager
def opened(server: EmbeddedPostgres) -> Iterator[list[Database]]:
    """A server's database, opened as two processes would."""
    migrations.migrate(server.owner_url)
    with connect(server.url) as one, connect(server.url) as other:
        yield [one, other]


def said(told: list[Told]) -> set[str]:
    return {each.said for each in told}


def test_connections_cut_at_random_bytes(test_server: TestServer, database: Database, database_name: str) -> None:
    run = begin(database).run
    with CuttingDoor(str(test_server.server.folder), seed=1) as door, ExitStack() as stack:
        behind = [stack.enter_context(connect(door.url(WRITER, database_name))) for _ in range(2)]
        told = cut(door, behind, run, CUTS)
    assert door.cuts >= CUTS
    assert "acknowledged" in said(told)
    assert all_faults(database, told) == []


def test_a_server_that_is_killed_under_load(home: Path) -> None:
    with EmbeddedPostgres(home) as server, opened(server) as databases:
        run = begin(databases[0]).run
        told = kill(server, databases, run, kills=2)
        assert all_faults(databases[0], told) == []
    assert "acknowledged" in said(told)  # whether a kill also met an append under way is chance


def test_a_disk_that_is_full(home: Path) -> None:
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(home / "disk", DISK_MEGABYTES))
        except PermissionError as error:
            pytest.skip(str(error))
        server = stack.enter_context(EmbeddedPostgres(disk))
        databases = stack.enter_context(opened(server))
        told = fill(server, databases, begin(databases[0]).run, times=1)
        assert all_faults(databases[0], told) == []
    assert {"acknowledged", "refused"} <= said(told)


# --- what the harness finds --------------------------------------------------------------------------------------------

COLUMNS = "run, stream, version, events, at, clock_offset, actor, topic, leaf, state"
Plant = Callable[[psycopg.Connection, list[Told]], list[Told]]


def changed(statement: str) -> Plant:
    def plant(connection: psycopg.Connection, told: list[Told]) -> list[Told]:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        connection.execute(statement.encode())
        return told

    return plant


def told_otherwise(change: Callable[[list[Told]], list[Told]]) -> Plant:
    return lambda _, told: change(told)


PLANTED = {
    "lost": (changed("DELETE FROM records WHERE position = (SELECT max(position) FROM records)"), "is at"),
    "gap": (changed("UPDATE records SET position = position + 1 WHERE position > 20"), "position .* follows"),
    "twice": (
        changed(
            f"INSERT INTO records (position, {COLUMNS}) SELECT (SELECT max(position + events) FROM records), {COLUMNS}"
            " FROM (SELECT run, 99 AS stream, 1 AS version, events, at, clock_offset, actor, topic, leaf, state"
            " FROM records ORDER BY position DESC LIMIT 1) AS last"
        ),
        "is at",
    ),
    "version": (
        changed("UPDATE records SET version = version + 100 WHERE position = (SELECT max(position) FROM records)"),
        "version .* follows",
    ),
    "bytes": (
        changed("UPDATE records SET leaf = sha256('x') WHERE position = (SELECT max(position) FROM records)"),
        "is not what was hashed",
    ),
    "refused": (
        told_otherwise(lambda told: [Told(told[0].name, told[0].records, "refused"), *told[1:]]),
        "was refused and is at",
    ),
    "in part": (
        told_otherwise(lambda told: [Told(told[0].name, told[0].records + 1, "in doubt"), *told[1:]]),
        "is there in part",
    ),
    "never said": (told_otherwise(lambda told: told[1:]), "nobody has said so"),
    "never written": (
        told_otherwise(lambda told: [*told, Told("w9.9", 1, "acknowledged", (1,))]),
        "w9.9 was acknowledged",
    ),
    "elsewhere": (
        told_otherwise(lambda told: [Told(told[0].name, told[0].records, "acknowledged", (77,)), *told[1:]]),
        "was acknowledged at",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(database: Database, owner_url: str, name: str) -> None:
    plant, finding = PLANTED[name]
    run = begin(database).run
    writers = [Writer(OurStore(database, run), number, 7) for number in range(2)]
    write_together(writers, 10)
    told = [each for writer in writers for each in writer.told]
    assert all_faults(database, told) == []
    with psycopg.connect(owner_url) as connection:
        told = plant(connection, told)
    found = list(faults(database.url, told))
    assert found
    assert any(re.search(finding, each) for each in found)
