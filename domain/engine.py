"""The loop: input, deciders, policies until quiet; out come records, effects and interest.

The core reads no clock, makes no random number and touches no socket. Time and facts arrive in the input, so the same
input always gives the same records, however its moments are grouped.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Self

from domain.account.commands import ValueAccount
from domain.decider import Deadline, Decider, Now
from domain.deciders import ALL, BY_KIND, DECIDERS, NOTHING, OWNERS, PAST, ROUTES
from domain.effects import AFTER
from domain.message import Command, Event, EventId, Record
from domain.policies.deadlines import DEADLINES
from domain.portfolio_risk.decider import DECIDER as PORTFOLIO_RISK
from domain.ports import (
    FOREVER,
    ClockStarted,
    DeadlineReached,
    Effect,
    Feed,
    Input,
    Interest,
    Ledger,
    Mark,
    Moment,
    TapeEnded,
    Venue,
    Wake,
)
from domain.position_group.commands import LookAtPrice
from domain.position_group.decider import DECIDER as POSITION_GROUP
from domain.position_group.protection import watch_of
from domain.position_group.state import GroupState
from domain.snapshot import OpenStream, Snapshot, copy_of
from domain.strategy.commands import Consider
from domain.strategy.decider import DECIDER as STRATEGY
from domain.strategy.decider import StrategyState
from domain.strategy.decider import watch_of as strategy_watch
from domain.values import DAY, InstrumentId, Price, Time
from domain.wakes import Key, Rounds, Timers, Watch, Watches


class Stream:
    """An open stream: its number, its latest version, its aggregate's state."""

    __slots__ = ("number", "state", "version")

    def __init__(self, number: int, version: int, state: Any) -> None:  # noqa: ANN401  (as `Core.state`)
        self.number = number
        self.version = version
        self.state = state


