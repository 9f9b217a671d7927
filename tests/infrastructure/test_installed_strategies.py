"""Strategies of other packages: found by their entry point, run by name, said in a line where they cannot be loaded."""

from pathlib import Path

import pytest

from tests.api.commands.test_backtest_strategy import MINE, Market
from tests.api.commands.test_bad_input import assert_refused
from tests.api.stage import Ended, run_apart
from tests.conftest import ROOT


@pytest.fixture
def market(tmp_path: Path, home: Path) -> Market:
    assert home.exists()
    return Market(tmp_path)


@pytest.fixture
def installed(market: Market) -> Path:
    """A folder with a package as an installer leaves it: its code, and what it says of itself."""
    folder = market.folder / "site"
    package, about = folder / "their_strategies", folder / "their_strategies-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(MINE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-strategies\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[truetape.strategies]\nmine = their_strategies.mine:STRATEGY\n")
    return folder


def beside(folder: Path, *arguments: object) -> Ended:
    return run_apart(*arguments, PYTHONPATH=f"{ROOT}:{folder}")


def test_it_is_listed_and_shown(installed: Path) -> None:
    listed = {each["name"]: each for each in beside(installed, "strategy", "list", "--json").json}
    assert set(listed) == {"dca_signals", "grid", "mine", "sma_cross"}
    assert (listed["mine"]["title"], listed["mine"]["acts_on"]) == ("Buys once.", "candles")
    shown = beside(installed, "strategy", "show", "mine")
    assert (shown.code, "breaks" in shown.out, "true or false" in shown.out) == (0, True, True)
    assert "mine" not in run_apart("strategy", "list").out


def test_it_runs_by_its_name(installed: Path, market: Market) -> None:
    ended = beside(installed, *market.arguments("mine", "--json"))
    assert (ended.code, ended.err) == (0, "")
    assert (ended.json["strategy"], ended.json["counts"]["fills"]) == ("mine", 1)
    assert beside(installed, *market.arguments("mine", "--set=breaks=true")).code == 1
    assert beside(installed, "lookahead", *market.arguments("mine", "--cuts=2", out=None)[1:]).code == 0
    other = run_apart(*market.arguments("mine"))
    assert_refused(other, "strategy 'mine' is not known; allowed: dca_signals, grid, sma_cross")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_like_it\n", "No module named 'nothing_like_it'"),
        ("x = 1\n", "has no attribute 'STRATEGY'"),
        ("STRATEGY = 1\n", "1 is no domain.strategy.plugin.Strategy"),
    ],
    ids=["an import", "no strategy", "another thing"],
)
def test_one_that_cannot_be_loaded_stops_the_run(text: str, said: str, installed: Path, market: Market) -> None:
    """Even where another is asked for: a run must not begin with less than was installed."""
    (installed / "their_strategies" / "mine.py").write_text(text)
    for name, values in (("mine", ()), ("sma_cross", ("--set=notional=100",))):
        ended = beside(installed, *market.arguments(name, *values))
        assert_refused(ended, said)
        assert len(ended.err.splitlines()) == 1
        assert not market.out.exists()
