"""`truetape explain`: a tree for people, within the terminal, and the same as JSON."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.stage import Stage, run

GUIDES = {ord(each): None for each in "│├└─"}
"""What draws the tree."""


@pytest.fixture
def logged(kept: Stage) -> Stage:
    """Two kept runs: the stage's, and one of another balance."""
    kept.backtest("--keep", balance="USDT=700")
    kept.backtest("--keep")
    return kept


def said(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from node["said"]
    for child in node["children"]:
        yield from said(child)


@pytest.mark.parametrize(
    "words",
    [("order", "main", 1), ("signal", "signals", 1), ("group", "dca_signals", 1), ("event", 40)],
    ids=lambda words: words[0],
)
def test_for_people_and_programs(words: tuple[Any, ...], logged: Stage) -> None:
    assert logged.out.exists()
    for run_number in (1, 2):
        more = () if words[0] == "event" else ("--run", run_number)
        told, story = run("explain", *words, *more), run("explain", *words, *more, "--json").json
        assert (told.code, told.err) == (0, "")
        assert all(len(line) <= 80 for line in told.out.splitlines())
        flat = "".join(told.out.translate(GUIDES).split())
        for each in said(story["root"]):
            assert ("".join(each["text"].split()) in flat) is not each["minor"]
        assert f"run {story['run']}: " in told.out.splitlines()[0]


def test_the_newest_run_unless_told(logged: Stage) -> None:
    assert logged.out.exists()
    assert run("explain", "order", "main", 1, "--json").json["run"] == 2
    assert run("explain", "event", 20, "--json").json["run"] == 1, "a position says of which run it is"


def test_all_of_it(logged: Stage) -> None:
    assert logged.out.exists()
    told = run("explain", "group", "dca_signals", 1, "--all")
    story = run("explain", "group", "dca_signals", 1, "--json").json
    assert told.code == 0
    for each in said(story["root"]):
        assert f"#{each['position']}" in told.out


def test_as_of_and_limit(logged: Stage) -> None:
    assert logged.out.exists()
    story = run("explain", "group", "dca_signals", 1, "--json").json
    known = run("explain", "group", "dca_signals", 1, "--as-of", story["asked"], "--json").json
    assert max(each["position"] for each in said(known["root"])) == story["asked"]
    cut = run("explain", "group", "dca_signals", 1, "--limit", 2)
    assert "and more that is not shown" in cut.out
    assert "more followed" in cut.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("order", "main", "9999"), "order 9999 of account main is not on the log of run 2"),
        (("signal", "nobody", "1"), "alert 1 of nobody is not on the log of run 2"),
        (("group", "dca_signals", "1", "--run", "9"), "run 9 is not kept"),
        (("group", "dca_signals", "1", "--as-of", "soon"), "as_of 'soon'"),
        (("event", "1000000"), "the event at position 1000000 is not on the log"),
        (("order", "main", "x"), "order"),
        (("order", "main", "0"), "order"),
        (("order", "main", "99999999999999999999"), "is not on the log"),
        (("group", "dca_signals", "1", "--limit", "0"), "--limit"),
    ],
)
def test_what_is_not_there(arguments: tuple[str, ...], says: str, logged: Stage) -> None:
    assert logged.out.exists()
    ended = run("explain", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_hostile_alert_cannot_drive_the_terminal(kept: Stage) -> None:
    body = "[red]x[/blue] \x1b[31m \x07\nsecond line"
    kept.signals.write_text(json.dumps({"at": "2022-01-01T00:05:00Z", "body": body}) + "\n")
    kept.backtest("--keep")
    ended = run("explain", "signal", "signals", 1)
    assert ended.code == 0
    assert "[red]x[/blue]" in ended.out
    assert "malformed, nothing is done" in ended.out
    assert not {"\x1b", "\x07"} & set(ended.out)
