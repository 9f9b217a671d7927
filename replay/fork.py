"""A recorded run forked at a place: the same external facts, and from there on other settings.

The fork wraps the feed. Up to its place the moments pass as they are; there the changed settings are put in force, as if
somebody had asked for them then, and every later command that sets them is changed alike.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, structs

from domain.account.commands import DepositCash, DepositPosition, ListInstrument, OpenAccount, SetRiskLimits
from domain.account.limits import RiskLimits
from domain.bot.commands import ConfigureBot, CreateBot
from domain.engine import Core
from domain.errors import InputError
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.settings import PoolSettings
from domain.message import Command, Event, Record
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.settings import OffsetSettings
from domain.ports import ClockStarted, DeadlineReached, Feed, Input, Interest, Moment, TapeEnded
from domain.signal.commands import DeliverAlert
from domain.strategy.commands import StartStrategy
from domain.strategy.registry import parameters_text
from domain.values import Time
from replay.game import Game, StrategySetup

ACTOR = "what-if"
VENUE = "venue"
Table = Literal["group", "pool", "offset", "risk"]
FactKind = Literal["opening", "fork", "alert", "command", "market", "deadline", "end"]


class Change(Struct, frozen=True):
    """Other settings in a table: of a bot, or of every bot where `bot` is empty; account tables are of every account.

    `edit` makes the settings out of those that would stand.
    """

    table: Table
    edit: Callable[[Any], Any]
    bot: str = ""


class ParameterChange(Struct, frozen=True):
    """Other parameters of a strategy, or of all where `bot` is empty; `edit` makes them of those that it was run with."""

    edit: Callable[[StrategySetup], Struct]
    bot: str = ""


class FactKey(Struct, frozen=True):
    """An external fact, by what it is in any rerun: the nth of its kind and name at its time."""

    at: Time
    kind: FactKind
    name: str
    nth: int


class Consequences(Struct):
    """An external fact, and the records that it led to."""

    key: FactKey
    records: list[Record[Event]]
    turn: int


_ACCOUNT_TABLES: Mapping[Table, tuple[type[Command], str, Any]] = {
    "pool": (ConfigurePool, "settings", PoolSettings()),
    "offset": (ConfigureOffset, "settings", OffsetSettings()),
    "risk": (SetRiskLimits, "limits", RiskLimits()),
}
"""The command that sets a table, the field it has it in, and what holds where nobody has said otherwise."""
_STATES: Mapping[Table, tuple[str, str]] = {
    "pool": ("execution_pool", "settings"),
    "offset": ("portfolio_risk", "settings"),
    "risk": ("account", "limits"),
}
_OPENING = (OpenAccount, ListInstrument, DepositCash, DepositPosition, ConfigurePool, SetRiskLimits, ConfigureOffset)


def with_parameters(game: Game, changes: Sequence[ParameterChange]) -> Game:
    """The game as it would have begun; raises InputError where a change meets no strategy, or makes what it refuses."""
    setups, opening = list(game.strategies), list(game.opening)
    instruments = {market.instrument.id: market.instrument for market in game.markets}
    for change in changes:
        met = [number for number, each in enumerate(setups) if change.bot in {"", each.bot}]
        if not met:
            raise InputError(f"the run has no strategy{f' of bot {change.bot!r}' if change.bot else ''}")
        for number in met:
            each = setups[number]
            parameters = change.edit(each)
            each.strategy.check(parameters, instruments[each.instrument])
            setups[number] = structs.replace(each, parameters=parameters)
            opening = [_started_with(given, each.bot, parameters) for given in opening]
    return structs.replace(game, strategies=setups, opening=opening)


def _started_with(given: Input, bot: str, parameters: Struct) -> Input:
    message = given.message
    if not isinstance(message, StartStrategy) or message.bot != bot:
        return given
    return structs.replace(given, message=structs.replace(message, parameters=parameters_text(parameters)))


class ForkedFeed:
    """A feed, changed from turn `at_turn` on; None changes nothing. `applied` has the changes that something took."""

    def __init__(self, core: Core, feed: Feed, changes: Sequence[Change] = (), at_turn: int | None = None) -> None:
        self.turn = -1
        self.applied: set[int] = set()
        self.key = FactKey(Time(0), "opening", "", 0)
        self._core = core
        self._feed = feed
        self._changes = changes
        self._at_turn = at_turn
        self._forked = at_turn is None
        self._at = Time(0)
        self._seen: dict[tuple[Time, FactKind, str], int] = {}

    def next(self, interest: Interest) -> list[Moment] | None:
        """The next turn; the changes themselves come before that at which the fork is."""
        if not self._forked and self.turn + 1 == self._at_turn:
            self._forked = True
            if commands := list(self._put_in_force()):
                self._name(self._at, "fork", "")
                return [Moment(self._at, [Input(ACTOR, command) for command in commands])]
        moments = self._feed.next(interest)
        if moments is None:
            return None
        self.turn += 1
        if self._at_turn is not None and self.turn >= self._at_turn:
            moments = [structs.replace(moment, facts=self._changed(moment.facts)) for moment in moments]
        self._at = moments[0].at
        self._name(self._at, *_kind_of(moments[0]))
        return moments

    def _name(self, at: Time, kind: FactKind, name: str) -> None:
        nth = self._seen[at, kind, name] = self._seen.get((at, kind, name), 0) + 1
        self.key = FactKey(at, kind, name, nth)

    def _put_in_force(self) -> Iterator[Command]:
        """What would have to be asked for at the fork; nothing where nobody is there yet."""
        core = self._core
        for number, change in enumerate(self._changes):
            if change.table == "group":
                for bot in core.keys("bot"):
                    if change.bot in {"", bot}:
                        self.applied.add(number)
                        yield ConfigureBot(bot, change.edit(core.state("bot", bot).settings))
                continue
            command, field, standing = _ACCOUNT_TABLES[change.table]
            kind, within = _STATES[change.table]
            for account in core.keys("account"):
                self.applied.add(number)
                state = core.state(kind, account)
                held = standing if state is None else getattr(state, within)
                yield command(**{"account": account, field: change.edit(held)})

    def _changed(self, facts: Sequence[Any]) -> list[Any]:
        """The facts with every command that sets a changed table, and one more where an account opens without."""
        found: list[Any] = [self._edited(fact) if type(fact) is Input else fact for fact in facts]
        for number, change in enumerate(self._changes):
            if change.table == "group":
                continue
            command, field, standing = _ACCOUNT_TABLES[change.table]
            said = {fact.message.account for fact in found if _is(fact, command)}
            for opening in [fact for fact in found if _is(fact, OpenAccount)]:
                account = opening.message.account
                if account not in said:
                    self.applied.add(number)
                    message = command(**{"account": account, field: change.edit(standing)})
                    found.insert(_after_opening(found), Input(opening.actor, message))
        return found

    def _edited(self, fact: Input) -> Input:
        message: Any = fact.message
        for number, change in enumerate(self._changes):
            if change.table == "group" and isinstance(message, CreateBot | ConfigureBot):
                if change.bot in {"", message.bot}:
                    self.applied.add(number)
                    message = structs.replace(message, settings=change.edit(message.settings))
            elif change.table != "group":
                command, field, _standing = _ACCOUNT_TABLES[change.table]
                if isinstance(message, command):
                    self.applied.add(number)
                    message = structs.replace(message, **{field: change.edit(getattr(message, field))})
        return structs.replace(fact, message=message)


class Told:
    """A ledger that keeps what each external fact has led to; facts that led to nothing are not kept."""

    def __init__(self, feed: ForkedFeed) -> None:
        self.facts: list[Consequences] = []
        self._feed = feed

    def append(self, records: list[Record[Event]]) -> None:
        """Keep what the fact that the feed gave last has led to."""
        key = self._feed.key
        if not self.facts or self.facts[-1].key != key:
            self.facts.append(Consequences(key, [], self._feed.turn))
        self.facts[-1].records += records


def _kind_of(moment: Moment) -> tuple[FactKind, str]:
    """What a moment is to people, by the first of its facts that tells."""
    for fact in moment.facts:
        if type(fact) is Input:
            if isinstance(fact.message, DeliverAlert):
                return "alert", fact.message.source
            if fact.actor != VENUE:
                return ("opening" if len(moment.facts) > 1 else "command"), type(fact.message).__name__
            return "market", ""
        if type(fact) is DeadlineReached:
            return "deadline", ""
        if type(fact) is TapeEnded:
            return "end", ""
        if type(fact) is ClockStarted and len(moment.facts) == 1:
            return "market", ""
    return "market", ""


def _is(fact: object, command: type[Command]) -> bool:
    return type(fact) is Input and isinstance(fact.message, command)


def _after_opening(facts: Sequence[Any]) -> int:
    """Behind what an account is opened with, before its bots: where a configuration's own tables stand."""
    last = max(number for number, fact in enumerate(facts) if _is(fact, OpenAccount))
    while last + 1 < len(facts) and type(facts[last + 1]) is Input and isinstance(facts[last + 1].message, _OPENING):
        last += 1
    return last + 1
