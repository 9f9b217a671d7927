"""What the log has said so far, as much of it as what is still open needs: memory follows that, not the log."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import Struct, field

from domain.account.events import (
    AccountOpened,
    InstrumentListed,
    OrderDenied,
    OrderFilled,
    OrderIntended,
    PositionDeposited,
    RiskLimitsSet,
)
from domain.account.state import ENDED_KEPT
from domain.bot.events import AimTaken, BotConfigured, BotCreated, EntryTaken, PyramidTaken
from domain.engine_events import EngineStarted
from domain.market import Instrument
from domain.message import Event
from domain.position_group.events import GroupClosed, GroupOpened, PyramidAdded
from domain.strategy.events import StrategyConfigured, StrategyStarted
from domain.values import cash_scale, decimal_text, time_text
from projections.orders import ENDED, ORDERS, OrderRow
from projections.rows import Context, Key, key_getter
from projections.rows import Row as KeptRow
from replay.reports.cells import Blank, Cell, Place, Row, columns, fingerprint, text_fingerprint

NAMES_KEPT = 4096
"""Names of closed groups' streams: what a closed group has caused comes soon or not at all."""
PERSON = "user:"
R = TypeVar("R", bound=KeptRow)

PLACE = columns(
    (Blank.NOT_APPLICABLE, "position record_position leaf_index decided_at"),
    (Blank.NOT_RECORDED, "observed_at clock_offset_us"),
)
ORIGIN = columns(
    (Blank.NOT_APPLICABLE, "actor"), (Blank.NOT_RECORDED, "means address"), (Blank.NOT_APPLICABLE, "cause")
)
"""Columns that every report begins and ends with."""
DECISION = columns(
    (Blank.NOT_APPLICABLE, "decision_algorithm"),
    (Blank.NOT_RECORDED, "engine_version rules_hash parameters_sha256"),
    (Blank.NOT_APPLICABLE, "decision_person"),
    (Blank.NOT_RECORDED, "execution_algorithm capacity venue"),
    (Blank.NOT_APPLICABLE, "symbol"),
    (Blank.NOT_RECORDED, "isin dti"),
)


class Bot(Struct, frozen=True):
    """A bot's strategy and the fingerprint of its settings, or parameters, in force."""

    strategy: str
    parameters: str


class Taken(Struct, frozen=True):
    """The signal that a group or a part of it follows, and the settings' fingerprint when it was taken."""

    signal: str
    parameters: Cell


class Group(Struct):
    """What a group last took, and what each of its legs was planned under."""

    latest: Taken
    legs: dict[int, Taken] = field(default_factory=dict)


class Decision(Struct, frozen=True):
    """Who decided an order: a strategy with its parameters, or a person; and the signal that it follows."""

    algorithm: Cell
    engine: EngineStarted | None
    parameters: Cell
    person: Cell
    signal: Cell


UNDECIDED = Decision(Blank.NOT_RECORDED, None, Blank.NOT_RECORDED, Blank.NOT_RECORDED, Blank.NOT_RECORDED)
"""Of an order that the log does not have, or has had too long ago."""


class OpenOrders:
    """The rows of orders that may still be heard of: the open ones, and of each account the last that ended."""

    def __init__(self) -> None:
        self.decisions: dict[Key, Decision] = {}
        self._rows: dict[Key, KeptRow] = {}
        self._ended: dict[str, OrderedDict[Key, None]] = {}

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        return self._rows.get(key)  # type: ignore[return-value]

    def put(self, row: KeptRow) -> None:
        key = key_getter(type(row))(row)
        self._rows[key] = row
        if isinstance(row, OrderRow) and row.status in ENDED and row.status != "DENIED":
            self._end(row.account, key)

    def __len__(self) -> int:
        return len(self._rows)

    def open(self, account: str) -> list[OrderRow]:
        """The account's orders that have not ended, the oldest first."""
        found = (row for row in self._rows.values() if isinstance(row, OrderRow) and row.status not in ENDED)
        return [row for row in found if row.account == account]

    def _end(self, account: str, key: Key) -> None:
        """The account itself remembers as many."""
        ended = self._ended.setdefault(account, OrderedDict())
        ended[key] = None
        if len(ended) > ENDED_KEPT:
            self.forget(ended.popitem(last=False)[0])

    def forget(self, key: Key) -> None:
        self._rows.pop(key, None)
        self.decisions.pop(key, None)
        self._ended.get(str(key[0]), OrderedDict()).pop(key, None)


