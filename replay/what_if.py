"""What if: a kept run's external facts once more, forked at a position under other settings, and what differs then.

Both sides are reruns by the same code: the recorded one is first found to be what the log says. Facts are paired by what
they are, events within a fact by where and what they are; numbers that are only counted on (of orders, groups, trades,
versions of settings) are no difference.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from domain.account.events import OrderDenied, OrderFilled, OrderIntended
from domain.engine import Core, run
from domain.errors import InputError
from domain.message import Event, Record
from domain.ports import Feed, Venue
from domain.signal.events import SignalAccepted
from domain.values import cash_scale, decimal_text, time_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import ENGINE_STREAM
from infrastructure.event_store.readable import Reader
from infrastructure.event_store.runs import Run, records_of
from infrastructure.inbox import Inbox
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.profit_and_loss import ProfitRow, by_account
from projections.rows import MemoryRows, fold_records
from replay.fork import Change, Consequences, FactKey, ForkedFeed, ParameterChange, Told, with_parameters
from replay.game import market_of
from replay.paper import inbox_market
from replay.verify import DivergenceClass, class_of, recorded_game, verify

Line = Mapping[str, Any]
COUNTED_ON = frozenset({"order", "group", "trade", "venue_order", "version", "settings_version"})
"""Fields that say which one, by a count: one order more, and every later one has another."""
_COUNTED_IN_TEXT = re.compile(r"\b(group|order)=[0-9]+")
COPIED = frozenset({"settings", "limits", "when_flat", "parameters", "features"})
"""Fields that hold the settings themselves."""
SETTINGS_SAID = frozenset(
    {"bot.configured.v1", "execution_pool.configured.v1", "portfolio_risk.configured.v1", "account.risk_limits_set.v1"}
)
_COUNTS = {OrderIntended: "orders", OrderDenied: "denied", OrderFilled: "fills", SignalAccepted: "alerts accepted"}


class Difference(Struct, frozen=True):
    """An event that is there on one side only, or in other words: `fields` has what was recorded and what would be."""

    kind: Literal["added", "removed", "changed"]
    recorded: dict[str, Any] | None
    what_if: dict[str, Any] | None
    fields: dict[str, tuple[Any, Any]] = {}


class FactDifference(Struct, frozen=True):
    """An external fact whose consequences differ; `position` is that of its first recorded event, None without one."""

    fact: str
    at: str
    position: int | None
    cause: DivergenceClass
    events: list[Difference]


class Outcome(Struct, frozen=True):
    """What came of a run: per account and asset as decimal text, and counts."""

    balances: dict[str, dict[str, str]]
    counts: dict[str, int]


class WhatIf(Struct, frozen=True):
    """A run and its fork: where they part, event by event, and what came of both.

    `config` differences are the changed settings themselves, and no consequence of them.
    """

    run: int
    label: str
    at: int | None
    facts: int
    by_cause: dict[DivergenceClass, int]
    differences: list[FactDifference]
    recorded: Outcome
    what_if: Outcome

    @property
    def has_consequences(self) -> bool:
        """Whether anything differs but the settings that were changed."""
        return any(cause != "config" for cause in self.by_cause)


class _World(NamedTuple):
    """A fresh core, and what it is run on."""

    core: Core
    feed: Feed
    venue: Venue


def what_if(
    database: Database,
    home: Path,
    kept: Run,
    changes: Sequence[Change],
    at: int | None = None,
    parameters: Sequence[ParameterChange] = (),
) -> WhatIf:
    """Fork a kept run before the first external fact that led to events at position `at` or later; None is its beginning.

    Raises InputError where the run is not what its inputs give, or a change meets nothing, MissingError without its tape.
    """
    if parameters and (at is not None or kept.mode != "backtest"):
        raise InputError(
            "a strategy's parameters are changed from a backtest's beginning only: its features are of a run"
        )
    upto, position = Inbox(database).taken_upto() if kept.mode == "paper" else (0, None)
    _check_same(database, home, kept)
    positions = _positions(database, kept, position)
    recorded, _ = _play(_world(database, home, kept, upto))
    turn = 0 if at is None else _turn_at(kept, recorded, positions, at)
    forked, applied = _play(_world(database, home, kept, upto, parameters), changes, turn)
    for number, change in enumerate(changes):
        if number not in applied:
            bot = f" of bot {change.bot!r}" if change.bot else ""
            raise InputError(
                f"run {kept.run} has nobody from there on whose {change.table} settings{bot} it could change"
            )
    differences = list(_differences(recorded, forked, positions))
    causes: Counter[DivergenceClass] = Counter(each.cause for each in differences)
    facts = len({each.key for each in (*recorded, *forked)})
    return WhatIf(
        kept.run, kept.label, at, facts, dict(causes.most_common()), differences, _outcome(recorded), _outcome(forked)
    )


def _check_same(database: Database, home: Path, kept: Run) -> None:
    if kept.mode not in {"backtest", "paper"}:
        raise InputError(f"run {kept.run} is {kept.mode}; what-if runs backtests and paper runs again")
    verdict = verify(database, home, kept)
    if verdict.status != "same":
        raise InputError(
            f"run {kept.run} is {verdict.status}: what it would have done under other settings cannot be told from what "
            f"it did\ntruetape verify {kept.run} says where"
        )


def _world(database: Database, home: Path, kept: Run, upto: int, parameters: Sequence[ParameterChange] = ()) -> _World:
    if kept.mode == "paper":
        core, paper = inbox_market(database, upto)
        return _World(core, paper, paper)
    market = market_of(with_parameters(recorded_game(database, home, kept), parameters))
    return _World(Core(), market, market)


def _play(
    world: _World, changes: Sequence[Change] = (), turn: int | None = None
) -> tuple[list[Consequences], set[int]]:
    feed = ForkedFeed(world.core, world.feed, changes, turn)
    told = Told(feed)
    run(world.core, feed, told, world.venue)
    return told.facts, feed.applied


def _positions(database: Database, kept: Run, upto: int | None) -> list[int]:
    """The log's position of each record that the engine decided."""
    return [
        record.position
        for record in records_of(database, kept.run)
        if record.stream != ENGINE_STREAM and (upto is None or record.position <= upto)
    ]


