"""`truetape lookahead` and `truetape recursive`: what they say of strategies that ship, and of those that cheat."""

from pathlib import Path

import pytest

from tests.api.commands.test_backtest_strategy import MINUTES, Market
from tests.api.commands.test_bad_input import assert_refused
from tests.api.stage import run, run_apart, walk

pytestmark = pytest.mark.usefixtures("shipped_only")
PEEKS = """\
from msgspec import Struct

import numpy as np

from domain.indicators import EMA, Column
from domain.strategy.intents import Place
from domain.strategy.plugin import Act, NoParameters, Strategy
from domain.values import Quantity


class Next(Column, frozen=True):
    def scan(self, columns):
        (values,) = super().scan(columns)
        return (np.append(values[1:], values[-1:]),)


def on_candle(parameters, view):
    following, _ = view.features
    side = "buy" if following > view.close else "sell"
    if view.is_working() or (side == "buy") == bool(view.position):
        return None
    return Act((Place(side, "market", Quantity(view.position or view.instrument.step * 1000)),))


def features(_parameters):
    return {"following": Next("close"), "slow": EMA(400)}


STRATEGY = Strategy("peeks", "Knows what comes.", NoParameters, on_candle, features=features)
"""
GRID = ("--set=quantity=0.01", "--set=levels_each_side=5", "--set=spacing_pct=0.2", "--set=recentre_after=5")
SHIPPED = {"sma_cross": ("--set=notional=10000", "--set=fast=5", "--set=slow=20"), "grid": GRID}


@pytest.fixture
def market(tmp_path: Path, home: Path) -> Market:
    assert home.exists()
    return Market(tmp_path)


@pytest.fixture
def cheat(market: Market) -> Path:
    path = market.folder / "peeks.py"
    path.write_text(PEEKS)
    return path


def asked(market: Market, command: str, name: str, *more: str) -> list[str]:
    """A command line without what only a backtest has."""
    return [command, *market.arguments(name, *more, out=None)[1:]]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_clean(name: str, market: Market) -> None:
    ended = run(*asked(market, "lookahead", name, *SHIPPED[name], "--cuts=5"))
    assert (ended.code, ended.err) == (0, "")
    assert "900 candles, " in ended.out
    assert "5 cuts" in ended.out
    assert ended.out.endswith("no difference: what it saw and decided was known then\n")
    as_json = run(*asked(market, "lookahead", name, *SHIPPED[name], "--cuts=5", "--json"))
    assert (as_json.code, as_json.json["difference"], as_json.json["cuts"]) == (0, None, 5)
    assert as_json.json["decisions"] > 5


def test_what_peeks_is_named_with_the_candle_and_both_values(cheat: Path, market: Market) -> None:
    ended = run_apart(*asked(market, "lookahead", str(cheat), "--cuts=5", "--json"))
    assert (ended.code, ended.err) == (1, "")
    close, following = (str(candle[3]) for candle in walk(MINUTES)[399:401])
    assert ended.json["difference"] == {
        "test": "stepped", "bot": "peeks", "name": "following", "at": "2022-01-01T06:39:00Z", "first": following,
        "second": close, "since": None,
    }  # fmt: skip
    told = run_apart(*asked(market, "lookahead", str(cheat), "--cuts=5"))
    assert told.code == 1
    assert told.out.splitlines()[-3:] == [
        "following of peeks differs at the candle of 2022-01-01T06:39:00Z",
        f"  as it was: {following}",
        f"  with its features stepped candle by candle: {close}",
    ]


def test_where_a_tape_begins_shows_as_long_as_a_feature_remembers(cheat: Path, market: Market) -> None:
    ended = run_apart(*asked(market, "recursive", str(cheat), "--later=100", "--json"))
    assert (ended.code, ended.err) == (1, "")
    following, slow = ended.json["drifts"]
    assert set(following["after"].values()) == {0.0, None}
    assert slow["after"]["0"] > slow["after"]["500"] > 1e-9
    assert slow["after"]["1000"] is None
    loose = run_apart(*asked(market, "recursive", str(cheat), "--later=100", "--tolerance=0.1"))
    assert (loose.code, loose.err) == (0, "")
    assert "largest relative difference after so many candles of the later tape" in loose.out


def test_sums_depend_on_their_window_alone(market: Market) -> None:
    ended = run(*asked(market, "recursive", "sma_cross", *SHIPPED["sma_cross"], "--later=100", "--later=300", "--json"))
    assert (ended.code, ended.err) == (0, "")
    assert {drift["later"] for drift in ended.json["drifts"]} == {100, 300}
    assert {rest for drift in ended.json["drifts"] for rest in drift["after"].values()} == {0.0, None}
    assert all(parting["same"] > 3 for parting in ended.json["partings"])


@pytest.mark.parametrize("command", ["lookahead", "recursive"])
def test_what_makes_no_sense_is_refused_in_a_line(command: str, market: Market) -> None:
    for more, said in (
        (("sma",), "strategy 'sma' is not known; allowed: grid, sma_cross"),
        (("dca_signals",), "this command is not for dca_signals, which acts on alerts"),
        (("sma_cross", "--set=notional=1", "--to=2022-01-01T00:20:00Z"), "the tape has 20 candles; allowed: more than"),
        (("sma_cross",), "parameters of sma_cross: Object missing required field `notional`"),
    ):
        ended = run(*asked(market, command, *more))
        assert_refused(ended, said)
        assert len(ended.err.splitlines()) == 1
