"""The external facts of a recorded run: what came from outside, taken back out of its log."""

from collections.abc import Iterable

from msgspec import Struct, field

from domain.account import commands as account
from domain.account.events import AccountKind, AccountOpened, CashDeposited, InstrumentListed, PositionDeposited
from domain.bot.commands import CreateBot, StartBot
from domain.bot.events import BotCreated, BotStarted
from domain.errors import MissingError
from domain.market import Instrument
from domain.message import Command, Event, Record
from domain.ports import Input
from domain.signal.commands import OpenSource
from domain.signal.events import AlertReceived, SourceOpened
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert


class Facts(Struct):
    """The inputs of a run in the order of its log: the commands that opened it, and its alerts."""

    opening: list[Input] = field(default_factory=list)
    alerts: list[TimedAlert] = field(default_factory=list)
    kind: AccountKind = "spot"
    instrument: Instrument | None = None
    terms: Terms | None = None
    cash: int = 0
    position: int = 0

    def setup(self) -> tuple[Instrument, Terms]:
        """What the simulated venue must know; raises MissingError where the log does not say it."""
        if self.instrument is None or self.terms is None:
            raise MissingError("the log lists no instrument")
        return self.instrument, self.terms


def facts_of(records: Iterable[Record[Event]]) -> Facts:
    """Collect the external facts of a run."""
    facts = Facts()
    for record in records:
        for event in record.events:
            command = _command(event)
            if command is not None:
                facts.opening.append(Input(record.actor, command))
                _learn(facts, event)
            elif isinstance(event, AlertReceived):
                facts.alerts.append(TimedAlert(record.at, event.source, event.body))
    return facts


def _command(event: Event) -> Command | None:
    """The command that an opening event answers."""
    match event:
        case AccountOpened():
            return account.OpenAccount(event.account, event.kind)
        case InstrumentListed():
            return account.ListInstrument(
                event.account, event.instrument, event.maker_fee, event.taker_fee, event.slippage
            )
        case CashDeposited():
            return account.DepositCash(event.account, event.asset, event.amount)
        case PositionDeposited():
            return account.DepositPosition(event.account, event.instrument, event.quantity, event.cost)
        case BotCreated():
            return CreateBot(
                event.bot, event.account, event.account_kind, event.strategy, event.instrument, event.settings
            )
        case BotStarted():
            return StartBot(event.bot)
        case SourceOpened():
            return OpenSource(event.source, event.bot, event.instrument, event.lag_us_max)
        case _:
            return None


def _learn(facts: Facts, event: Event) -> None:
    match event:
        case AccountOpened():
            facts.kind = event.kind
        case InstrumentListed():
            facts.instrument = event.instrument
            facts.terms = Terms(event.maker_fee, event.taker_fee, event.slippage)
        case CashDeposited():
            facts.cash += event.amount
        case PositionDeposited():
            facts.position += event.quantity
        case _:
            return
