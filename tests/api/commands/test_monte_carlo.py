"""`truetape monte-carlo` on the folder of a backtest."""

import json
from pathlib import Path

import pytest

from tests.api.stage import run

TRIPS = "instrument,profit\nBTC/USDT,50\nBTC/USDT,-30\nBTC/USDT,20.5\n"
SUMMARY = {"metrics": {"initial_equity": "100", "currency": "USDT"}}


def written(folder: Path) -> Path:
    """A folder with what the command reads of a backtest."""
    folder.mkdir(exist_ok=True)
    (folder / "round_trips.csv").write_text(TRIPS)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path)


def test_it_says_how_the_result_spreads(folder: Path) -> None:
    said = run("monte-carlo", folder, "--paths", "500", "--json").json
    assert (said["paths"], said["trades"], said["currency"]) == (500, 3, "USDT")
    assert set(said["final_equity"].values()) == {140.5}
    assert said["max_drawdown"]["p1"] == pytest.approx(-0.3)
    assert run("monte-carlo", folder, "--paths", "500", "--json").json == said
    shown = run("monte-carlo", folder, "--method", "bootstrap")
    assert (shown.code, shown.err) == (0, "")
    assert "10,000 of 3 trades, by bootstrap" in shown.out


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("round_trips.csv", None, "round_trips.csv is not there"),
        ("round_trips.csv", "a,b\n1,2\n", "no column `profit`"),
        ("round_trips.csv", "instrument,profit\nBTC/USDT,lots\n", "no column `profit` of numbers"),
        ("round_trips.csv", "instrument,profit\n", "there are no trades"),
        ("summary.json", None, "summary.json is not there"),
        ("summary.json", "{}", "says no metrics.initial_equity"),
        ("summary.json", "no JSON", "says no metrics.initial_equity"),
        ("summary.json", '{"metrics": {"initial_equity": "0", "currency": "USDT"}}', "above 0"),
    ],
)
def test_a_folder_that_is_none_of_a_backtest_is_refused(
    name: str, content: str | None, refusal: str, folder: Path
) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    ended = run("monte-carlo", folder)
    assert (ended.code, ended.out) == (2, "")
    assert refusal in ended.err


def test_options_that_make_no_sense_are_refused(folder: Path) -> None:
    for options, refusal in ((["--method", "deal"], "--method is 'deal'"), (["--paths", "0"], "--paths is 0")):
        ended = run("monte-carlo", folder, *options)
        assert (ended.code, ended.out) == (2, "")
        assert refusal in ended.err
