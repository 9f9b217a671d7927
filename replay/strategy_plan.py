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
from domain.values import POWERS, TIME_END, InstrumentId, Time, parse_time, time_text
from infrastructure.market_data.shelf import Stored
from infrastructure.market_data.tape import Tape
from infrastructure.plugins import load_plugins
from infrastructure.strategy_file import strategy_of
from replay.game import Game, Portfolio, StrategySetup, Window, portfolio_game
from replay.inputs import InstrumentTable, read_controls, read_strategy
from replay.plan import Account, Plan, check_grid

ACCOUNT = "main"
FINEST = Decimal(0)
"""The tick or step of who named none: the tape's own price quantum, and 10^-8 of the base asset."""
STEP = Decimal("0.00000001")
DCA = "dca_signals"
DATE_CHARACTERS = 10


class StrategyPlan(Struct, frozen=True):
    """What is asked for. `markets` with a tick or step of FINEST have none of their own; `given` are parameters by name."""

    strategy: Strategy
    given: Mapping[str, Any]
    path: Path | None
    markets: tuple[InstrumentTable, ...]
    commands: tuple[Command, ...] = ()
    window: Window | None = None

    def stored(self, home: Path) -> list[Stored]:
        """Each market's tape on the shelf, as `Plan.stored`."""
        return Plan(self.path, self.markets, ()).stored(home)

    def game(self, account: Account, stored: Sequence[Stored]) -> Game:
        """The game on these tapes; raises InputError where it makes no sense."""
        return self.game_on(account, [each.load() for each in stored])

    def game_on(self, account: Account, tapes: Sequence[Tape]) -> Game:
        """The same on tapes that are loaded already, or lie on no shelf."""
        parts = [self._cut(tape) for tape in tapes]
        portfolio = self.portfolio(account, [tape.price_scale for tape in parts])
        setups = setups_of(self.strategy, self.given, self.markets, portfolio)
        game = portfolio_game(structs.replace(portfolio, strategies=setups), parts, [])
        return structs.replace(game, window=self.window)

    def portfolio(self, account: Account, scales: Sequence[int]) -> Portfolio:
        """The setup on tapes of these price scales, without its strategies."""
        markets = tuple(_on_grid(table, scale) for table, scale in zip(self.markets, scales, strict=True))
        return Plan(self.path, markets, (), self.commands).portfolio(account, scales)

    def check(self, given: Mapping[str, Any]) -> None:
        """Refuse parameters that the strategy does not take on one of the markets."""
        for table in self.markets:
            read_parameters(self.strategy, {**given, **table.parameters})

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
    values: Mapping[str, Any],
    config: Path | None,
    market: InstrumentTable | None,
    window: Window | None = None,
) -> StrategyPlan:
    """The plan of a strategy, named or in a file; values that were typed stand above those of the configuration at `config`."""
    plan = open_plan(name, config, market, window)
    plan = structs.replace(plan, given={**plan.given, **values})
    plan.check(plan.given)
    return plan


def open_plan(
    name: str, config: Path | None, market: InstrumentTable | None, window: Window | None = None
) -> StrategyPlan:
    """The same before its parameters are known: it has those of the configuration, which nothing has checked."""
    load_plugins()
    return plan_of(strategy_of(name), config, market, window)


def plan_of(
    strategy: Strategy, config: Path | None, market: InstrumentTable | None, window: Window | None = None
) -> StrategyPlan:
    """The same of a strategy at hand."""
    given, tables = ({}, []) if config is None else read_strategy(config)
    if market is not None and tables:
        raise InputError(f"--instrument is given, and {config} has [[instruments]]; allowed: one of both")
    for table in tables:
        check_grid(f"{config}: instruments, {table.name}: tick", table.tick)
        check_grid(f"{config}: instruments, {table.name}: step", table.step)
    markets = tuple(tables) if market is None else (market,)
    if not markets:
        raise InputError(
            "no market is named; allowed: --instrument with --candles, --tape or --market, or [[instruments]]"
        )
    commands = () if config is None else tuple(read_controls(config, ACCOUNT))
    return StrategyPlan(strategy, given, None if market is not None else config, markets, commands, window)


def window_between(start: str | None, end: str | None, names: tuple[str, str] = ("--from", "--to")) -> Window | None:
    """The candles from a UTC day or time on and before another; None where neither is said. `names` are for errors."""
    if start is None and end is None:
        return None
    first = Time(0) if start is None else parse_time(_as_time(start))
    last = TIME_END if end is None else parse_time(_as_time(end))
    if first >= last:
        raise InputError(f"{names[0]} {start} is not before {names[1]} {end}")
    return first, last


def setups_of(
    strategy: Strategy, given: Mapping[str, Any], tables: Sequence[InstrumentTable], portfolio: Portfolio
) -> tuple[StrategySetup, ...]:
    """The strategy on each market, under the bot's name and with the parameters that its table has for itself."""
    setups = []
    for table, market in zip(tables, portfolio.markets, strict=True):
        bot = table.bot or bot_name(strategy.name, table.name, len(tables))
        parameters = read_parameters(strategy, {**given, **table.parameters}, market.instrument)
        setups.append(StrategySetup(bot, strategy, parameters, InstrumentId(table.name)))
    names = [each.bot for each in setups]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two of the instruments name the bot {name!r}")
    return tuple(setups)


def bot_name(strategy: str, instrument: str, markets: int) -> str:
    """The name under which a strategy runs: its own, with the instrument where there are several."""
    return strategy if markets == 1 else f"{strategy}-{instrument.replace('/', '').lower()}"


def _as_time(text: str) -> str:
    return f"{text}T00:00:00Z" if len(text) == DATE_CHARACTERS else text


def _on_grid(table: InstrumentTable, price_scale: int) -> InstrumentTable:
    tick = table.tick or Decimal(1) / POWERS[price_scale]
    return structs.replace(table, tick=tick, step=table.step or STEP)