def _turn_at(kept: Run, facts: Sequence[Consequences], positions: Sequence[int], at: int) -> int:
    if not positions or not positions[0] <= at <= positions[-1]:
        span = f"from {positions[0]} to {positions[-1]}" if positions else "nowhere"
        raise InputError(f"position {at} is not in run {kept.run}, which is {span}")
    first = 0
    for fact in facts:
        if positions[first] >= at:
            return fact.turn
        first += len(fact.records)
    raise InputError(f"nothing from outside comes in run {kept.run} at position {at} or later")


# --- what differs ----------------------------------------------------------------------------------------------------


class _Side:
    """One run's facts in order, their events made readable as they are come to."""

    def __init__(self, facts: Sequence[Consequences]) -> None:
        self.by_key = {fact.key: number for number, fact in enumerate(facts)}
        self.facts = facts
        self.passed = 0
        self.records = 0
        self._reader = Reader()

    def key(self) -> FactKey | None:
        """The next fact."""
        return self.facts[self.passed].key if self.passed < len(self.facts) else None

    def take(self, *, readable: bool) -> list[dict[str, Any]]:
        """The next fact's events, as people read them; they are learned from in any case."""
        fact = self.facts[self.passed]
        self.passed += 1
        self.records += len(fact.records)
        lines: list[dict[str, Any]] = []
        for record in fact.records:
            if readable:
                lines += self._reader.lines(record)
            else:
                self._reader.learn(record)
        return lines


def _differences(
    recorded: Sequence[Consequences], forked: Sequence[Consequences], positions: Sequence[int]
) -> Iterator[FactDifference]:
    """The facts of both in one order, those that differ; a fact may have led to something on one side only."""
    here, there = _Side(recorded), _Side(forked)
    while (key := _next_key(here, there)) is not None:
        ours, theirs = here.key() == key, there.key() == key
        same = ours and theirs and here.facts[here.passed].records == there.facts[there.passed].records
        first = positions[here.records] if ours else None
        before = here.take(readable=not same) if ours else []
        after = there.take(readable=not same) if theirs else []
        if events := list(_compared(before, after)):
            yield FactDifference(_told(key, before or after), time_text(key.at), first, _cause(events), events)


def _told(key: FactKey, lines: Sequence[Line]) -> str:
    """A fact as people name it: an alert by its number."""
    number = lines[0]["data"].get("number") if lines else None
    return f"alert {number} of {key.name}" if key.kind == "alert" and number else f"{key.kind} {key.name}".rstrip()


def _next_key(here: _Side, there: _Side) -> FactKey | None:
    """The earlier of the two next facts; both are in the order of things, so one that comes later there too waits."""
    left, right = here.key(), there.key()
    if left is None or right is None or left == right:
        return right if left is None else left
    if there.by_key.get(left, -1) >= there.passed:
        return right
    return left if here.by_key.get(right, -1) >= here.passed or left.at <= right.at else right


