"""`truetape what-if` as it is called: exit codes, what it prints, what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from tests.api.stage import Stage, run
from tests.conftest import TestServer


@pytest.fixture
def stage(tmp_path: Path, home: Path, test_server: TestServer, database_name: str, monkeypatch: Any) -> Stage:
    """A kept run with its tape."""
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(database_name))
    assert home.exists()
    stage = Stage(tmp_path, minutes=300, alerts=10)
    stage.backtest("--keep")
    return stage


def test_what_differs_is_said_and_nothing_is_changed(stage: Stage) -> None:
    before = run("events", "list", "--limit", "1000").out
    ended = run("what-if", "1", "--set", "legs[0].take_profit_pct=1.5", "--limit", "2")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith("run 1 (dca_signals BTC/USDT), forked at its beginning\n")
    for part in (
        "main USDT equity",
        "fills",
        "facts from outside lead to something else: ",
        "... and ",
        ": 0.4 -> 1.5",
    ):
        assert part in ended.out
    assert run("events", "list", "--limit", "1000").out == before
    assert run("verify").code == 0


def test_the_outcome_is_that_of_a_backtest_with_those_settings(stage: Stage) -> None:
    found = run(
        "what-if", "--set", "capital=500", "--set", "max_pyramids=2", "--pool", "max_open_groups=3", "--json"
    ).json
    stage.config.write_text(
        stage.config.read_text()
        .replace('capital = "1000"', 'capital = "500"')
        .replace("max_pyramids = 1", "max_pyramids = 2")
        + "[pool]\nmax_open_groups = 3\n"
    )
    summary = stage.backtest()
    balance = found["what_if"]["balances"]["main USDT"]
    assert (balance["equity"], balance["fees"]) == (summary["final_equity"], summary["fees"])
    assert found["what_if"]["counts"]["fills"] == summary["counts"]["fills"] != found["recorded"]["counts"]["fills"]


def test_a_change_without_effect(stage: Stage) -> None:
    assert stage.out.exists()
    ended = run("what-if", "1", "--pool", "max_open_groups=9")
    assert (ended.code, ended.err) == (0, "")
    assert "nothing differs: " in ended.out
    same = run("what-if", "1", "--set", "group.max_pyramids=1", "--json")
    assert (same.code, same.json["differences"], same.json["has_consequences"]) == (0, [], False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what to change"),
        (("--pool", "max_open_groups=2", "--bot", "x"), "there is no such"),
        (("--set", "pyramids=2"), "'pyramids=2' is not KEY=VALUE; allowed keys: legs, "),
        (("--set", "max_pyramids=0"), "max_pyramids"),
        (("--set", "legs[2].gap_pct=1"), "there is no legs[2]; there are 2 legs, counted from 0"),
        (("--set", "legs[0].gap=1"), "gap"),
        (("--set", "capital=2", "--bot", "none"), "nobody from there on whose group settings of bot 'none'"),
        (("--limits", "order_notional_max=lots"), "order_notional_max"),
        (("--set", "capital=2", "--at", "99999"), "position 99999 is not in run 1"),
        (("7", "--set", "capital=2"), "run 7 is not kept"),
    ],
)
def test_what_it_refuses(arguments: tuple[str, ...], said: str, stage: Stage) -> None:
    assert stage.out.exists()
    ended = run("what-if", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(ended.err.splitlines()) <= 3
