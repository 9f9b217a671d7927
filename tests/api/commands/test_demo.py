"""`truetape demo`: the main job in one command."""

import csv
from pathlib import Path

from tests.api.stage import Stage, run, without


def test_demo(kept: Stage) -> None:
    ended = run("demo", "--days", 2, "--alerts", 20)
    assert (ended.code, ended.err) == (0, "")
    assert "records are the same to the byte" in ended.out
    assert "read models against a fold of the log: no differences" in ended.out
    assert "✓" in ended.out
    assert "✗" not in ended.out
    again = run("demo", "--days", 2, "--alerts", 20, "--json")
    assert again.code == 0
    assert set(again.json) == {"summary", "verdict", "projection_differences"}
    summary, verdict = again.json["summary"], again.json["verdict"]
    assert (summary["run"], verdict["run"], verdict["status"]) == (2, 2, "same")
    assert again.json["projection_differences"] == 0
    assert verdict["log_sha256"] == summary["log_sha256"]
    assert summary["log_sha256"] in ended.out
    third = run("demo", "--days", 2, "--alerts", 20, "--json").json["summary"]
    assert without(third, "run", "seconds") == without(summary, "run", "seconds")
    other = run("demo", "--days", 2, "--alerts", 20, "--seed", 8, "--json").json["summary"]
    assert other["log_sha256"] != summary["log_sha256"]
    assert run("verify").code == 0
    assert not kept.out.exists()


def test_what_is_shown_is_what_is_written(kept: Stage, home: Path) -> None:
    ended = run("demo", "--days", 3, "--alerts", 30)
    with (home / "runs" / "demo" / "fills.csv").open(newline="") as file:
        fills = list(csv.DictReader(file))
    assert len(fills) > 8
    assert f"the last 8 of {len(fills)} fills" in ended.out
    for fill in fills[-8:]:
        (line,) = (
            line for line in ended.out.splitlines() if line.startswith(fill["at"]) and f" {fill['fee']} " in line
        )
        assert fill["side"] in line
        assert fill["quantity"] in line
    assert kept.config.exists()


def test_bounds() -> None:
    for arguments in (("--days", 0), ("--days", 367), ("--alerts", 0), ("--alerts", 10_001), ("--seed", "x")):
        ended = run("demo", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert arguments[0] in ended.err
        assert len(ended.err.splitlines()) == 1
