"""A position group decides: what fills means for targets, when the group is flat, when it is over."""

from decimal import Decimal
from operator import attrgetter

from msgspec import structs

from domain.decider import Decider
from domain.message import Event
from domain.position_group import events as e
from domain.position_group.commands import (
    AddPyramid,
    AimGroup,
    ExitGroup,
    ExpireGroup,
    ExpireLegs,
    LookAtPrice,
    OpenGroup,
    RecordFill,
    RecordOrderEnd,
    ReduceGroup,
    ReviewFlat,
    ReviewGuards,
)
from domain.position_group.plan import market_leg, plan_legs, target_price
from domain.position_group.protection import (
    closing_side,
    due,
    ends_of,
    expire_group,
    expire_legs,
    look_at_price,
    review_guards,
)
from domain.position_group.state import FOLDS, GroupState, LegState
from domain.risk.pre_trade import SMALL
from domain.values import Price, Quantity, floor_to

Events = tuple[Event, ...]


def open_group(_state: GroupState | None, command: OpenGroup) -> Events:
    settings = command.settings
    if command.quantity is None:
        legs = plan_legs(settings, command.instrument, command.direction, command.entry)
    else:
        legs = (market_leg(0, command.instrument, command.entry, command.quantity, settings.legs[0].take_profit_pct),)
    return (
        e.GroupOpened(
            command.bot, command.group, command.account, command.direction, command.entry, command.instrument, legs,
            settings.when_flat, ends_of(settings),
        ),
    )  # fmt: skip


def aim_group(state: GroupState, command: AimGroup) -> Events:
    """The difference is traded: more by a further market leg, less by a reduction."""
    if state.status != "open" or state.closing or state.reducing:
        return (_too_late(state, command),)
    missing = command.size - state.held - sum(leg.remaining for leg in state.legs if leg.working)
    if missing < 0:
        return reduce_group(state, ReduceGroup(state.bot, state.group, Quantity(-missing), "target position"))
    if not missing:
        return ()
    percent = state.legs[0].plan.take_profit_pct
    leg = market_leg(len(state.legs), state.instrument, command.entry, Quantity(missing), percent)
    return (_pyramid(state, command.entry, (leg,), None),)


def add_pyramid(state: GroupState, command: AddPyramid) -> Events:
    """A further entry has legs of its own; it comes too late for a group that is on its way out."""
    if state.status != "open" or state.closing:
        return (_too_late(state, command),)
    planned = plan_legs(command.settings, state.instrument, state.direction, command.entry)
    legs = tuple(structs.replace(leg, index=leg.index + len(state.legs)) for leg in planned)
    ends = ends_of(command.settings)
    return (_pyramid(state, command.entry, legs, None if ends is None else ends.leg_expiry_us),)


def _too_late(state: GroupState, command: AddPyramid | AimGroup) -> e.PyramidRefused:
    code = "GROUP_EXITING" if state.status != "open" or not state.reducing else "GROUP_REDUCING"
    reason = f"status={state.status}"
    return e.PyramidRefused(state.bot, state.group, code, reason, command.source, command.number)


def _pyramid(state: GroupState, entry: Decimal, legs: tuple[e.Leg, ...], expiry: int | None) -> e.PyramidAdded:
    return e.PyramidAdded(
        state.bot, state.group, state.account, state.pyramids + 1, state.direction, entry, state.instrument.id, legs,
        expiry,
    )  # fmt: skip


def exit_group(state: GroupState, command: ExitGroup) -> Events:
    """Told again while it exits, the group asks again for what is still working to be cancelled."""
    if state.closing and not state.reducing:
        return ()
    reference = state.reference if command.last_close is None else command.last_close
    started = e.ExitStarted(
        state.bot, state.group, state.account, state.instrument.id, Price(reference), command.reason
    )
    return _settled(state, started)


