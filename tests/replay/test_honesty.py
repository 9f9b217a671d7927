"""The shift test passes what ships and names what peeks, hides or reads a clock; start dependence is told in numbers."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from msgspec import Struct, structs
from numpy.typing import NDArray

from domain.errors import InputError
from domain.indicators import EMA, SMA, Column, Indicator, Lag
from domain.market import make_instrument
from domain.strategies.sma_cross import STRATEGY as CROSS_NOW
from domain.strategy import registry
from domain.strategy.intents import Cancel, Place
from domain.strategy.plugin import Act, NoParameters, Strategy, View
from domain.strategy.registry import strategies
from domain.values import Quantity
from infrastructure.market_data.columns_file import view
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from replay.demo import demo_tape
from replay.game import Game, MarketSetup, Portfolio, StrategySetup, portfolio_game
from replay.honesty import Findings, runs_of_shift_test, shift_test
from replay.start_dependence import start_test
from tests.strategy_game import BTC, CROSS, GRID, RICH_GRID, candles, game_of, made, setup_of

TAPE = candles(1200)
LOT = Quantity(1000)
pytestmark = pytest.mark.usefixtures("shipped_only")
FREE = Terms(Decimal(0), Decimal(0))
CENTRED: Mapping[str, Any] = {"quantity": "0.01", "spacing_pct": "0.05", "levels_each_side": 5}
SHIPPED: list[tuple[str, Mapping[str, Any]]] = [("sma_cross", CROSS), ("grid", GRID), ("grid", RICH_GRID)]


def found_in(strategy: Strategy, parameters: Mapping[str, Any] | None = None, tape: Tape = TAPE) -> Findings:
    registry.register(strategy)
    return shift_test(game_of([made("cheat", strategy, parameters or {})], tape), 10)


# --- what ships ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters"), SHIPPED, ids=["sma_cross", "grid", "a grid that moves"])
def test_what_ships_does_not_peek(name: str, parameters: Mapping[str, Any]) -> None:
    done: list[int] = []
    found = shift_test(game_of([setup_of("one", name, parameters)], TAPE), 10, advance=done.append)
    assert (found.difference, found.failed, found.cuts) == (None, {}, 10)
    assert found.decisions > 20
    assert done == list(range(1, runs_of_shift_test(10) + 1))


def test_every_strategy_that_ships_is_among_them() -> None:
    assert {name for name, _ in SHIPPED} == set(strategies())


def test_two_markets_with_holes() -> None:
    """What one market's tape lacks at a cut is no difference in the other's."""
    eth = make_instrument("ETH/USDT", Decimal("0.01"), Decimal("0.0001"), Decimal(5), price_scale=2)
    markets = (MarketSetup(BTC, FREE), MarketSetup(eth, FREE))
    setups = (setup_of("b", "sma_cross", CROSS), setup_of("e", "sma_cross", CROSS, eth))
    balances = {"USDT": Decimal(100_000)}
    other = demo_tape(1, 9)
    kept = np.delete(np.arange(1200), np.arange(300, 420))
    columns = {name: np.asarray(getattr(other, name))[kept] for name in other.__struct_fields__[:6]}
    tape = structs.replace(other, **{name: view(array) for name, array in columns.items()})
    portfolio = Portfolio(markets, (), balances, strategies=setups)
    found = shift_test(portfolio_game(portfolio, [TAPE, tape], []), 12)
    assert found.difference is None
    assert set(found.features) == {"b", "e"}


def test_a_tape_that_is_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="the tape has 20 candles; allowed: more than the 22 that features"):
        shift_test(game_of([setup_of("one", "sma_cross", CROSS)], candles(20)), 5)


# --- planted ---------------------------------------------------------------------------------------------------------


class Peek(Column, frozen=True):
    """The next candle's close, in a scan; stepped it cannot know that."""

    def scan(self, columns: Mapping[str, memoryview]) -> tuple[NDArray[Any], ...]:
        (values,) = super().scan(columns)
        return (np.append(values[1:], values[-1:]),)


