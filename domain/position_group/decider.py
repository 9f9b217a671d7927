"""A position group decides: what fills means for targets, when the group is flat, when it is over."""

from operator import attrgetter

from domain.decider import Decider
from domain.message import Event
from domain.position_group import events as e
from domain.position_group.commands import ExitGroup, OpenGroup, RecordFill, RecordOrderEnd, ReviewFlat
from domain.position_group.plan import plan_legs, target_price
from domain.position_group.state import FOLDS, GroupState, LegState
from domain.risk.pre_trade import SMALL
from domain.values import Price, Quantity, Side, floor_to

Events = tuple[Event, ...]


def open_group(_state: GroupState | None, command: OpenGroup) -> Events:
    legs = plan_legs(command.settings, command.instrument, command.direction, command.entry)
    return (
        e.GroupOpened(
            command.bot, command.group, command.account, command.direction, command.entry, command.instrument, legs,
            command.settings.when_flat,
        ),
    )  # fmt: skip


def exit_group(state: GroupState, command: ExitGroup) -> Events:
    """Told again while it exits, the group asks again for what is still working to be cancelled."""
    if state.closing:
        return ()
    reference = state.reference if command.last_close is None else command.last_close
    return _settled(state, e.ExitStarted(state.bot, state.group, state.account, state.instrument.id, Price(reference)))


def review_flat(state: GroupState, _command: ReviewFlat) -> Events:
    """Flat at the end of an instant with entries resting: with `cancel` they are given up."""
    gives_up = state.when_flat == "cancel" and state.status == "open" and not state.abandoned
    if gives_up and not state.held and state.entries_work:
        return (e.EntriesAbandoned(state.bot, state.group, state.account),)
    return ()


def record_fill(state: GroupState, command: RecordFill) -> Events:
    """A leg's fill is covered by a target at once; a target's or the close's may leave the group flat."""
    name = state.instrument.id
    if command.role == "entry":
        filled = e.LegFilled(
            command.bot, command.group, command.leg, name, command.price, command.quantity, command.received,
            command.cash, command.remaining,
        )  # fmt: skip
        after = _evolve(state, filled)
        cover = _cover(after, after.legs[command.leg])
        return filled, *(cover or _consequences(after))  # nothing follows while a target works
    if command.role == "target":
        target = e.TargetFilled(
            command.bot, command.group, command.leg, name, command.price, command.received, command.cash,
            command.remaining, Quantity(state.held - command.received),
        )  # fmt: skip
        return _settled(state, target)
    close = e.CloseFilled(
        command.bot, command.group, name, command.price, command.received, command.cash, command.remaining
    )
    return _settled(state, close)


def record_order_end(state: GroupState, command: RecordOrderEnd) -> Events:
    """A close that was too small to place has had its one attempt: the rest is dust."""
    reason = f"{command.code}: {command.reason}" if command.code else command.reason
    name = state.instrument.id
    if command.role == "entry":
        return _settled(state, e.LegEnded(command.bot, command.group, command.leg, name, command.remaining, reason))
    if command.role == "target":
        return _settled(state, e.TargetEnded(command.bot, command.group, command.leg, name, command.remaining, reason))
    if command.code in SMALL:
        return _settled(state, _dust(state, reason))
    return (e.CloseFailed(command.bot, command.group, name, command.remaining, reason),)


def _cover(state: GroupState, leg: LegState) -> Events:
    """A target for what a leg holds without one.

    A part too small for an order waits while more may come; the last part is ordered however small, so that the log
    says why it has no target.
    """
    instrument = state.instrument
    quantity = floor_to(leg.uncovered, instrument.step)
    if state.status != "open" or quantity <= 0:
        return ()
    price = target_price(instrument, state.direction, leg.uncovered_worth, leg.uncovered, leg.plan.take_profit_pct)
    if leg.working and instrument.notional(price, quantity) < instrument.minimum_notional:
        return ()
    return (
        e.TargetSet(
            state.bot, state.group, leg.plan.index, state.account, instrument.id, _closing_side(state), price,
            Quantity(quantity),
        ),
    )  # fmt: skip


def _settled(state: GroupState, *happened: Event) -> Events:
    """What happened, and what follows from it: the rest closed, or the group over."""
    after = state
    for event in happened:
        after = _evolve(after, event)
    return *happened, *_consequences(after)


def _consequences(state: GroupState) -> Events:
    if state.closing or state.targets_work or state.entries_work:
        return ()
    if not state.held:
        return (e.GroupClosed(state.bot, state.group, _how_it_ended(state)),)
    if state.status == "exiting" or state.held < state.instrument.step:
        return _close(state)
    return ()


def _close(state: GroupState) -> Events:
    """Close at market what can be traded; what is left below a step is written off."""
    quantity = floor_to(state.held, state.instrument.step)
    if quantity <= 0:
        dust = _dust(state, f"below step {state.instrument.size_text(state.instrument.step)}")
        return dust, e.GroupClosed(state.bot, state.group, "dust written off")
    return (
        e.CloseDecided(
            state.bot, state.group, state.account, state.instrument.id, _closing_side(state), Quantity(quantity),
            Price(state.reference),
        ),
    )  # fmt: skip


def _dust(state: GroupState, reason: str) -> e.DustWrittenOff:
    return e.DustWrittenOff(state.bot, state.group, state.account, state.instrument.id, Quantity(state.held), reason)


def _how_it_ended(state: GroupState) -> str:
    if not state.entered:
        return "never entered"
    return "exit" if state.status == "exiting" else "targets"


def _closing_side(state: GroupState) -> Side:
    return "sell" if state.direction == "long" else "buy"


def _evolve(state: GroupState, event: Event) -> GroupState:
    return FOLDS[type(event)](state, event)


DECIDER = Decider(
    kind="position_group",
    key=attrgetter("bot", "group"),
    initial=lambda: None,
    rules={
        OpenGroup: open_group,
        ExitGroup: exit_group,
        RecordFill: record_fill,
        ReviewFlat: review_flat,
        RecordOrderEnd: record_order_end,
    },
    folds=FOLDS,
    opens=frozenset({OpenGroup}),
    closed=lambda state: state.status == "closed",
)