def _compared(before: Sequence[Line], after: Sequence[Line]) -> Iterator[Difference]:
    """Events paired by stream and tag, in order, then out of order; what has no pair is there on one side only."""
    left, right = [_signature(line) for line in before], [_signature(line) for line in after]
    pairs: list[tuple[int | None, int | None]] = []
    for what, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if what == "equal":
            pairs += zip(range(i, j), range(k, m), strict=True)
        else:
            pairs += [(number, None) for number in range(i, j)]
            pairs += [(None, number) for number in range(k, m)]
    for number, (ours, theirs) in enumerate(pairs):
        if ours is None and theirs is not None:  # the same may stand elsewhere within the fact
            moved = next((at for at, pair in enumerate(pairs) if _alone(pair, left) == right[theirs]), None)
            if moved is not None:
                pairs[number], pairs[moved] = (pairs[moved][0], theirs), (None, None)
    for ours, theirs in pairs:
        if ours is not None and theirs is not None:
            if fields := _fields(before[ours]["data"], after[theirs]["data"]):
                yield Difference("changed", dict(before[ours]), dict(after[theirs]), fields)
        elif ours is not None:
            yield Difference("removed", dict(before[ours]), None)
        elif theirs is not None:
            yield Difference("added", None, dict(after[theirs]))


def _alone(pair: tuple[int | None, int | None], signatures: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """What is there on the first side only."""
    return signatures[pair[0]] if pair[0] is not None and pair[1] is None else None


def _signature(line: Line) -> tuple[str, ...]:
    """Where and what an event is, without the number of a group; orders and legs by their role."""
    stream, data = line["stream"], line["data"]
    kind, _, name = stream.partition("/")
    if kind == "position_group":
        stream = f"{kind}/{name.rpartition('/')[0]}"
    return (stream, line["event"], *(str(data.get(each, "")) for each in ("bot", "role", "leg", "side", "instrument")))


def _fields(ours: Line, theirs: Line) -> dict[str, tuple[Any, Any]]:
    """What differs, down to `legs[0].price`, apart from numbers that are only counted on."""
    left, right = dict(_leaves("", ours)), dict(_leaves("", theirs))
    pairs = {name: (left.get(name), right.get(name)) for name in {**left, **right}}
    return {name: pair for name, pair in pairs.items() if _uncounted(pair[0]) != _uncounted(pair[1])}


def _uncounted(value: Any) -> Any:
    """Text without the numbers in it that are only counted on: a refusal names the live group."""
    return _COUNTED_IN_TEXT.sub(r"\1=", value) if isinstance(value, str) else value


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a value that have no parts, by their place in it."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            counted = key in COUNTED_ON or (key == "settings" and isinstance(each, int))  # a version of the limits
            if not counted:
                yield from _leaves(f"{name}.{key}" if name else key, each)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _leaves(f"{name}[{index}]", each)
    else:
        yield name, value


def _is_copied(name: str) -> bool:
    return name.partition(".")[0].partition("[")[0] in COPIED


def _cause(events: Sequence[Difference]) -> DivergenceClass:
    """The class of the first event that differs and is not the change itself."""
    for each in events:
        line = each.what_if or each.recorded
        assert line is not None
        is_change = all(map(_is_copied, each.fields)) if each.kind == "changed" else line["event"] in SETTINGS_SAID
        if not is_change:
            return class_of(line["event"])
    return "config"


# --- what came of it -------------------------------------------------------------------------------------------------


def _outcome(facts: Sequence[Consequences]) -> Outcome:
    counts = dict.fromkeys(_COUNTS.values(), 0)
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, _counted(facts, counts))
    profit = by_account(rows.all(ProfitRow))
    balances = {}
    for row in rows.all(BalanceRow):
        totals, scale = profit.get((row.account, row.asset)), cash_scale(row.asset)
        balances[f"{row.account} {row.asset}"] = {
            "equity": decimal_text(row.equity, scale),
            "realized": decimal_text(totals.realized if totals else 0, scale),
            "unrealized": decimal_text(row.unrealized, scale),
            "fees": decimal_text(totals.fees if totals else 0, scale),
        }
    return Outcome(balances, counts)


def _counted(facts: Sequence[Consequences], counts: dict[str, int]) -> Iterator[Record[Event]]:
    for fact in facts:
        for record in fact.records:
            for event in record.events:
                if (name := _COUNTS.get(type(event))) is not None:
                    counts[name] += 1
            yield record
