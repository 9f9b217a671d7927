"""A backtest from start to files: its clock, its folder; killed in the middle; twice at a time on one data folder."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import psycopg
import pytest

from domain.errors import InputError
from infrastructure.embedded_postgres import DATABASE, SUPERUSER, EmbeddedPostgres
from infrastructure.event_store import codec, migrations
from replay.session import PHASES, Stopwatch, check_folder
from tests.api.stage import Stage, command, environment, files, run, run_apart, without

KILLS = 3
GROUP = 1000
"""Records that one transaction takes."""


# --- the clock -------------------------------------------------------------------------------------------------------


def test_phases_are_disjoint() -> None:
    watch = Stopwatch()
    began = time.perf_counter()
    with watch.phase("engine"):
        time.sleep(0.02)
        for _ in range(2):
            with watch.phase("write"):
                time.sleep(0.03)
                with watch.phase("report"):
                    time.sleep(0.01)
        time.sleep(0.02)
    took = time.perf_counter() - began
    assert tuple(watch.seconds) == PHASES
    assert sum(watch.seconds.values()) == pytest.approx(took, abs=0.005)
    assert watch.seconds["engine"] == pytest.approx(0.04, abs=0.02)
    assert watch.seconds["write"] == pytest.approx(0.06, abs=0.02)
    assert watch.seconds["report"] == pytest.approx(0.02, abs=0.015)
    assert watch.seconds["import"] == 0


def test_a_phase_that_fails_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    watch = Stopwatch()
    with pytest.raises(ValueError, match="no"), watch.phase("load"):
        raise ValueError("no")
    with watch.phase("load"):
        pass
    assert watch.seconds["load"] == 2


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "there", tmp_path / "new", tmp_path / "new" / "er", Path("relative"), Path()):
        check_folder(out)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_that_cannot(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    (tmp_path / "out" / "fills.csv").mkdir(parents=True)
    for out, said in (
        (file, "is a file"),
        (file / "x" / "y", "is a file"),
        (tmp_path / "out", "fills.csv cannot be written: it is a folder"),
        (Path("/proc/self"), "/proc/self cannot be written"),
    ):
        with pytest.raises(InputError, match=said):
            check_folder(out)
    assert files(tmp_path) == ["file"]


# --- killed in the middle --------------------------------------------------------------------------------------------


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    """The data folder's own database, migrated, open to look into."""
    with EmbeddedPostgres(home) as started:
        migrations.migrate(started.owner_url)
        yield started


def states(server: EmbeddedPostgres, number: int) -> list[bytes]:
    """A run's records as they lie in Postgres, without the engine's."""
    with psycopg.connect(server.url_of(SUPERUSER, DATABASE)) as connection:
        statement = "SELECT state FROM records WHERE run = %s AND stream > 0 ORDER BY position"
        return [state for (state,) in connection.execute(statement, [number])]


def start(stage: Stage, *more: str, **changes: object) -> subprocess.Popen[bytes]:
    line = command(*stage.arguments("--keep", *more, **changes))
    return subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_at(server: EmbeddedPostgres, process: subprocess.Popen[bytes], number: int, records: int) -> None:
    """Kill it once a run has so many records."""
    with psycopg.connect(server.url_of(SUPERUSER, DATABASE), autocommit=True) as connection:
        while process.poll() is None:
            row = connection.execute("SELECT count(*) FROM records WHERE run = %s", [number]).fetchone()
            if row is not None and row[0] >= records:
                break
            time.sleep(0.002)
    assert process.poll() is None, "it was to be killed, and is over"
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert process.stderr is not None
    process.stderr.close()