def reduce_group(state: GroupState, command: ReduceGroup) -> Events:
    """Close a part; one reduction at a time, and never what is on its way out anyway."""
    quantity = floor_to(min(command.quantity, state.held), state.instrument.step)
    if state.status != "open" or state.closing or state.reducing or quantity <= 0:
        return ()
    started = e.ReductionStarted(
        state.bot, state.group, state.account, state.instrument.id, Quantity(quantity), command.reason
    )
    return _settled(state, started)


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
        return filled, *(cover or _consequences(after)), *due(after)  # nothing follows while a target works
    if command.role == "target":
        target = e.TargetFilled(
            command.bot, command.group, command.leg, name, command.price, command.received, command.cash,
            command.remaining, Quantity(state.held - command.received),
        )  # fmt: skip
        return _reviewed(state, _settled(state, target))
    if command.role in {"aggregate", "stop"}:
        return _guard_filled(state, command)
    close = e.CloseFilled(
        command.bot, command.group, name, command.price, command.received, command.cash, command.remaining
    )
    return _settled(state, close, resume=state.reducing > 0)


def _guard_filled(state: GroupState, command: RecordFill) -> Events:
    """A stop that fills takes the whole group out; an aggregate target may leave entries that go on."""
    role: e.GuardRole = "stop" if command.role == "stop" else "aggregate"
    filled = e.GuardFilled(
        command.bot, command.group, role, state.instrument.id, command.price, command.received, command.cash,
        command.remaining, Quantity(state.held - command.received),
    )  # fmt: skip
    if role == "aggregate":
        return _reviewed(state, _settled(state, filled))
    if state.status != "open":
        return _settled(state, filled)
    out = e.ExitStarted(state.bot, state.group, state.account, state.instrument.id, command.price, "stop")
    return _settled(state, filled, out)


def record_order_end(state: GroupState, command: RecordOrderEnd) -> Events:
    """A close that was too small to place has had its one attempt: the rest is dust."""
    reason = f"{command.code}: {command.reason}" if command.code else command.reason
    name = state.instrument.id
    if command.role == "entry":
        return _settled(state, e.LegEnded(command.bot, command.group, command.leg, name, command.remaining, reason))
    if command.role == "target":
        return _settled(state, e.TargetEnded(command.bot, command.group, command.leg, name, command.remaining, reason))
    if command.role in {"aggregate", "stop"}:
        return _guard_ended(state, command, reason)
    if command.code in SMALL and not state.reducing:
        return _settled(state, _dust(state, reason))
    failed = e.CloseFailed(command.bot, command.group, name, command.remaining, reason)
    if state.reducing:
        return _settled(state, failed, resume=True)
    if state.stop_lost:  # refused both, at once again it would be refused both again, and so for ever
        return _settled(state, failed)
    return _reviewed(state, _settled(state, failed))  # it goes on, and not without its stop


def _guard_ended(state: GroupState, command: RecordOrderEnd, reason: str) -> Events:
    """One that was asked to go makes room for the next. Where a stop is refused, the group has none: it gets out."""
    role: e.GuardRole = "stop" if command.role == "stop" else "aggregate"
    guard = state.stop if role == "stop" else state.aggregate
    ended = e.GuardEnded(command.bot, command.group, role, state.instrument.id, command.remaining, reason)
    if state.status == "open" and guard is not None and guard.going:
        return _reviewed(state, _settled(state, ended))
    unprotected = role == "stop" and command.code and command.code not in SMALL
    if unprotected and state.status == "open" and state.held:
        last = Price(state.reference)
        return _settled(
            state, ended, e.ExitStarted(state.bot, state.group, state.account, state.instrument.id, last, "stop")
        )
    return _settled(state, ended)


def _cover(state: GroupState, leg: LegState) -> Events:
    """A target for what a leg holds without one.

    A part too small for an order waits while more may come; the last part is ordered however small, so that the log
    says why it has no target.
    """
    instrument = state.instrument
    quantity = floor_to(leg.uncovered, instrument.step)
    percent = leg.plan.take_profit_pct
    if state.status != "open" or quantity <= 0 or state.reducing or percent is None or _aggregate_only(state):
        return ()
    price = target_price(instrument, state.direction, leg.uncovered_worth, leg.uncovered, percent)
    if leg.working and instrument.notional(price, quantity) < instrument.minimum_notional:
        return ()
    return (
        e.TargetSet(
            state.bot, state.group, leg.plan.index, state.account, instrument.id, closing_side(state), price,
            Quantity(quantity),
        ),
    )  # fmt: skip


