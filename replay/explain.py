"""Why things are as they are: from the alert through what was decided on it to what became of it; and why nothing did."""

from collections.abc import Mapping, Sequence
from itertools import islice

from msgspec import Struct, structs

from domain.account.events import CancelRequested
from domain.engine import stream_key
from domain.errors import MissingError
from domain.market import Instrument
from domain.message import Event, EventId
from domain.portfolio_risk.events import LoserExitDecided
from domain.signal.events import AlertReceived
from domain.strategy.events import StrategyActed
from domain.values import LARGEST
from infrastructure.causes import CausalLog, Kept
from infrastructure.event_log import LogReader
from infrastructure.event_store.database import Database
from replay.causal_tree import Found, Node, Said, Step, Told, decisions, grow, make_node
from replay.sentences import MINOR, say
from replay.sentences.units import Units
from replay.subjects import Scope, Subject, group_of, kin, order_of, signal_of, subjects
from replay.threads import before, chosen_before, find_order, thread_of

DECISIONS = 300
DECISIONS_MAX = 5_000
"""Decisions that are told of at most, unless asked for otherwise, and however many are asked for."""
STEPS_MAX = 60
"""Steps back to the first cause at most."""
BECAUSE_MAX = 12
"""Steps that are told of what led here from another story."""


class Explanation(Struct, frozen=True):
    """The story of one thing, as a tree from its first cause; not `complete` where some of it was left out.

    `asked` is the position of the first event of what was asked about: what is above it led there.
    """

    subject: str
    run: int
    asked: int
    root: Node
    decisions: int
    complete: bool


class Explainer:
    """Explains what a run's log has, as it was known at a position. Raises MissingError for what is not on it."""

    def __init__(self, database: Database, run: int, upto: int | None = None, most: int = DECISIONS) -> None:
        self._log = CausalLog(database, run, LARGEST if upto is None else upto)
        self._database = database
        self._most = most

    def order(self, account: str, order: int) -> Explanation:
        """What led to an order, and what became of it; what the group made of that is told and not followed."""
        found = find_order(self._log, account, order)
        name = f"order {order} of account {account}"
        if found is None:
            raise self._missing(name)
        return self._explain(name, found[0], found[0].record.events[0], order_of(account, order))

    def signal(self, source: str, number: int) -> Explanation:
        """What an alert came to: the groups that it opened, and their whole life."""
        key = stream_key("signal", source)
        kept = self._log.numbered(key, AlertReceived, lambda event: int(event.number), number)
        name = f"alert {number} of {source}"
        if kept is None:
            raise self._missing(name)
        return self._explain(name, kept, kept.record.events[0], signal_of(source, number))

    def group(self, bot: str, group: int) -> Explanation:
        """What opened a position group, and all that it did."""
        streams = self._log.streams(stream_key("position_group", (bot, group)))
        kept = self._log.holding((streams[0], 1)) if streams else None
        name = f"group {bot}/{group}"
        if kept is None:
            raise self._missing(name)
        return self._explain(name, kept, kept.record.events[0], group_of(bot, group))

    def event(self, position: int) -> Explanation:
        """What led to an event, and what followed from it."""
        kept = self._log.at(position)
        name = f"the event at position {position}"
        if kept is None:
            raise self._missing(name)
        event = kept.record.events[position - kept.position]
        return self._explain(name, kept, event, *subjects(event))

    def _missing(self, name: str) -> MissingError:
        return MissingError(f"{name} is not on the log of run {self._log.run}")

    def _explain(self, name: str, asked: Kept, event: Event, *about: Subject) -> Explanation:
        way = self._way_to(asked, event)
        found, complete = self._follow(asked, Scope(*about))
        shown = [*found.records.values(), *(step.kept for step in way)]
        places = {identity: kept.position_of(identity) for kept in shown for identity, _ in kept.ids()}
        reasons = {kept.position: steps for kept in shown if (steps := self._reasons(kept, places))}
        words = _Words(LogReader(self._database, self._log.run), self._log, shown, reasons)
        root = grow(found, words.tell, words.because, asked.position)
        for step in reversed(way):
            root = words.lead(step, root)
        return Explanation(name, self._log.run, asked.position, root, decisions([root]), complete)

    def _way_to(self, asked: Kept, event: Event) -> list[Step]:
        """The decisions that led to an event, the first cause first."""
        way: list[Step] = []
        kept = asked
        while len(way) < STEPS_MAX and (source := before(self._log, kept, event)) is not None:
            kept, identity = source
            event = dict(kept.ids())[identity]
            way.append(Step(kept, identity))
        return way[::-1]

    def _follow(self, asked: Kept, scope: Scope) -> tuple[Found, bool]:
        """All decisions of the story from a record on, a generation at a time; whether those are all there are."""
        found = Found(scope, {asked.position: asked}, {}, set())
        frontier = [asked]
        while frontier:
            causes, threads = self._leads(sorted(frontier, key=lambda kept: kept.position), scope)
            # One more than may be told, whatever of it is known already: so none is passed over unnoticed.
            effects = self._log.effects(causes, self._most + 1)
            for kept in effects:
                scope.call_back(kept.record.events)
            fresh = {kept.position: kept for _, kept in threads} | {kept.position: kept for kept in effects}
            fresh = {position: fresh[position] for position in sorted(fresh) if position not in found.records}
            for home, kept in threads:
                found.home.setdefault(kept.position, home)
            room = self._most - len(found.records)
            if len(fresh) > room:
                left_out = list(fresh.values())[room:]
                found.records |= {kept.position: kept for kept in list(fresh.values())[:room]}
                found.cut |= _leaders(found, left_out)
                return found, False
            found.records |= fresh
            frontier = list(fresh.values())
        return found, True

    def _leads(self, frontier: Sequence[Kept], scope: Scope) -> tuple[list[EventId], list[tuple[int, Kept]]]:
        """The events of these records that are followed, and what follows them without a cause."""
        causes: list[EventId] = []
        threads: list[tuple[int, Kept]] = []
        for kept in frontier:
            for identity, event in kept.ids():
                if scope.has(event):
                    scope.widen(event)
                    causes.append(identity)
                    if isinstance(event, CancelRequested) and scope.has_placed(event):
                        continue
                    follows = islice(thread_of(self._log, kept, event), self._most + 1)
                    threads += ((kept.position, each) for each in follows)
        return causes, threads

    def _reasons(self, kept: Kept, places: Mapping[EventId, int]) -> list[Step]:
        """How a record came about whose cause is none of these events; the first thing first."""
        steps: list[Step] = []
        cause = kept.record.cause
        while cause is not None and cause not in places and len(steps) < BECAUSE_MAX:
            holder = self._log.holding(cause)
            if holder is None:
                break
            steps.append(Step(holder, cause))
            event = dict(holder.ids())[cause]
            if isinstance(event, LoserExitDecided) and (chosen := chosen_before(self._log, holder, event)) is not None:
                holder, cause = chosen
                steps.append(Step(holder, cause))
            cause = holder.record.cause
        return steps[::-1]


