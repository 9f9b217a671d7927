"""Backtests of strategies, small enough for tests, and what the log says of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from domain.account.events import AccountKind
from domain.market import Instrument, make_instrument
from domain.message import Command
from domain.strategy.plugin import Strategy
from domain.strategy.registry import read_parameters, strategy_named
from domain.values import Time
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from replay.demo import demo_tape
from replay.game import Game, MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from tests.simulator import ListLedger

BTC = make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5), price_scale=2)
BALANCES = {"USDT": Decimal(100_000), "BTC": Decimal(1)}
GRID: Mapping[str, Any] = {"quantity": "0.01", "lower": "89600", "upper": "90400", "levels": 20}
RICH_GRID: Mapping[str, Any] = {
    "quantity": "0.05", "spacing_pct": "0.05", "levels_each_side": 5, "recentre_after": 3, "daily_loss_limit": "40",
}  # fmt: skip
"""A grid that is centred on the first close, moves after the price, and gives up for the day."""
CROSS: Mapping[str, Any] = {"notional": "10000", "fast": 5, "slow": 20}


def candles(count: int, seed: int = 7) -> Tape:
    """So many of the demonstration's one-minute candles."""
    tape = demo_tape(count // 1440 + 1, seed)
    return tape.slice(Time(tape.open_times[0]), Time(tape.open_times[count - 1] + 1))


def setup_of(bot: str, name: str, parameters: Mapping[str, Any], instrument: Instrument = BTC) -> StrategySetup:
    return made(bot, strategy_named(name), parameters, instrument)


def made(bot: str, strategy: Strategy, parameters: Mapping[str, Any], instrument: Instrument = BTC) -> StrategySetup:
    return StrategySetup(bot, strategy, read_parameters(strategy, parameters, instrument), instrument.id)


def game_of(
    strategies: Sequence[StrategySetup],
    tape: Tape,
    *,
    balances: Mapping[str, Decimal] = BALANCES,
    kind: AccountKind = "spot",
    commands: tuple[Command, ...] = (),
    instrument: Instrument = BTC,
) -> Game:
    terms = Terms(Decimal("0.0002"), Decimal("0.0005"))
    markets = (MarketSetup(instrument, terms),)
    portfolio = Portfolio(markets, (), dict(balances), kind, commands, strategies=tuple(strategies))
    return portfolio_game(portfolio, [tape], [])


def played(game: Game, pace: Any = "skip") -> ListLedger:
    ledger = ListLedger()
    play(game, ledger, pace=pace)
    return ledger


def counted(ledger: ListLedger) -> Counter[str]:
    """How many events there are of each type."""
    return Counter(type(event).__name__ for record in ledger.records for event in record.events)