def test_a_killed_run_leaves_a_log_of_whole_inputs(server: EmbeddedPostgres, tmp_path: Path) -> None:
    stage = Stage(tmp_path, minutes=12_000, alerts=3000)
    summary = stage.backtest("--keep")
    whole = states(server, 1)
    assert len(whole) == summary["counts"]["records"] > 10 * GROUP
    chance = Random(os.getpid())
    moments = [1, *(chance.randrange(GROUP, len(whole) - 2 * GROUP) for _ in range(KILLS - 1))]
    kept = []
    for number, moment in enumerate(moments, 2):
        out = tmp_path / f"killed-{number}"
        kill_at(server, start(stage, out=out), number, moment)
        assert files(out) == [], "results are written when there are any"
        left = states(server, number)
        kept.append(len(left))
        assert left == whole[: len(left)], moments
        assert len(left) < len(whole), moments
        following = codec.decode(whole[len(left)])
        assert following.cause is None, f"cut in the middle of an input: {moments}"

    ended = run("verify", "--json")
    assert ended.code == 0, ended
    assert [verdict["status"] for verdict in ended.json] == ["same", *["interrupted"] * KILLS]
    assert [verdict["records"] for verdict in ended.json] == [len(whole), *kept]
    assert run("projections", "rebuild", "--diff").out == "nothing differs\n"
    assert f"({KILLS} interrupted)" in run("doctor").out

    again = stage.backtest("--keep")
    assert again["run"] == KILLS + 2
    assert without(again, "run", "seconds") == without(summary, "run", "seconds")
    assert states(server, again["run"]) == whole
    assert run("verify", again["run"]).code == 0
    assert run("projections", "rebuild", "--diff").code == 0


def test_a_run_killed_with_nobody_else_on_its_database(home: Path, tmp_path: Path) -> None:
    """The server outlives it; whoever comes next takes it over, and stops it in the end."""
    stage = Stage(tmp_path, minutes=12_000, alerts=3000)
    assert run_apart("migrate").code == 0
    process = start(stage)
    deadline = time.monotonic() + 30
    while not (home / "postgres" / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(Random(os.getpid()).uniform(0.3, 1.0))
    process.kill()
    process.wait(10)
    assert process.stderr is not None
    process.stderr.close()
    ended = run_apart("verify", "--json")
    assert ended.code == 0, ended
    # On a quick machine the run may have ended before it was killed.
    assert {verdict["status"] for verdict in ended.json} <= {"interrupted", "same"}
    assert run_apart("projections", "rebuild", "--diff").code == 0
    ended = run_apart(*stage.arguments("--keep", "--json"))
    assert ended.code == 0, ended
    assert run_apart("verify", ended.json["run"]).code == 0
    assert not (home / "postgres" / "postmaster.pid").exists()


# --- two at a time ---------------------------------------------------------------------------------------------------


def test_two_runs_at_the_same_time(home: Path, tmp_path: Path) -> None:
    """In two processes, on a data folder that is new to both."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    stages = [Stage(tmp_path / "a", minutes=6000, alerts=1500), Stage(tmp_path / "b", minutes=5000, alerts=1200)]
    stages[1].candles = stages[1].candles.rename(tmp_path / "b" / "others.csv")
    processes = [start(stage) for stage in stages]
    for process in processes:
        assert process.stderr is not None
        said = process.stderr.read()
        process.stderr.close()
        assert (process.wait(100), said) == (0, b"")
    summaries = [stage.summary() for stage in stages]
    assert {summary["run"] for summary in summaries} == {1, 2}
    assert (home / "postgres").is_dir()
    verdicts = {verdict["run"]: verdict for verdict in run("verify", "--json").json}
    for summary in summaries:
        verdict = verdicts[summary["run"]]
        assert verdict["status"] == "same"
        assert verdict["log_sha256"] == summary["log_sha256"]
        assert verdict["records"] == summary["counts"]["records"]
    assert run("projections", "rebuild", "--diff").code == 0
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url_of(SUPERUSER, DATABASE)) as connection:
        turns = connection.execute("SELECT run FROM records ORDER BY position").fetchall()
        gaps = connection.execute(
            "SELECT count(*) FROM (SELECT position + events - lead(position) OVER (ORDER BY position) AS gap FROM records)"
            " AS steps WHERE gap <> 0"
        ).fetchone()
    assert gaps == (0,), "positions are dense"
    changes = sum(before != after for before, after in pairwise(turns))
    assert changes > 1, "they were not written one after the other"