class Known:
    """The state of a run as a report's rows need it; give it every event before the rows of that event are made."""

    def __init__(self) -> None:
        self.engine: EngineStarted | None = None
        self.modes: dict[str, str] = {}
        self.currencies: dict[str, str | None] = {}
        self.instruments: dict[tuple[str, str], Instrument] = {}
        self.positions: dict[tuple[str, str], int] = {}
        self.orders = OpenOrders()
        self.bots: dict[str, Bot] = {}
        self.strategies: dict[str, Bot] = {}
        self.groups: dict[tuple[str, int], Group] = {}
        self._names: dict[int, str] = {}
        self._closed: OrderedDict[int, None] = OrderedDict()
        self._denied: Key | None = None

    def take(self, place: Place, event: Event) -> None:
        record = place.record
        if self._denied is not None:
            self.orders.forget(self._denied)
        self._denied = (event.account, event.order) if isinstance(event, OrderDenied) else None
        if record.key is not None:
            self._names[record.stream] = record.key
        learn = _LEARN.get(type(event))
        if learn is not None:
            learn(self, place, event)
        fold = ORDERS.folds.get(type(event))
        if fold is not None:
            fold(self.orders, Context(record.stream, record.version, record.at), event)

    def place(self, place: Place) -> Row:
        """The cells of `PLACE` and `ORIGIN`."""
        record = place.record
        cause = record.cause
        return {
            "position": place.position,
            "record_position": place.record_position,
            "leaf_index": place.leaf_index,
            "decided_at": time_text(record.at),
            "observed_at": Blank.NOT_RECORDED if record.observed_at is None else time_text(record.observed_at),
            "clock_offset_us": record.clock_offset or Blank.NOT_RECORDED,
            "actor": record.actor,
            "cause": Blank.NOT_APPLICABLE if cause is None else f"{self._names.get(cause[0], cause[0])}@{cause[1]}",
        }

    def decision(self, account: str, order: int, symbol: str) -> Row:
        """The cells of `DECISION`."""
        found = self.orders.decisions.get((account, order), UNDECIDED)
        engine = found.engine
        return {
            "decision_algorithm": found.algorithm,
            "engine_version": Blank.NOT_RECORDED if engine is None else engine.engine_version,
            "rules_hash": Blank.NOT_RECORDED if engine is None else engine.rules_hash,
            "parameters_sha256": found.parameters,
            "decision_person": found.person,
            "venue": self._venue(account),
            "symbol": symbol,
        }

    def fee(self, listed: Instrument, asset: str, fee: int) -> str:
        """A fee in quanta of its own asset: size quanta where that is the base."""
        return decimal_text(fee, listed.size_scale if asset == listed.base else cash_scale(asset))

    def worth(self, account: str, cash: int | None) -> Cell:
        """An amount in the currency of the account's limits."""
        currency = self.currencies.get(account)
        return Blank.NOT_RECORDED if cash is None or currency is None else decimal_text(cash, cash_scale(currency))

    def _venue(self, account: str) -> Cell:
        if self.modes.get(account) == "simulated":
            return "simulated" if self.engine is None else f"simulated/{self.engine.rules}"
        return Blank.NOT_RECORDED

    def engine_started(self, _place: Place, event: EngineStarted) -> None:
        self.engine = event

    def account_opened(self, _place: Place, event: AccountOpened) -> None:
        self.modes[event.account] = event.mode

    def limited(self, _place: Place, event: RiskLimitsSet) -> None:
        self.currencies[event.account] = event.limits.currency

    def listed(self, _place: Place, event: InstrumentListed) -> None:
        self.instruments[event.account, event.instrument.id] = event.instrument

    def deposited(self, _place: Place, event: PositionDeposited) -> None:
        self._hold(event.account, event.instrument, event.quantity)

    def filled(self, _place: Place, event: OrderFilled) -> None:
        self._hold(event.account, event.instrument, event.received if event.side == "buy" else -event.received)

    def bot_created(self, _place: Place, event: BotCreated) -> None:
        self.bots[event.bot] = Bot(event.strategy, fingerprint(event.settings))

    def bot_configured(self, _place: Place, event: BotConfigured) -> None:
        before = self.bots.get(event.bot)
        self.bots[event.bot] = Bot("" if before is None else before.strategy, fingerprint(event.settings))

    def strategy_started(self, _place: Place, event: StrategyStarted) -> None:
        self.strategies[event.bot] = Bot(event.strategy, text_fingerprint(event.parameters))

    def strategy_configured(self, _place: Place, event: StrategyConfigured) -> None:
        before = self.strategies.get(event.bot)
        self.strategies[event.bot] = Bot("" if before is None else before.strategy, text_fingerprint(event.parameters))

    def entry_taken(self, _place: Place, event: EntryTaken) -> None:
        self.groups[event.bot, event.group] = Group(self._taken(event))

    def more_taken(self, _place: Place, event: PyramidTaken | AimTaken) -> None:
        group = self.groups.get((event.bot, event.group))
        if group is not None:
            group.latest = self._taken(event)

    def legs_planned(self, _place: Place, event: GroupOpened | PyramidAdded) -> None:
        group = self.groups.get((event.bot, event.group))
        if group is not None:
            group.legs.update((leg.index, group.latest) for leg in event.legs)

    def group_closed(self, place: Place, event: GroupClosed) -> None:
        self.groups.pop((event.bot, event.group), None)
        self._closed[place.record.stream] = None
        if len(self._closed) > NAMES_KEPT:
            self._names.pop(self._closed.popitem(last=False)[0], None)

    def intended(self, place: Place, event: OrderIntended) -> None:
        """A person's order is theirs; any other is its bot's, or the core's where it belongs to no bot."""
        actor = place.record.actor
        by_hand = actor.startswith(PERSON)
        bots = self.strategies if event.role == "strategy" else self.bots
        bot, group = bots.get(event.bot), self.groups.get((event.bot, event.group))
        taken = None
        if group is not None:
            taken = group.legs.get(event.leg, group.latest) if event.role in {"entry", "target"} else group.latest
        algorithm = event.bot if bot is None else f"{bot.strategy}/{event.bot}"
        self.orders.decisions[event.account, event.order] = Decision(
            algorithm=Blank.NOT_APPLICABLE if by_hand else algorithm or actor,
            engine=self.engine,
            parameters=_parameters(event, taken, bot, by_hand=by_hand),
            person=actor if by_hand else Blank.NOT_APPLICABLE,
            signal=Blank.NOT_APPLICABLE if taken is None else taken.signal,
        )

    def _taken(self, event: EntryTaken | PyramidTaken | AimTaken) -> Taken:
        bot = self.bots.get(event.bot)
        return Taken(f"signal/{event.source}#{event.number}", Blank.NOT_RECORDED if bot is None else bot.parameters)

    def _hold(self, account: str, instrument: str, change: int) -> None:
        self.positions[account, instrument] = self.positions.get((account, instrument), 0) + change


def _parameters(event: OrderIntended, taken: Taken | None, bot: Bot | None, *, by_hand: bool) -> Cell:
    if taken is not None:
        return taken.parameters
    if bot is not None and event.role == "strategy":
        return bot.parameters
    return Blank.NOT_APPLICABLE if by_hand or not event.bot else Blank.NOT_RECORDED


_LEARN: Mapping[type[Event], Callable[[Known, Place, Any], None]] = {
    EngineStarted: Known.engine_started,
    AccountOpened: Known.account_opened,
    RiskLimitsSet: Known.limited,
    InstrumentListed: Known.listed,
    PositionDeposited: Known.deposited,
    OrderFilled: Known.filled,
    BotCreated: Known.bot_created,
    BotConfigured: Known.bot_configured,
    StrategyStarted: Known.strategy_started,
    StrategyConfigured: Known.strategy_configured,
    EntryTaken: Known.entry_taken,
    PyramidTaken: Known.more_taken,
    AimTaken: Known.more_taken,
    GroupOpened: Known.legs_planned,
    PyramidAdded: Known.legs_planned,
    GroupClosed: Known.group_closed,
    OrderIntended: Known.intended,
}
