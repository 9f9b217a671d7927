"""`truetape doctor` and `truetape migrate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infrastructure import embedded_postgres
from infrastructure.embedded_postgres import OWNER
from tests.api.stage import Stage, run
from tests.conftest import TestServer

CHECKS = ["settings", "data folder", "database", "market tapes"]


def test_a_healthy_installation(kept: Stage) -> None:
    kept.backtest("--keep")
    ended = run("doctor", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [(finding["check"], finding["ok"]) for finding in ended.json] == [(name, True) for name in CHECKS]
    assert "1 runs kept (0 interrupted)" in ended.json[2]["found"]
    ended = run("doctor")
    assert ended.code == 0
    assert [line[:5] for line in ended.out.splitlines()] == ["ok   "] * len(CHECKS)


@pytest.mark.usefixtures("home")
def test_what_would_be_faster_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "SETTINGS", {})
    ended = run("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "; advised: min_wal_size is 80 MB" in ended.out


def unknown_variable(_stage: Stage, patch: pytest.MonkeyPatch, _url: str) -> None:
    patch.setenv("TRUETAPE_X", "1")


def no_folder(_stage: Stage, patch: pytest.MonkeyPatch, _url: str) -> None:
    patch.setenv("TRUETAPE_HOME", "/proc/nothing")


def no_database(_stage: Stage, patch: pytest.MonkeyPatch, _url: str) -> None:
    patch.setenv("TRUETAPE_DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/x")


def library_functions(_stage: Stage, patch: pytest.MonkeyPatch, _url: str) -> None:
    patch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "y")


def executing(statement: str) -> Callable[[Stage, pytest.MonkeyPatch, str], None]:
    def plant(_stage: Stage, _patch: pytest.MonkeyPatch, url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())

    return plant


def damaged_tape(stage: Stage, _patch: pytest.MonkeyPatch, _url: str) -> None:
    path = tape_of(stage)
    raw = path.read_bytes()
    path.write_bytes(raw[:500] + bytes([raw[500] ^ 1]) + raw[501:])


def lost_tape(stage: Stage, _patch: pytest.MonkeyPatch, _url: str) -> None:
    tape_of(stage).unlink()


def tape_of(stage: Stage) -> Path:
    (tape,) = run("market", "list", "--json").json["tapes"]
    assert tape["name"] == stage.candles.stem
    return Path(tape["path"])


FAULTS: list[tuple[Callable[[Stage, pytest.MonkeyPatch, str], None], str, str]] = [
    (unknown_variable, "settings", "TRUETAPE_X"),
    (no_folder, "data folder", "/proc/nothing"),
    (no_database, "database", "TRUETAPE_DATABASE_URL"),
    (library_functions, "database", "POSTGRES_ENABLE_DB_FUNCTIONS"),
    (executing("DELETE FROM schema_migrations WHERE name LIKE '0002%'"), "database", "truetape migrate"),
    (executing("UPDATE schema_migrations SET digest = 'x'"), "database", "other contents"),
    (executing("DROP TABLE records CASCADE"), "database", "records"),
    (executing("REVOKE ALL ON runs FROM truetape_writer"), "database", "runs"),
    (damaged_tape, "market tapes", "candles.parquet"),
    (
        executing("INSERT INTO projection_stops VALUES ('fills', 1, 7, 'stopped at position 8 of run 1: planted')"),
        "database",
        "fills at position 7: stopped at position 8 of run 1: planted",
    ),
    (lost_tape, "database", "1 kept runs"),
]


@pytest.mark.parametrize(("plant", "check", "said"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_named(
    plant: Callable[..., None], check: str, said: str, kept: Stage, superuser_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.backtest("--keep")
    plant(kept, monkeypatch, superuser_url)
    ended = run("doctor", "--json")
    assert (ended.code, ended.err) == (1, "")
    bad: dict[str, Any] = {finding["check"]: finding["found"] for finding in ended.json if not finding["ok"]}
    assert said in bad[check]
    assert "hush" not in ended.out
    ended = run("doctor")
    assert ended.code == 1
    assert f"BAD  {check}: " in ended.out


def test_an_interrupted_run_is_counted(kept: Stage, superuser_url: str) -> None:
    kept.backtest("--keep")
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE run_ends DISABLE TRIGGER append_only")
        connection.execute("DELETE FROM run_ends")
    ended = run("doctor")
    assert ended.code == 0
    assert "1 runs kept (1 interrupted)" in ended.out


def test_migrate(test_server: TestServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = test_server.create("template1")
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(name, OWNER))
    assert home.exists()
    refused = run("verify")
    assert (refused.code, "truetape migrate" in refused.err) == (2, True)
    ended = run("migrate", "--json")
    assert ended.code == 0
    assert ended.json["applied"][:2] == ["0001-event-store.sql", "0002-read-models.sql"]
    assert run("migrate", "--json").json == {"applied": []}
    assert run("migrate").out == "the schema is up to date\n"
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(name))
    assert run("verify").code == 0
    test_server.drop(name)


def test_migrate_as_somebody_else(
    database_name: str, test_server: TestServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(test_server.url(database_name, "postgres")) as connection:
        connection.execute("DELETE FROM schema_migrations")
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(database_name))
    assert home.exists()
    ended = run("migrate")
    assert (ended.code, ended.out) == (2, "")
    assert "needs to own the database" in ended.err