def _settled(state: GroupState, *happened: Event, resume: bool = False) -> Events:
    """What happened, and what follows from it: the rest closed, or the group over, or, after a reduction, covered anew."""
    after = state
    for event in happened:
        after = _evolve(after, event)
    if resume and after.status == "open" and after.held and not (after.closing or after.reducing):
        return *happened, *(target for leg in after.legs for target in _cover(after, leg)), *due(after)
    return *happened, *_consequences(after)


def _followed(state: GroupState, happened: Events) -> Events:
    return _settled(state, *happened) if happened else ()


def _consequences(state: GroupState) -> Events:
    if state.closing or state.targets_work or state.aggregate is not None:
        return ()
    if state.reducing:
        return _reduce(state)
    if state.entries_work or state.stop is not None:
        return ()
    if not state.held:
        return (e.GroupClosed(state.bot, state.group, _how_it_ended(state), state.account, state.instrument.id),)
    if state.status == "exiting" or state.held < state.instrument.step:
        return _close(state, state.held)
    return ()


def _reviewed(state: GroupState, happened: Events) -> Events:
    """What happened, and the look at the guards that it asks for where the group goes on."""
    after = state
    for event in happened:
        after = _evolve(after, event)
    return *happened, *due(after)


def _reduce(state: GroupState) -> Events:
    """Close the part; where a target was quicker than its cancel, there may be nothing left to close."""
    if floor_to(min(state.reducing, state.held), state.instrument.step):
        return _close(state, state.reducing)
    dropped = e.ReductionDropped(state.bot, state.group, state.instrument.id, "nothing left to close")
    after = _evolve(state, dropped)
    return dropped, *_consequences(after)


def _close(state: GroupState, wanted: int) -> Events:
    """Close at market what can be traded; what is left below a step is written off."""
    if state.held < 0:
        sold = state.instrument.size_text(Quantity(-state.held))
        oversold = _dust(state, f"oversold: the venue closed {sold} more than was held")
        return oversold, e.GroupClosed(state.bot, state.group, "oversold", state.account, state.instrument.id)
    quantity = floor_to(min(wanted, state.held), state.instrument.step)
    if quantity <= 0:
        dust = _dust(state, f"below step {state.instrument.size_text(state.instrument.step)}")
        return dust, e.GroupClosed(state.bot, state.group, "dust written off", state.account, state.instrument.id)
    return (
        e.CloseDecided(
            state.bot, state.group, state.account, state.instrument.id, closing_side(state), Quantity(quantity),
            Price(state.reference),
        ),
    )  # fmt: skip


def _dust(state: GroupState, reason: str) -> e.DustWrittenOff:
    return e.DustWrittenOff(state.bot, state.group, state.account, state.instrument.id, Quantity(state.held), reason)


def _how_it_ended(state: GroupState) -> str:
    if not state.entered:
        return "never entered"
    return state.exit_reason if state.status == "exiting" else "targets"


def _aggregate_only(state: GroupState) -> bool:
    return state.ends is not None and state.ends.take_profit == "aggregate"


def _evolve(state: GroupState, event: Event) -> GroupState:
    return FOLDS[type(event)](state, event)


DECIDER = Decider(
    kind="position_group",
    key=attrgetter("bot", "group"),
    initial=lambda: None,
    rules={
        OpenGroup: open_group,
        AddPyramid: add_pyramid,
        AimGroup: aim_group,
        ExitGroup: exit_group,
        ReduceGroup: reduce_group,
        RecordFill: record_fill,
        ReviewFlat: review_flat,
        RecordOrderEnd: record_order_end,
        LookAtPrice: lambda state, command: _followed(state, look_at_price(state, command)),
        ExpireLegs: expire_legs,
        ExpireGroup: lambda state, command: _followed(state, expire_group(state, command)),
    },
    timed={ReviewGuards: review_guards},
    folds=FOLDS,
    opens=frozenset({OpenGroup}),
    closed=lambda state: state.status == "closed",
    settles=frozenset({e.GroupClosed}),
)
