"""The loop: input, deciders, policies until quiet; out come records, effects and interest.

The core reads no clock, makes no random number and touches no socket. Time and facts arrive in the input, so the same
input always gives the same records, however its moments are grouped.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from domain.account import events as account_events
from domain.account.commands import ValueAccount
from domain.account.decider import DECIDER as ACCOUNT
from domain.account.state import AccountState
from domain.bot.decider import DECIDER as BOT
from domain.decider import Decider, Policy
from domain.message import Command, Event, EventId, Record
from domain.policies import POLICIES
from domain.ports import (
    CancelOrder,
    ClockStarted,
    DeadlineReached,
    Effect,
    Feed,
    Input,
    Interest,
    Ledger,
    Mark,
    Moment,
    QueryOrder,
    SubmitOrder,
    TapeEnded,
    Venue,
)
from domain.position_group.decider import DECIDER as POSITION_GROUP
from domain.signal.commands import DeliverAlert, ReceiveAlert
from domain.signal.decider import DECIDER as SIGNAL
from domain.values import InstrumentId, Price, Time

DAY = 86_400_000_000
"""Microseconds: accounts are valued at the end of each UTC day."""

ROUTES: Mapping[type[Command], Decider] = {
    command: decider for decider in (ACCOUNT, BOT, POSITION_GROUP, SIGNAL) for command in decider.rules
}

OWNERS: Mapping[type[Event], Decider] = {
    event: decider for decider in (ACCOUNT, BOT, POSITION_GROUP, SIGNAL) for event in decider.folds
}


def _submit(state: AccountState, event: account_events.RiskPassed, verdict: EventId) -> Effect:
    order = state.orders[event.order]
    return SubmitOrder(
        event.account, order.id, order.instrument, order.side, order.type, order.quantity, order.limit, order.stop,
        order.reduce_only, verdict,
    )  # fmt: skip


def _cancel(state: AccountState, event: account_events.CancelRequested, _id: EventId) -> Effect:
    return CancelOrder(event.account, event.order, state.orders[event.order].instrument)


def _query(
    state: AccountState,
    event: account_events.OrderUnknown | account_events.FillsMissing | account_events.CancelRejected,
    _id: EventId,
) -> Effect:
    return QueryOrder(event.account, event.order, state.orders[event.order].instrument)


EFFECTS: Mapping[type[Event], Callable[[Any, Any, EventId], Effect]] = {
    account_events.RiskPassed: _submit,
    account_events.CancelRequested: _cancel,
    account_events.OrderUnknown: _query,
    account_events.FillsMissing: _query,
    account_events.CancelRejected: _query,
}

REACTIONS: Mapping[type[Event], tuple[Callable[[Any, Any, EventId], Effect] | None, tuple[Policy, ...]]] = {
    event: (EFFECTS.get(event), POLICIES.get(event, ())) for event in EFFECTS.keys() | POLICIES.keys()
}
"""What follows an event, in one look; most have nothing."""


class Stream(Struct):
    """An open stream: its number, its latest version, its aggregate's state."""

    number: int
    version: int
    state: Any