class Core:
    """All aggregates of one run, and the step that moves them. Closed aggregates are forgotten."""

    def __init__(self) -> None:
        self.interest = Interest()
        self.marks: dict[InstrumentId, Price] = {}
        self._streams: dict[str, dict[object, Stream]] = {decider.kind: {} for decider in DECIDERS}
        self._routes = {
            command: (self._streams[decider.kind], key, rule, timed, decider)
            for command, (decider, key, rule, timed) in ROUTES.items()
        }
        self._numbers: dict[int, Stream] = {}
        self._opened = 0
        self._records: list[Record[Event]] = []
        self._effects: list[Effect] = []
        self._queue: deque[tuple[Command, EventId]] = deque()
        self._timers = Timers()
        self._day_end = FOREVER
        self._watches = Watches(self.interest.watched)
        self._rounds = Rounds(self._watches)
        self._due: dict[Key, Command] = {}
        self._asked: list[Key] = []
        self._clock = Time(0)
        self._due_changed = False
        self._looks: list[Command] = []
        self._now = self._now_at(Time(-1))

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
        self.restore_all((record,))

    def restore_all(self, records: Iterable[Record[Event]]) -> None:
        """As `restore`, for records in their order."""
        numbers = self._numbers
        for record in records:
            events, stream = record.events, numbers.get(record.stream)
            if stream is None:
                stream = self._opened_by(record)
            state, follows = stream.state, NOTHING
            for event in events:
                fold, more = PAST[type(event)]
                state = fold(state, event)
                follows = max(follows, more)
            stream.state, stream.version = state, record.version + len(events) - 1
            if follows:
                self._follow(record, stream, follows)

    def _look_back(self, state: GroupState | StrategyState) -> None:
        """Which prices a restored group or strategy waits for; most groups wait for none."""
        if isinstance(state, StrategyState):
            self._watch_strategy(state)
        elif state.ends is not None:
            self._watch(state)

    def _opened_by(self, record: Record[Event]) -> Stream:
        decider = OWNERS[type(record.events[0])]
        streams, key = self._streams[decider.kind], decider.key(record.events[0])
        assert record.version == 1, f"stream {record.stream} begins at version {record.version}"
        before = streams.get(key)  # a name used again goes on from what it was
        state = decider.initial() if before is None else before.state
        stream = streams[key] = self._numbers[record.stream] = Stream(record.stream, 0, state)
        self._opened = record.stream
        return stream

    def _follow(self, record: Record[Event], stream: Stream, more: int) -> None:
        """Timers, rounds and watched prices, as they were when the record was made."""
        if more < ALL:
            self._look_back(stream.state)
            return
        for offset, event in enumerate(record.events):
            self._set_timers(DEADLINES.get(type(event)), event, record.at, (record.stream, record.version + offset))
        decider = OWNERS[type(record.events[0])]
        self._settle(decider, decider.key(record.events[0]), stream, ALL)

    def snapshot(self) -> Snapshot:
        """What it is between two steps; it may go on, the snapshot stays."""
        streams = {
            kind: [OpenStream(key, each.number, each.version, copy_of(each.state)) for key, each in open_.items()]
            for kind, open_ in self._streams.items()
        }
        groups = self._streams[POSITION_GROUP.kind]
        return Snapshot(
            self._opened, streams, self._timers.waiting(), self._rounds.wanted(), self._watches.waiting(groups)
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """What a core restored from the records up to there would be."""
        core = cls()
        core._opened = snapshot.opened
        for kind, open_ in snapshot.streams.items():
            for each in open_:
                stream = Stream(each.number, each.version, copy_of(each.state))
                core._streams[kind][each.key] = core._numbers[each.number] = stream
                if kind == STRATEGY.kind:
                    core._watch_strategy(stream.state)
        for timer in snapshot.timers:
            core._timers.put(timer.at, timer.command, timer.cause)
        for kind, key in snapshot.rounds:
            rounds = BY_KIND[kind].rounds
            assert rounds is not None, f"{kind} has no rounds"
            core._rounds.put((kind, key), rounds(core.state(kind, key)))
        for instrument, keys in snapshot.watches.items():
            for key in keys:
                core._watches.put(key, instrument, watch_of(core.state(POSITION_GROUP.kind, key)))
        return core

    def start_clock(self, at: Time) -> None:
        """The market's time begins, or goes on: what was due by then has had its turn."""
        self._timers.take(at)
        self._clock = at
        self._day_end = day_end(at)
        self._look_ahead()

    def step(self, moments: list[Moment]) -> tuple[list[Record[Event]], list[Effect]]:
        """Take the moments in order; return the records to append and the effects to release after.

        All facts of a moment are taken before anything reacts to any of them: they are one instant.
        """
        records: list[Record[Event]] = []
        effects: list[Effect] = []
        self._records, self._effects = records, effects
        for moment in moments:
            if moment.at != self._now.at:
                self._come_to(moment.at)
            for fact in moment.facts:
                if type(fact) is Input:
                    self._handle(fact.message, moment, fact.actor, None)
                elif type(fact) is Mark:
                    self.marks[fact.instrument] = fact.price
                    if fact.instrument in self.interest.watched:
                        self._look(fact)
                elif type(fact) is Wake:
                    self._looks.append(Consider(fact.bot, fact.values))
                else:
                    self._pass_time(fact, moment)
            if self._queue or self._looks or self._due:
                self._react(moment)
            if self._due_changed or self._rounds.any:
                self._look_ahead()
        return records, effects

    def _look(self, mark: Mark) -> None:
        """Who waits for this price looks at it once this moment's facts have had their consequences."""
        for key, watch in self._watches.reached(mark):
            if self._rounds.stir(key) or isinstance(key[1], str):
                continue  # rounds may come again, and a strategy is asked by the feed
            low = mark.price if mark.low is None else mark.low
            high = mark.price if mark.high is None else mark.high
            self._looks.append(LookAtPrice(*key, mark.price, low, high, watch))

    def _react(self, moment: Moment) -> None:
        """Run policies until quiet; then those who waited for a price, or for a round that may say something."""
        queue = self._queue
        while True:
            while queue:
                command, cause = queue.popleft()
                self._handle(command, moment, "core", cause)
            if not (self._looks or self._due):
                return
            looks, self._looks = self._looks, []
            for look in looks:
                self._handle(look, moment, "core", None)
            due, self._due = self._due, {}
            for key, command in due.items():
                if not self._rounds.rests(key, moment.at):
                    self._asked.append(key)
                    self._handle(command, moment, "core", None)

    def _pass_time(self, fact: object, moment: Moment) -> None:
        """At a deadline do what is due; at the end of a day, and of the tape, value every account."""
        if type(fact) is ClockStarted:
            self.start_clock(moment.at)
            return
        if type(fact) is DeadlineReached:
            self._due_changed = True
            self._queue.extend(self._timers.take(moment.at))
            self._due.update(self._rounds.due(moment.at))
            self._clock = moment.at
            if moment.at < self._day_end:
                return
            self._day_end = day_end(moment.at)
        else:
            assert type(fact) is TapeEnded, fact
        for account in list(self._streams["account"]):
            self._handle(ValueAccount(str(account), self.marks), moment, "core", None)

    def _come_to(self, at: Time) -> None:
        """Another instant; the market's clock, once it goes, never goes back."""
        self._now.at = at
        if at > self._clock and self._day_end is not FOREVER:
            self._clock = at

    def _look_ahead(self) -> None:
        """When something is due next, once the market's time has begun. Rounds that would come to nothing rest."""
        if self._day_end is FOREVER:
            return
        self._due_changed = False
        for kind, key in self._asked:
            decider = BY_KIND[kind]
            if decider.quiet is not None:
                quiet = decider.quiet(self.state(kind, key), self._now_at(self._clock))
                if quiet is not None:
                    self._rounds.rest((kind, key), quiet)
        self._asked.clear()
        self.interest.deadline = min(self._day_end, self._timers.next, self._rounds.next(self._clock))

    def _handle(self, command: Command, moment: Moment, actor: str, cause: EventId | None) -> None:
        """One decision: its rule, its record, the state after it, and what follows."""
        streams, key_of, rule, timed, decider = self._routes[type(command)]
        stream = streams.get(key_of(command)) or self._new(decider, command)
        if stream is None:
            return  # it is over, or never was: nobody is there to decide
        state = before = stream.state
        events = rule(state, command, self._now) if timed else rule(state, command)
        if not events:
            return
        number, version, more = stream.number, stream.version, NOTHING
        name = None if version else self._open(stream, decider, key_of(command))
        self._records.append(Record(number, version + 1, moment.at, actor, cause, events, name, moment.observed_at))
        for event in events:
            version += 1
            fold, follows = AFTER[type(event)]
            state = fold(state, event)
            if follows is not None:
                changes, policies, effect, deadline = follows
                for policy in policies:
                    for reaction in policy(event):
                        self._queue.append((reaction, (number, version)))
                if effect is not None:
                    self._effects.append(effect(state, event, (number, version)))
                if deadline is not None:
                    self._set_timers(deadline, event, moment.at, (number, version))
                more = max(more, changes)
        stream.state, stream.version = state, version
        if more and (more >= ALL or state is not before):
            self._settle(decider, key_of(command), stream, more)

    def _new(self, decider: Decider, command: Command) -> Stream | None:
        """A stream that would open with this command's decision; None where it opens none."""
        return Stream(self._opened + 1, 0, decider.initial()) if type(command) in decider.opens else None

    def _open(self, stream: Stream, decider: Decider, key: object) -> str:
        """A stream's first record takes it in, and carries its name."""
        self._opened = stream.number
        self._streams[decider.kind][key] = self._numbers[stream.number] = stream
        return stream_key(decider.kind, key)

    def _now_at(self, at: Time) -> Now:
        return Now(at, self.marks, self._groups, self._account)

    def _account(self, account: str) -> Any:  # noqa: ANN401  (as `state`)
        stream = self._streams["account"].get(account)
        return None if stream is None else stream.state

    def _groups(self, account: str) -> list[Any]:
        """The states of an account's live groups, in the order in which they opened."""
        states = (stream.state for stream in self._streams["position_group"].values())
        return [state for state in states if state.account == account]

    def _settle(self, decider: Decider, key: object, stream: Stream, more: int) -> None:
        """Forget what is over, and note which prices what is open waits for."""
        state = stream.state
        if more >= ALL:
            over = decider.closed(state)
            if over:
                del self._streams[decider.kind][key], self._numbers[stream.number]
            if decider.rounds is not None:
                self._due_changed = True
                self._rounds.put((decider.kind, key), None if over else decider.rounds(state))
        if decider is POSITION_GROUP:
            self._watch(state)
            self._rounds.stir((PORTFOLIO_RISK.kind, state.account))
        elif decider is STRATEGY:
            self._watch_strategy(state)

    def _watch(self, group: GroupState) -> None:
        """Note which prices a group waits for; one that is over waits for none."""
        self._watches.put((group.bot, group.group), group.instrument.id, watch_of(group))

    def _watch_strategy(self, state: StrategyState) -> None:
        """Note at which prices a strategy wants to be asked; the feed asks it, with its features."""
        bounds = strategy_watch(state)
        assert state.instrument is not None, "a strategy was started on an instrument"
        watch = None if bounds is None else Watch(state.instrument.id, *bounds)
        self._watches.put((STRATEGY.kind, state.bot), state.instrument.id, watch)

    def _set_timers(self, deadline: Deadline | None, event: Event, at: Time, cause: EventId) -> None:
        if deadline is not None:
            self._due_changed = True
            for due, command in deadline(event, at):
                self._timers.put(due, command, cause)


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