class Height(Column, frozen=True):
    """The highest close of the whole tape: no candle order shows it, only its end."""

    def scan(self, columns: Mapping[str, memoryview]) -> tuple[NDArray[Any], ...]:
        (values,) = super().scan(columns)
        return (np.full_like(values, values.max()),)


def buys_below(_parameters: NoParameters, view: View) -> Act | None:
    if view.features[0] > view.close and not view.position and not view.is_working():
        return Act((Place("buy", "market", LOT),))
    if view.features[0] < view.close and view.position and not view.is_working():
        return Act((Place("sell", "market", Quantity(view.position)),))
    return None


def by(feature: Indicator, **changes: Any) -> Strategy:
    parts = {"on_candle": buys_below, "features": lambda _parameters: {"near": Column("close"), "peek": feature}}
    parts["on_candle"] = lambda parameters, view: buys_below(parameters, _only(view, 1))
    return Strategy("cheat", "Knows more.", NoParameters, **{**parts, **changes})


def _only(view: View, place: int) -> View:
    return View(view.at, view.bot, view.instrument, view.close, view.features[place:], view.memory, view.account)


@pytest.mark.parametrize("feature", [Peek("close"), Height("close")], ids=["the next close", "the tape's height"])
def test_a_feature_that_peeks_is_named(feature: Indicator) -> None:
    found = found_in(by(feature)).difference
    assert found is not None
    assert (found.test, found.bot, found.name) == ("stepped", "cheat", "peek")
    first = int(TAPE.closes[0])
    assert (found.at, found.second) == (TAPE.open_times[0], repr(first))
    assert found.first != found.second


