"""Laws of the choice, over random groups and prices; and a machine of everything that can happen to an offset."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.message import Record
from domain.portfolio_risk import commands as c
from domain.portfolio_risk import events as e
from domain.portfolio_risk.choosing import WINNERS_MAX
from domain.portfolio_risk.decider import DECIDER
from domain.portfolio_risk.state import FOLDS
from domain.position_group.state import GroupState
from domain.values import Time
from infrastructure.event_store.codec import decode, encode
from tests.domain.portfolio_risk.desk import CENT, Desk

MARGINS = ("0", "0.2", "3")
NAMES = "ABCDEFGH"
HELD = st.one_of(st.integers(1, 60), st.integers(1, 5000))
PRICES = st.integers(8000, 12500)


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    """Groups of any size, side and price; ties are likely."""
    desk = Desk(cost_margin_pct=Decimal(draw(st.sampled_from(MARGINS))), post_full_wait_minutes=0)
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        held, count = draw(HELD), draw(st.sampled_from([1, 3, 7]))
        worth = held * 10000 * count + draw(st.sampled_from([0, 0, 1, -1]))
        desk.opens(name, held, 10000, draw(st.sampled_from([9000, 9000, 9300, 11000, 11000]) | PRICES), worth=worth,
                   direction=draw(st.sampled_from(["long", "long", "short"])))  # fmt: skip
        desk.change(name, average=(worth, held * count))
        desk.at += draw(st.integers(0, 2))
    return desk


def gain(desk: Desk, group: GroupState, quantity: int | None = None) -> Fraction:
    """What a quantity of a group would bring over its cost, in cash quanta."""
    average = Fraction(*group.average)
    mark = desk.marks[group.instrument.id]
    sign = 1 if group.direction == "long" else -1
    return sign * (mark - average) * (group.held if quantity is None else quantity) * CENT


def net(desk: Desk, group: GroupState, quantity: int) -> Fraction:
    costs = Fraction(desk.settings.cost_margin_pct) / 100 * desk.marks[group.instrument.id] * quantity * CENT
    return gain(desk, group, quantity) - costs


def percent(desk: Desk, group: GroupState) -> Fraction:
    return 100 * gain(desk, group) / (Fraction(*group.average) * group.held * CENT)


@given(desks())
@settings(max_examples=300)
def test_the_loser_is_the_worst_by_percent_amount_and_age(desk: Desk) -> None:
    groups = list(desk.groups.values())
    happened = desk.runs()
    beyond = [group for group in groups if percent(desk, group) < -5]
    order = sorted(beyond, key=lambda group: (percent(desk, group), gain(desk, group), groups.index(group)))
    (said,) = (event for event in happened if isinstance(event, e.OffsetEvaluated | e.OffsetChosen))
    assert [loser.bot for loser in said.losers] == [group.bot for group in order]
    if isinstance(said, e.OffsetChosen):
        assert said.bot == order[0].bot


@given(desks())
@settings(max_examples=300)
def test_the_parts_are_the_smallest_that_cover_and_nothing_is_chosen_where_there_is_not_enough(desk: Desk) -> None:
    groups = dict(desk.groups)
    (said,) = (event for event in desk.runs() if isinstance(event, e.OffsetEvaluated | e.OffsetChosen))
    losers: list[GroupState] = [group for group in groups.values() if percent(desk, group) < -5]
    if not losers:
        assert isinstance(said, e.OffsetEvaluated)
        assert (said.outcome, said.winners) == ("no_loser", ())
        return
    loser = groups[said.losers[0].bot]
    needed = -net(desk, loser, loser.held)
    able = [group for group in groups.values() if net(desk, group, group.held) > 0 and _worth(desk, group, group.held)]
    best = sorted((net(desk, group, group.held) for group in able), reverse=True)[:WINNERS_MAX]
    assert isinstance(said, e.OffsetChosen) == (sum(best) >= needed)
    if not isinstance(said, e.OffsetChosen):
        return
    assert 1 <= len(said.parts) <= WINNERS_MAX
    assert [net(desk, groups[part.bot], groups[part.bot].held) for part in said.parts] == best[: len(said.parts)]
    for part in said.parts:
        group = groups[part.bot]
        assert 0 < part.quantity <= group.held
        assert _worth(desk, group, part.quantity)
        less = part.quantity - group.instrument.step
        assert net(desk, group, less) < needed or not _worth(desk, group, less)
        if part is not said.parts[-1]:
            assert part.quantity == group.held
        needed -= net(desk, group, part.quantity)
    assert needed <= 0


def _worth(desk: Desk, group: GroupState, quantity: int) -> bool:
    """Whether so much can be traded."""
    worth = desk.marks[group.instrument.id] * quantity * CENT
    return quantity > 0 and worth >= group.instrument.minimum_notional


class Offsets(RuleBasedStateMachine):
    """Groups open, move, fill, fail and close as they like."""

    @initialize(
        margin=st.sampled_from(MARGINS),
        start=st.sampled_from(["last_pyramid", "legs_filled"]),
        wait=st.sampled_from([0, 5]),
    )
    def configure(self, margin: str, start: Any, wait: int) -> None:
        self.desk = Desk(cost_margin_pct=Decimal(margin), timer_start=start, post_full_wait_minutes=wait)
        self.opened = 0

    @rule(name=st.sampled_from(NAMES), held=HELD, mark=PRICES, direction=st.sampled_from(["long", "short"]))
    def open(self, name: str, held: int, mark: int, direction: str) -> None:
        if name not in self.desk.groups:
            self.opened += 1  # a number names one group for good
            self.desk.opens(name, held, 10000, mark, direction=direction, group=self.opened)

    @rule(name=st.sampled_from(NAMES), mark=PRICES)
    def move(self, name: str, mark: int) -> None:
        if name in self.desk.groups:
            self.desk.moves(name, mark)

    @rule(minutes=st.integers(0, 6))
    def look(self, minutes: int) -> None:
        self.desk.passes(minutes)
        assert any(not self.desk.looks() for _ in range(4)), "looking again at the same comes to an end"

    @rule(command=st.sampled_from([c.RunOffset("main"), c.SkipOffset("main")]))
    def by_hand(self, command: Any) -> None:
        self.desk.when(command)

    @rule(name=st.sampled_from(NAMES), command=st.sampled_from([c.BlockGroup, c.UnblockGroup]))
    def keep_out_or_in(self, name: str, command: Any) -> None:
        if name in self.desk.groups:
            self.desk.when(command("main", name, self.desk.groups[name].group))

    @precondition(lambda self: self.closing)
    @rule(data=st.data(), slip=st.integers(-60, 20), cut=st.booleans())
    def fill(self, data: st.DataObject, slip: int, cut: bool) -> None:
        group = self.desk.groups[data.draw(st.sampled_from(self.closing))]
        wanted = group.reducing or group.held
        quantity = max(1, wanted // 2) if cut else wanted
        remaining = wanted - quantity
        self.desk.fills(group.bot, quantity, self.desk.marks[group.instrument.id] + slip, remaining=remaining)
        if group.reducing:
            self.desk.change(group.bot, reducing=remaining)
        if not self.desk.groups[group.bot].held:
            self.desk.closes(group.bot)

    @precondition(lambda self: self.closing)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.desk.fails(data.draw(st.sampled_from(self.closing)), 1)

    @rule(name=st.sampled_from(NAMES))
    def close(self, name: str) -> None:
        if name in self.desk.groups:
            self.desk.closes(name)

    @property
    def closing(self) -> list[str]:
        return [name for name, group in self.desk.groups.items() if group.reducing or group.closing]

    @invariant()
    def what_is_watched_lives(self) -> None:
        if hasattr(self, "desk"):
            assert {key[0] for key in self.desk.state.watched} == set(self.desk.groups)

    @invariant()
    def an_offset_has_a_loser_and_three_payers_at_most(self) -> None:
        plan = self.desk.state.plan if hasattr(self, "desk") else None
        if plan is None:
            return
        assert plan.loser in self.desk.state.watched
        assert plan.loser not in plan.pending | plan.payers
        assert len(plan.payers | plan.pending) <= WINNERS_MAX
        assert not (plan.pending and plan.closing)
        assert plan.pending or plan.closing, "somebody is always waited for"
        assert not plan.pending & plan.failed

    @invariant()
    def a_loser_is_closed_only_when_it_is_paid_for(self) -> None:
        if hasattr(self, "desk"):
            for event in self.desk.events(e.LoserExitDecided):
                assert event.paid >= event.needed

    def teardown(self) -> None:
        """The log in its stored form gives the same state."""
        if not hasattr(self, "desk"):
            return
        record: Record[Any] = Record(1, 1, Time(1), "core", None, tuple(self.desk.past), "portfolio_risk/main")
        state = DECIDER.initial()
        for event in decode(encode(record)).events:
            state = FOLDS[type(event)](state, event)
        assert state == self.desk.state
        ended = self.desk.events(e.OffsetCompleted) + self.desk.events(e.OffsetAbandoned)
        begun = {event.number for event in self.desk.events(e.OffsetChosen)}
        open_ = set() if state.plan is None else {state.plan.number}
        assert {event.number for event in ended} | open_ == begun
        for event in self.desk.events(e.OffsetCompleted):
            fills = [fill for fill in self.desk.events(e.OffsetFilled) if fill.number == event.number]
            assert event.paid == sum(fill.profit for fill in fills if fill.role == "winner")
            assert event.lost == sum(fill.profit for fill in fills if fill.role == "loser")


TestOffsets = Offsets.TestCase
TestOffsets.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
