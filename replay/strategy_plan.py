"""A backtest of a strategy as it is asked for: its parameters, its markets, and the stretch of their tapes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from domain.errors import InputError
from domain.message import Command
from domain.strategy.plugin import Strategy
from domain.strategy.registry import read_parameters
from domain.values import POWERS, InstrumentId, Time, time_text
from infrastructure.market_data.shelf import Stored
from infrastructure.market_data.tape import Tape
from infrastructure.plugins import load_plugins
from infrastructure.strategy_file import strategy_of
from replay.backtest import Game, Portfolio, StrategySetup, portfolio_game
from replay.inputs import InstrumentTable, read_controls, read_strategy
from replay.plan import Account, Plan
from replay.sweep.backtests import bot_name

ACCOUNT = "main"
FINEST = Decimal(0)
"""The tick or step of who named none: the tape's own price quantum, and 10^-8 of the base asset."""
STEP = Decimal("0.00000001")
DCA = "dca_signals"


class StrategyPlan(Struct, frozen=True):
    """What is asked for. `markets` with a tick or step of FINEST have none of their own; `given` are parameters by name."""

    strategy: Strategy
    given: Mapping[str, Any]
    path: Path | None
    markets: tuple[InstrumentTable, ...]
    commands: tuple[Command, ...] = ()
    window: tuple[Time, Time] | None = None

    def stored(self, home: Path) -> list[Stored]:
        """Each market's tape on the shelf, as `Plan.stored`."""
        return Plan(self.path, self.markets, ()).stored(home)

    def game(self, account: Account, stored: Sequence[Stored]) -> Game:
        """The game on these tapes; raises InputError where it makes no sense."""
        tapes = [self._cut(each.load()) for each in stored]
        markets = tuple(_on_grid(table, tape) for table, tape in zip(self.markets, tapes, strict=True))
        plan = Plan(self.path, markets, (), self.commands)
        portfolio = plan.portfolio(account, [tape.price_scale for tape in tapes])
        game = portfolio_game(structs.replace(portfolio, strategies=self._setups(portfolio)), tapes, [])
        return structs.replace(game, window=self.window)

    def _setups(self, portfolio: Portfolio) -> tuple[StrategySetup, ...]:
        setups = []
        for table, market in zip(self.markets, portfolio.markets, strict=True):
            given = {**self.given, **table.parameters}
            bot = table.bot or bot_name(self.strategy.name, table.name, len(self.markets))
            parameters = read_parameters(self.strategy, given, market.instrument)
            setups.append(StrategySetup(bot, self.strategy, parameters, InstrumentId(table.name)))
        names = [each.bot for each in setups]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{self.path}: instruments: two of them name the bot {name!r}")
        return tuple(setups)

    def _cut(self, tape: Tape) -> Tape:
        if self.window is None:
            return tape
        part = tape.slice(*self.window)
        if not len(part):
            whole = f"{time_text(tape.open_times[0])} to {time_text(tape.open_times[-1])}"
            raise InputError(f"--from and --to leave no candle of {tape.instrument or 'the tape'}; it has {whole}")
        return part


def strategy_plan(
    name: str,
    values: Mapping[str, str],
    config: Path | None,
    market: InstrumentTable | None,
    window: tuple[Time, Time] | None = None,
) -> StrategyPlan:
    """The plan of a strategy, named or in a file; values that were typed stand above those of the configuration at `config`."""
    load_plugins()
    strategy = strategy_of(name)
    common, tables = ({}, []) if config is None else read_strategy(config)
    if market is not None and tables:
        raise InputError(f"--instrument is given, and {config} has [[instruments]]; allowed: one of both")
    markets = tuple(tables) if market is None else (market,)
    if not markets:
        raise InputError(
            "no market is named; allowed: --instrument with --candles, --tape or --market, or [[instruments]]"
        )
    given = {**common, **values}
    for table in markets:
        read_parameters(strategy, {**given, **table.parameters})
    commands = () if config is None else tuple(read_controls(config, ACCOUNT))
    return StrategyPlan(strategy, given, None if market is not None else config, markets, commands, window)


def _on_grid(table: InstrumentTable, tape: Tape) -> InstrumentTable:
    tick = table.tick or Decimal(1) / POWERS[tape.price_scale]
    return structs.replace(table, tick=tick, step=table.step or STEP)