@pytest.mark.parametrize("feature", [Peek("close"), Height("close")], ids=["the next close", "the tape's height"])
def test_a_cut_finds_it_too(feature: Indicator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stepping shows nothing: here it is left out."""
    monkeypatch.setattr("replay.honesty._stepped", lambda _whole: None)
    found = found_in(by(feature)).difference
    assert found is not None
    assert found.since is not None
    assert (found.test, found.name) == ("cut", "peek")
    assert found.at < found.since


def mask_that_peeks(_parameters: NoParameters, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The candles before a rise."""
    closes = columns["close"]
    return np.append(np.diff(closes) > 0, False)


def turns(_parameters: NoParameters, view: View) -> Act | None:
    """In and out again, whenever it is asked."""
    if view.is_working():
        return None
    side: Any = "sell" if view.position else "buy"
    return Act((Place(side, "market", Quantity(view.position) if view.position else LOT),))


def closes(_parameters: NoParameters) -> Mapping[str, Indicator]:
    return {"close": Column("close")}


PLAIN = Strategy("cheat", "Turns.", NoParameters, turns, features=closes)


def test_a_mask_that_peeks_is_found() -> None:
    """Its candles are right for what it wants, so only another future shows that it knew this one."""
    masked = structs.replace(PLAIN, may_act=mask_that_peeks)
    found = found_in(masked).difference
    assert found is not None
    # Asked at every candle it would turn at every candle: the mask names too few.
    assert (found.test, found.name) == ("every", "on_candle")

    def picky(parameters: NoParameters, view: View) -> Act | None:
        """Only that which the mask knows sorts the candles: by a table of the tape that it was made for."""
        return turns(parameters, view) if view.at in RISES else None

    found = found_in(structs.replace(masked, on_candle=picky)).difference
    assert found is not None
    assert (found.test in {"higher", "lower"}, found.name) == (True, "may_act")
    assert found.since == TAPE.open_times[TAPE.open_times.tolist().index(found.at) + 1]


RISES = {
    at for at, now, then in zip(TAPE.open_times[:-1], TAPE.closes[:-1], TAPE.closes[1:], strict=True) if then > now
}


CALLS: list[int] = []


def remembers(parameters: NoParameters, view: View) -> Act | None:
    """Hidden state: the second run finds what the first has left."""
    CALLS.append(view.at)
    return turns(parameters, view) if len(CALLS) % 7 == 0 else None


def reads_the_clock(parameters: NoParameters, view: View) -> Act | None:
    act = turns(parameters, view)
    return None if act is None else Act((*act.intents, Cancel((time.monotonic_ns() % 2**40,))))


@pytest.mark.parametrize("cheat", [remembers, reads_the_clock])
def test_what_is_not_on_the_log_shows_in_a_second_run(cheat: Any) -> None:
    CALLS.clear()
    found = found_in(structs.replace(PLAIN, on_candle=cheat)).difference
    assert found is not None
    assert (found.test, found.name, found.since) == ("again", "on_candle", None)
    assert found.first != found.second
    assert found.first.startswith(("cheat, holding ", "nothing"))


def forgets_candles(parameters: Any, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The mask of `sma_cross` without its ups."""
    assert CROSS_NOW.may_act is not None
    mask = CROSS_NOW.may_act(parameters, columns)
    fewer: NDArray[np.bool_] = mask & (columns["fast"] * parameters.slow < columns["slow"] * parameters.fast)
    return fewer


def test_a_mask_that_names_too_few_is_found() -> None:
    found = found_in(structs.replace(CROSS_NOW, name="cheat", may_act=forgets_candles), CROSS).difference
    assert found is not None
    assert (found.test, found.name, found.first) == ("every", "on_candle", "nothing")
    assert found.second.startswith("cheat, holding 0: buy market")


def test_one_that_breaks_is_said() -> None:
    def breaks(_parameters: NoParameters, view: View) -> Act | None:
        raise ValueError(f"no {view.bot}")

    found = found_in(structs.replace(PLAIN, on_candle=breaks))
    assert (found.difference, found.failed) == (None, {"cheat": "ValueError: no cheat"})


# --- where the tape begins -------------------------------------------------------------------------------------------


class Ema(Struct, frozen=True, forbid_unknown_fields=True):
    """Two features, of which one never forgets."""

    n: int


def features_of_ema(parameters: Ema) -> Mapping[str, Indicator]:
    return {"mean": SMA(parameters.n), "ema": EMA(parameters.n), "before": Lag(EMA(parameters.n), 2)}


def over(tape: Tape = TAPE, n: int = 50) -> Game:
    strategy = Strategy("smooth", "Does nothing.", Ema, lambda _parameters, _view: None, features=features_of_ema)
    registry.register(strategy)
    return game_of([StrategySetup("smooth", strategy, Ema(n), BTC.id)], tape)


def test_how_long_a_start_shows_is_told() -> None:
    report = start_test(over(), (100, 300), (0, 100, 500, 5000))
    drifts = {(each.feature, each.later): each for each in report.drifts}
    assert set(drifts) == {(name, later) for name in ("mean", "ema", "before") for later in (100, 300)}
    for later in (100, 300):
        assert set(drifts["mean", later].after.values()) == {0.0, None}, "a window forgets"
        ema = drifts["ema", later].after
        first, soon, late = ema[0], ema[100], ema[500]
        assert first is not None
        assert soon is not None
        assert late is not None
        assert first > soon > late > 0
        assert (ema[5000], drifts["ema", later].rest) == (None, late)
    # The seed's error shrinks by 1 - 2/(n + 1) a candle.
    ema = drifts["ema", 100].after
    decay = (1 - 2 / 51) ** 450
    assert ema[0] is not None
    assert ema[500] == pytest.approx(ema[0] * decay, rel=0.1)


def test_decisions_that_depend_on_the_start_are_counted() -> None:
    report = start_test(game_of([setup_of("c", "sma_cross", CROSS), setup_of("g", "grid", CENTRED)], TAPE), (100,))
    cross, grid = report.partings
    assert (cross.bot, cross.whole >= cross.same > 10) == ("c", True)
    assert cross.last is None or cross.last < TAPE.open_times[200], "after the first crossing it is the same"
    assert grid.same < grid.whole, "a grid lies about the first close it sees"
    assert grid.last is not None
    assert all(drift.rest == 0 for drift in report.drifts), "sums of integers"


def test_a_tape_that_has_not_so_many_is_refused() -> None:
    with pytest.raises(InputError, match="the tape has 1200 candles; allowed: more than the 1200 that are left out"):
        start_test(over(), (1200,))