class Core:
    """All aggregates of one run, and the step that moves them. Closed aggregates are forgotten."""

    def __init__(self) -> None:
        self.interest = Interest()
        self.marks: dict[InstrumentId, Price] = {}
        self._streams: dict[str, dict[object, Stream]] = {
            decider.kind: {} for decider in (ACCOUNT, BOT, POSITION_GROUP, SIGNAL)
        }
        self._opened = 0
        self._records: list[Record[Event]] = []
        self._effects: list[Effect] = []
        self._queue: deque[tuple[Command, EventId]] = deque()

    def state(self, kind: str, key: object) -> Any:  # noqa: ANN401  (each aggregate has a state of its own type)
        """An open aggregate's state, None where there is none."""
        stream = self._streams[kind].get(key)
        return None if stream is None else stream.state

    def open_streams(self) -> dict[str, int]:
        """How many streams of each kind are in memory."""
        return {kind: len(streams) for kind, streams in self._streams.items()}

    def keys(self, kind: str) -> list[Any]:
        """The keys of the open aggregates of a kind, in the order in which they opened."""
        return list(self._streams[kind])

    def restore(self, record: Record[Event]) -> None:
        """Take in a record of the log as history: states evolve, nothing is decided, nothing is sent."""
        decider = OWNERS[type(record.events[0])]
        streams = self._streams[decider.kind]
        key = decider.key(record.events[0])
        if record.version == 1:
            streams[key] = Stream(record.stream, 0, decider.initial())
            self._opened = record.stream
        stream = streams[key]
        for event in record.events:
            stream.state = decider.folds[type(event)](stream.state, event)
        stream.version = record.version + len(record.events) - 1
        if decider.closed(stream.state):
            del streams[key]

    def step(self, moments: list[Moment]) -> tuple[list[Record[Event]], list[Effect]]:
        """Take the moments in order; return the records to append and the effects to release after.

        All facts of a moment are taken before anything reacts to any of them: they are one instant.
        """
        self._records, self._effects = [], []
        for moment in moments:
            for fact in moment.facts:
                if type(fact) is Input:
                    self._take(fact, moment)
                elif type(fact) is Mark:
                    self.marks[fact.instrument] = fact.price
                elif type(fact) is ClockStarted:
                    self.interest.deadline = day_end(moment.at)
                else:
                    self._value(fact, moment)
            self._react(moment)
        return self._records, self._effects

    def _take(self, fact: Input, moment: Moment) -> None:
        message = fact.message
        if type(message) is DeliverAlert:
            message = ReceiveAlert(message.source, message.body, moment.at, self.marks)
        self._handle(message, moment, fact.actor, None)

    def _react(self, moment: Moment) -> None:
        """Run policies until quiet."""
        queue = self._queue
        while queue:
            command, cause = queue.popleft()
            self._handle(command, moment, "core", cause)

    def _value(self, fact: object, moment: Moment) -> None:
        """Value every account; at a deadline, ask for the next day's."""
        if type(fact) is DeadlineReached:
            self.interest.deadline = day_end(moment.at)
        else:
            assert type(fact) is TapeEnded, fact
        for account in list(self._streams["account"]):
            self._handle(ValueAccount(str(account), self.marks), moment, "core", None)

    def _handle(self, command: Command, moment: Moment, actor: str, cause: EventId | None) -> None:
        decider = ROUTES[type(command)]
        streams = self._streams[decider.kind]
        key = decider.key(command)
        stream = streams.get(key)
        fresh = stream is None
        if stream is None:
            if type(command) not in decider.opens:
                return  # it is over, or never was: nobody is there to decide
            stream = Stream(self._opened + 1, 0, decider.initial())
        events = decider.rules[type(command)](stream.state, command)
        if not events:
            return
        version = stream.version + 1
        name = None
        if fresh:
            self._opened += 1
            streams[key] = stream
            name = stream_key(decider.kind, key)
        self._records.append(Record(stream.number, version, moment.at, actor, cause, events, name, moment.observed_at))
        self._evolve(decider, stream, events)
        if decider.closed(stream.state):
            del streams[key]

    def _evolve(self, decider: Decider, stream: Stream, events: tuple[Event, ...]) -> None:
        """The decision evolves whole; then effects are made and policies react to each event."""
        folds = decider.folds
        state = stream.state
        for event in events:
            state = folds[type(event)](state, event)
        stream.state = state
        version = stream.version
        stream.version = version + len(events)
        for event in events:
            version += 1
            follows = REACTIONS.get(type(event))
            if follows is None:
                continue
            make, policies = follows
            here = (stream.number, version)
            if make is not None:
                self._effects.append(make(state, event, here))
            for policy in policies:
                for command in policy(event):
                    self._queue.append((command, here))


def day_end(at: Time) -> Time:
    """The end of the UTC day that a time is in: the next midnight."""
    return Time(at - at % DAY + DAY)


def stream_key(kind: str, key: object) -> str:
    """A stream's name: `account/main`, `position_group/dca/3`."""
    parts = key if isinstance(key, tuple) else (key,)
    return "/".join((kind, *map(str, parts)))


def run(core: Core, feed: Feed, ledger: Ledger, venue: Venue) -> None:
    """Run the loop until the feed ends: effects leave only after the ledger has their intents."""
    while (moments := feed.next(core.interest)) is not None:
        while moments:
            records, effects = core.step(moments)
            if records:
                ledger.append(records)
            moments = venue.send(effects)