class _Words:
    """Records of one run as sentences; what they need of the log is looked up once."""

    def __init__(
        self, reader: LogReader, log: CausalLog, shown: Sequence[Kept], reasons: Mapping[int, Sequence[Step]]
    ) -> None:
        every = [*shown, *(step.kept for steps in reasons.values() for step in steps)]
        reader.prepare([kept.record for kept in every])
        self._reader = reader
        self._log = log
        self._units = Units(reader.instruments, _instruments_of(log, every))
        self._reasons = reasons
        self._places = {identity: kept.position_of(identity) for kept in every for identity, _ in kept.ids()}
        self._told: dict[int, Told] = {}

    def tell(self, kept: Kept) -> Told:
        told = self._told.get(kept.position)
        if told is None:
            lines = list(self._reader.lines(kept.position, kept.record))
            units = self._units_at(kept)
            said = [
                Said(line["position"], line["event"], say(event, units), type(event) in MINOR, line["data"])
                for event, line in zip(kept.record.events, lines, strict=True)
            ]
            told = self._told[kept.position] = Told(lines[0], said)
        return told

    def _units_at(self, kept: Kept) -> Units:
        """With the names of the features, where values of some are told."""
        acts = [event for event in kept.record.events if isinstance(event, StrategyActed) and event.values]
        if not acts:
            return self._units
        names = self._log.features_of(kept.record.stream, kept.record.version)
        return structs.replace(self._units, features={acts[0].bot: names})

    def because(self, kept: Kept) -> tuple[tuple[Said, ...], int | None]:
        reasons = tuple(said for step in self._reasons.get(kept.position, ()) for said in self._led(step))
        cause = kept.record.cause
        return reasons, None if cause is None else self._places.get(cause)

    def lead(self, step: Step, below: Node) -> Node:
        """A decision on the way, above what it led to."""
        reasons, cause = self.because(step.kept)
        return make_node(self.tell(step.kept), self._led(step), cause, reasons, (below,), cut=False)

    def _led(self, step: Step) -> list[Said]:
        """Of a decision on the way what belongs to the story, up to the event that led on."""
        event = dict(step.kept.ids())[step.event]
        pairs = zip(step.kept.ids(), self.tell(step.kept).said, strict=True)
        return [said for (identity, each), said in pairs if identity <= step.event and kin(each, event)]


def _leaders(found: Found, left_out: Sequence[Kept]) -> set[int]:
    """The records that led to those that are left out."""
    holders = {identity: position for position, kept in found.records.items() for identity, _ in kept.ids()}
    causes = ((kept.position, kept.record.cause) for kept in left_out)
    leaders = {found.home.get(position) if cause not in holders else holders[cause] for position, cause in causes}
    return {position for position in leaders if position in found.records}


def _instruments_of(log: CausalLog, records: Sequence[Kept]) -> dict[tuple[str, int], str]:
    """What the groups trade that these records name: by an event that says it, else by the group's opening."""
    known: dict[tuple[str, int], str] = {}
    wanted: set[tuple[str, int]] = set()
    for kept in records:
        for event in kept.record.events:
            bot, group = getattr(event, "bot", ""), getattr(event, "group", 0)
            instrument = getattr(event, "instrument", None)
            if bot and isinstance(instrument, str):
                known[bot, group] = instrument
            elif bot and isinstance(instrument, Instrument):
                known[bot, group] = instrument.id
            elif bot and group:
                wanted.add((bot, group))
    return {**log.instruments_of(sorted(wanted - known.keys())), **known}
