"""The external facts of a recorded run: what came from outside, taken back out of its log."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from domain.account import commands as account
from domain.account.events import (
    AccountKind,
    AccountOpened,
    CashDeposited,
    InstrumentListed,
    PositionDeposited,
    RiskLimitsSet,
)
from domain.bot.commands import CreateBot, StartBot
from domain.bot.events import BotCreated, BotStarted
from domain.errors import MissingError
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.events import PoolConfigured
from domain.market import Instrument
from domain.message import Command, Event, Record
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.events import OffsetConfigured
from domain.ports import Input
from domain.signal.commands import OpenSource
from domain.signal.events import AlertReceived, SourceOpened
from domain.strategy.commands import StartStrategy
from domain.strategy.events import StrategyStarted
from domain.values import InstrumentId
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert


class Facts(Struct):
    """The inputs of a run in the order of its log: the commands that opened it, and its alerts."""

    opening: list[Input] = field(default_factory=list)
    alerts: list[TimedAlert] = field(default_factory=list)
    kind: AccountKind = "spot"
    listings: dict[InstrumentId, tuple[Instrument, Terms]] = field(default_factory=dict)
    cash: int = 0
    positions: dict[InstrumentId, int] = field(default_factory=dict)
    strategies: list[StrategyStarted] = field(default_factory=list)

    def markets(self) -> list[tuple[Instrument, Terms, int]]:
        """What the simulated venue must know of each instrument, with the position at the start, as they were listed.

        Raises MissingError where the log does not say it.
        """
        if not self.listings:
            raise MissingError("the log lists no instrument")
        return [(*listing, self.positions.get(instrument, 0)) for instrument, listing in self.listings.items()]


def facts_of(records: Iterable[Record[Event]]) -> Facts:
    """Collect the external facts of a run."""
    facts = Facts()
    for record in records:
        for event in record.events:
            command = _COMMANDS.get(type(event))
            if command is not None:
                facts.opening.append(Input(record.actor, command(event)))
                _learn(facts, event)
            elif isinstance(event, AlertReceived):
                facts.alerts.append(TimedAlert(record.at, event.source, event.body))
    return facts


_COMMANDS: Mapping[type[Event], Callable[[Any], Command]] = {
    AccountOpened: lambda event: account.OpenAccount(event.account, event.kind, event.mode),
    InstrumentListed: lambda event: account.ListInstrument(
        event.account, event.instrument, event.maker_fee, event.taker_fee, event.slippage
    ),
    CashDeposited: lambda event: account.DepositCash(event.account, event.asset, event.amount),
    PositionDeposited: lambda event: account.DepositPosition(
        event.account, event.instrument, event.quantity, event.cost
    ),
    RiskLimitsSet: lambda event: account.SetRiskLimits(event.account, event.limits),
    PoolConfigured: lambda event: ConfigurePool(event.account, event.settings),
    OffsetConfigured: lambda event: ConfigureOffset(event.account, event.settings),
    BotCreated: lambda event: CreateBot(
        event.bot, event.account, event.account_kind, event.strategy, event.instrument, event.settings
    ),
    BotStarted: lambda event: StartBot(event.bot),
    SourceOpened: lambda event: OpenSource(
        event.source, event.bot, event.instrument, event.lag_us_max, event.mapping, event.follow
    ),
    StrategyStarted: lambda event: StartStrategy(
        event.bot, event.account, event.strategy, event.code, event.instrument, event.parameters
    ),
}
"""The command that an opening event answers."""


def _learn(facts: Facts, event: Event) -> None:
    match event:
        case AccountOpened():
            facts.kind = event.kind
        case InstrumentListed():
            terms = Terms(event.maker_fee, event.taker_fee, event.slippage)
            facts.listings[event.instrument.id] = event.instrument, terms
        case CashDeposited():
            facts.cash += event.amount
        case PositionDeposited():
            facts.positions[event.instrument] = facts.positions.get(event.instrument, 0) + event.quantity
        case StrategyStarted():
            facts.strategies.append(event)
        case _:
            return
