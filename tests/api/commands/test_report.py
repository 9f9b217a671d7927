"""`truetape report`: the same log, the same bytes, wherever it lies; its manifest beside it."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path

import psycopg
import pytest

from infrastructure.event_store.database import Database
from tests.api.stage import Stage, command, environment, run
from tests.replay.reporting import read

REPORTS = ("orders", "trades", "controls", "settings")


@pytest.fixture
def logged(kept: Stage) -> Stage:
    """Two kept runs: the stage's, and one of another balance."""
    kept.backtest("--keep", balance="USDT=700")
    kept.backtest("--keep")
    return kept


def test_a_file_is_what_its_manifest_says(logged: Stage) -> None:
    for name, form in product(REPORTS, ("csv", "json")):
        path = logged.folder / f"{name}.{form}"
        ended = run("report", name, "--run", 1, "--format", form, "--out", path, "--json")
        assert (ended.code, ended.err) == (0, "")
        data, manifest = path.read_bytes(), json.loads((logged.folder / f"{name}.{form}.manifest.json").read_text())
        assert ended.json == {"path": str(path), **manifest}
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (manifest["sha256"], manifest["bytes"])
        found = read(data) if form == "csv" else json.loads(data)["rows"]
        assert (manifest["report"], manifest["run"], manifest["row_count"]) == (name, 1, len(found))
        listed = run("events", "list", "--run", 1, "--limit", 100_000, "--json").json
        assert manifest["last_position"] == listed[-1]["position"]
        assert [each["position"] for each in manifest["engines"]] == [listed[0]["position"]]
        said = run("report", name, "--run", 1, "--format", form, "--out", path).out
        assert manifest["sha256"] in said
        assert path.read_bytes() == data, "running it again changes nothing"


def test_every_position_can_be_looked_up(logged: Stage) -> None:
    found = read(run("report", "orders").out.encode())
    listed = {each["position"]: each for each in run("events", "list", "--limit", 100_000, "--json").json}
    assert found
    for row in found:
        event = listed[int(row["position"])]
        assert (event["event"], event["at"], event["actor"]) == (row["event"], row["decided_at"], row["actor"])
        assert (event["cause"] or "") == row["cause"]
    assert len({row["engine_version"] for row in found}) == 1
    assert found[0]["engine_version"]
    assert found[0]["venue"] == "simulated/candle-v1"
    assert logged.out.exists()


def test_standard_output_has_the_bytes_of_the_file(logged: Stage) -> None:
    path = logged.folder / "trades.csv"
    run("report", "trades", "--out", path)
    done = subprocess.run(
        command("report", "trades"),
        capture_output=True,
        env=environment(PYTHONIOENCODING="ascii"),
        check=True,
        timeout=60,
    )
    assert done.stdout == path.read_bytes()
    document = run("report", "trades", "--json").json
    assert [row["position"] for row in document["rows"]] == [int(row["position"]) for row in read(done.stdout)]
    assert run("report", "trades", "--format", "json").json == document


def test_a_log_that_was_restored_elsewhere_gives_the_same_bytes(
    logged: Stage,
    database: Database,
    make_database: Callable[[], AbstractContextManager[Database]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Restored as a dump does it: the tables of the log, row by row, and no read model."""
    with make_database() as other:
        for table in ("runs", "records", "run_ends"):
            copy(database.url, other.url, table)
        for name in REPORTS:
            files: list[tuple[bytes, bytes]] = []
            for url in (database.url, other.url):
                path = logged.folder / f"{len(files)}.csv"
                monkeypatch.setenv("TRUETAPE_DATABASE_URL", url)
                ended = run("report", name, "--out", path)
                assert (ended.code, ended.err) == (0, "")
                files.append((path.read_bytes(), path.with_name(f"{path.name}.manifest.json").read_bytes()))
            assert files[0] == files[1]
            assert len(read(files[0][0])) > 3


def copy(source: str, target: str, table: str) -> None:
    with (
        psycopg.connect(source) as one,
        psycopg.connect(target) as other,
        one.cursor().copy(f"COPY {table} TO STDOUT".encode()) as reading,
        other.cursor().copy(f"COPY {table} FROM STDIN".encode()) as writing,
    ):
        for part in reading:
            writing.write(part)


def test_ranges_and_as_of(logged: Stage) -> None:
    whole = read(run("report", "orders").out.encode())
    middle = whole[len(whole) // 2]["decided_at"]
    before = read(run("report", "orders", "--to", middle).out.encode())
    after = read(run("report", "orders", "--from", middle).out.encode())
    assert before + after == whole
    assert before
    position = int(whole[len(whole) // 2]["position"])
    known = read(run("report", "orders", "--as-of", position).out.encode())
    assert known == [row for row in whole if int(row["position"]) <= position]
    by_time = read(run("report", "orders", "--as-of", middle).out.encode())
    assert by_time == [row for row in whole if row["decided_at"] <= middle]
    assert logged.out.exists()


WRONG: tuple[tuple[tuple[str, ...], str], ...] = (
    (("nonsense",), "'orders', 'trades', 'controls', 'settings'"),
    ((), "name"),
    (("orders", "--run", "9"), "run 9 is not kept"),
    (("orders", "--from", "yesterday"), "'yesterday' is not an ISO 8601 time"),
    (("orders", "--to", "2026-01-01T00:00:00"), "does not say that it is UTC"),
    (("orders", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"), "allowed: after 2026-01-02"),
    (("orders", "--as-of", "99999999"), "is not on the log yet"),
    (("orders", "--as-of", "soon"), "neither a position"),
    (("orders", "--format", "xml"), "'csv', 'json'"),
    (("orders", "--out", "/proc/nothing/x"), "/proc/nothing/x cannot be written"),
)


def test_what_cannot_be(logged: Stage) -> None:
    for arguments, said in WRONG:
        ended = run("report", *arguments)
        assert (ended.code, ended.out) == (2, ""), arguments
        assert said in ended.err, arguments
        assert len(ended.err.splitlines()) <= 3, arguments
    assert logged.out.exists()


def test_a_damaged_record_is_named_and_nothing_is_written(logged: Stage, superuser_url: str) -> None:
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        connection.execute("UPDATE records SET leaf = decode(repeat('00', 32), 'hex') WHERE position = 5")
    path = logged.folder / "orders.csv"
    ended = run("report", "orders", "--run", 1, "--out", path)
    assert (ended.code, ended.out) == (2, "")
    assert "position 5 of run 1" in ended.err
    assert not path.exists()


def test_nothing_kept(kept: Stage) -> None:
    ended = run("report", "orders", "--out", kept.folder / "x.csv")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert not Path(kept.folder / "x.csv").exists()
