"""What a strategy's summary says of the account is what the projections say of the same log."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.account.events import AccountKind
from domain.errors import InputError
from domain.market import make_instrument
from domain.message import Event, Record
from domain.strategies.sma_cross import STRATEGY as CROSS_NOW
from domain.strategy.events import StrategyFailed
from domain.strategy.plugin import Act, View
from domain.strategy.registry import register
from infrastructure.venues.simulated import Terms
from replay.demo import demo_tape
from replay.game import Game, MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from replay.gathered import Gathered, gather
from replay.results import results_of
from replay.strategy_results import account_results
from replay.summary import summarize
from tests.replay.run import Kept
from tests.simulator import tape_of
from tests.strategy_game import BTC, CROSS, GRID, RICH_GRID, made, setup_of

ETH = make_instrument("ETH/USDT", Decimal("0.001"), Decimal("0.00001"), Decimal(5), price_scale=3, fee_asset="base")
BASE_BTC = structs.replace(BTC, fee_asset="base")
CENTRED = {"quantity": "0.01", "spacing_pct": "0.05", "levels_each_side": 5}
MONEY = {"USDT": Decimal(100_000)}
HELD = {"USDT": Decimal(50_000), "BTC": Decimal("1.5"), "ETH": Decimal(2)}


def game(
    setups: Sequence[StrategySetup],
    balances: dict[str, Decimal],
    *,
    btc: Any = BTC,
    kind: AccountKind = "spot",
    fees: tuple[str, str] = ("0.0002", "0.0007"),
) -> Game:
    terms = Terms(Decimal(fees[0]), Decimal(fees[1]), Decimal("0.0001"))
    names = {setup.instrument for setup in setups}
    markets = [(each, tape) for each, tape in ((btc, demo_tape(2, 4)), (ETH, demo_tape(2, 9))) if each.id in names]
    owned = {name: amount for name, amount in balances.items() if name in {"USDT", *(each.base for each, _ in markets)}}
    portfolio = Portfolio(
        tuple(MarketSetup(each, terms) for each, _ in markets), (), owned, kind, strategies=tuple(setups)
    )
    return portfolio_game(portfolio, [tape for _, tape in markets], [])


def told(game: Game) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is said after one reading, and by the projections."""
    kept = Kept()
    play(game, kept)
    instrument, found = game.markets[0].instrument, gather(kept)
    results = results_of(game, found)
    said = {"counts": found.counts(), **account_results(results, instrument)}
    wanted = summarize(kept, instrument)
    alerts = wanted["counts"].pop("alerts")
    assert set(alerts.values()) == {0}
    return said, wanted


GAMES = {
    "sma_cross": lambda: game([setup_of("c", "sma_cross", CROSS)], MONEY),
    "grid": lambda: game([setup_of("g", "grid", CENTRED)], HELD),
    "a grid that moves": lambda: game([setup_of("g", "grid", RICH_GRID)], HELD),
    "base fees": lambda: game([setup_of("c", "sma_cross", CROSS, BASE_BTC)], MONEY, btc=BASE_BTC),
    "base fees and a holding": lambda: game([setup_of("g", "grid", CENTRED, BASE_BTC)], HELD, btc=BASE_BTC),
    "a rebate": lambda: game([setup_of("g", "grid", CENTRED)], HELD, fees=("-0.0001", "0.0005")),
    "no fees": lambda: game([setup_of("c", "sma_cross", CROSS)], MONEY, fees=("0", "0")),
    "a margin account": lambda: game([setup_of("g", "grid", CENTRED)], MONEY, kind="margin"),
    "two on one market": lambda: game([setup_of("c", "sma_cross", CROSS), setup_of("g", "grid", GRID)], HELD),
    "two markets": lambda: game(
        [setup_of("c", "sma_cross", CROSS), setup_of("e", "sma_cross", CROSS, ETH), setup_of("g", "grid", CENTRED)],
        HELD,
    ),
}


@pytest.mark.parametrize("name", GAMES)
def test_it_is_what_the_projections_say(name: str) -> None:
    said, wanted = told(GAMES[name]())
    assert said == wanted
    assert said["counts"]["fills"] > 10
    assert said["realized_pnl"] != "0"


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), fast=st.integers(1, 12), wide=st.integers(1, 30), maker=st.integers(-3, 12))
def test_on_any_walk(seed: int, fast: int, wide: int, maker: int) -> None:
    tape = demo_tape(1, seed)
    terms = Terms(Decimal(maker).scaleb(-4), Decimal("0.001"))
    setups = (
        setup_of("c", "sma_cross", {"notional": "7777", "fast": fast, "slow": fast + wide}, BASE_BTC),
        setup_of("g", "grid", {"quantity": "0.003", "spacing_pct": "0.04", "levels_each_side": 8}, BASE_BTC),
    )
    portfolio = Portfolio(
        (MarketSetup(BASE_BTC, terms),), (), {"USDT": Decimal(30_000), "BTC": Decimal(1)}, strategies=setups
    )
    said, wanted = told(portfolio_game(portfolio, [tape], []))
    assert said == wanted


def test_a_fill_that_is_left_out_would_be_found() -> None:
    kept = Kept()
    asked = GAMES["base fees"]()
    play(asked, kept)
    results = results_of(asked, gather(kept))
    wanted = account_results(results, asked.markets[0].instrument)
    fewer = account_results(structs.replace(results, fills=results.fills[1:]), asked.markets[0].instrument)
    assert {name for name in wanted if wanted[name] != fewer[name]} == {"realized_pnl", "unrealized_pnl"}


@pytest.mark.usefixtures("shipped_only")
def test_one_that_broke_is_counted() -> None:
    def breaks(_parameters: Any, view: View) -> Act | None:
        raise ValueError(view.bot)

    broken = structs.replace(CROSS_NOW, name="breaks", on_candle=breaks, may_act=None)
    register(broken)
    setup = made("b", broken, CROSS)
    portfolio = Portfolio((MarketSetup(BTC, Terms(Decimal(0), Decimal(0))),), (), MONEY, strategies=(setup,))
    walk = tape_of([(100 + at % 7, 110, 90, 100 + at % 5) for at in range(200)])
    kept, found = Kept(), Gathered()
    play(portfolio_game(portfolio, [walk], []), kept)
    seen: list[Record[Event]] = list(found.passing(kept))
    assert seen == list(kept)
    assert found.failed == [StrategyFailed("b", "main", "ValueError: b")]
    events = sum(len(record.events) for record in kept)
    assert found.counts() == {"records": len(kept), "events": events, "orders": 0, "denied": 0, "fills": 0}


def test_two_strategies_under_one_name_are_refused() -> None:
    """The log would refuse the second, and a rerun could not tell whose features were whose."""
    twice = [setup_of("one", "grid", GRID), setup_of("one", "sma_cross", CROSS)]
    with pytest.raises(InputError, match="bot 'one' is named twice"):
        game(twice, MONEY)
