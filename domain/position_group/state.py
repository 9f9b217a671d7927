"""A position group's state, and how events change it."""

from collections.abc import Callable, Mapping
from math import gcd
from typing import Any, Literal

from msgspec import Struct, structs

from domain.bot.settings import WhenFlat
from domain.market import Instrument
from domain.message import Event
from domain.position_group import events as e
from domain.values import Direction

Status = Literal["open", "exiting", "closed"]


class LegState(Struct, frozen=True, gc=False):
    """A leg, of which `remaining` is still to fill while it works.

    `uncovered` is what it received and no target covers, bought for `uncovered_worth` (price x quantity).
    """

    plan: e.Leg
    remaining: int
    working: bool = True
    targets: int = 0
    uncovered: int = 0
    uncovered_worth: int = 0


class Guard(Struct, frozen=True, gc=False):
    """A stop or an aggregate take profit that works; `going` once it has been asked to go.

    `taken` is what targets have sold since a stop was placed: of one bracket, the venue takes it from the stop.
    """

    price: int
    quantity: int
    going: bool = False
    taken: int = 0


class GroupState(Struct, frozen=True, gc=False):
    """A group. `held` is what its fills left it with, unsigned; `closing` says that a closing order works.

    `average` is the cost of what is held, without fees, as (sum of price x quantity, quantity): a fraction in price
    quanta. `best` is the best close since something is held (0 before the first entry), `reducing` what is still to be closed of it at market
    while the group goes on. `stop_lost` says that the last stop ended where it should have worked.
    """

    bot: str
    group: int
    account: str
    direction: Direction
    instrument: Instrument
    legs: tuple[LegState, ...]
    when_flat: WhenFlat
    reference: int
    status: Status = "open"
    held: int = 0
    entered: bool = False
    abandoned: bool = False
    closing: bool = False
    ends: e.Ends | None = None
    pyramids: int = 1
    average: tuple[int, int] = (0, 1)
    stop: Guard | None = None
    aggregate: Guard | None = None
    best: int = 0
    target_met: bool = False
    reducing: int = 0
    exit_reason: str = "exit"
    stop_lost: bool = False

    @property
    def guards_work(self) -> bool:
        """Whether a stop or an aggregate take profit may still fill."""
        return self.stop is not None or self.aggregate is not None

    @property
    def entries_work(self) -> bool:
        """Whether an entry order may still fill."""
        for leg in self.legs:  # noqa: SIM110  (asked after every fill: a third of what any() costs)
            if leg.working:
                return True
        return False

    @property
    def targets_work(self) -> bool:
        """Whether a take-profit order may still fill."""
        for leg in self.legs:  # noqa: SIM110
            if leg.targets:
                return True
        return False


def opened(_state: GroupState | None, event: e.GroupOpened) -> GroupState:
    return GroupState(
        event.bot, event.group, event.account, event.direction, event.instrument,
        tuple(LegState(leg, leg.quantity) for leg in event.legs), event.when_flat, event.legs[0].price, ends=event.ends,
    )  # fmt: skip


def pyramid_added(state: GroupState, event: e.PyramidAdded) -> GroupState:
    legs = (*state.legs, *(LegState(leg, leg.quantity) for leg in event.legs))
    return structs.replace(state, legs=legs, pyramids=event.pyramid, abandoned=False)


def leg_filled(state: GroupState, event: e.LegFilled) -> GroupState:
    leg = state.legs[event.leg]
    leg = structs.replace(
        leg,
        remaining=event.remaining,
        working=event.remaining > 0,
        uncovered=leg.uncovered + event.received,
        uncovered_worth=leg.uncovered_worth + event.price * event.received,
    )
    return structs.replace(
        state,
        legs=_with(state, leg),
        held=state.held + event.received,
        average=blend(state.average, state.held, event.price, event.received),
        best=state.best if state.held > 0 else event.price,
        entered=True,
    )


def leg_ended(state: GroupState, event: e.LegEnded) -> GroupState:
    return structs.replace(state, legs=_with(state, structs.replace(state.legs[event.leg], working=False)))


def target_set(state: GroupState, event: e.TargetSet) -> GroupState:
    leg = state.legs[event.leg]
    left = leg.uncovered - event.quantity
    worth = leg.uncovered_worth * left // leg.uncovered
    leg = structs.replace(leg, targets=leg.targets + 1, uncovered=left, uncovered_worth=worth)
    return structs.replace(state, legs=_with(state, leg))


def target_filled(state: GroupState, event: e.TargetFilled) -> GroupState:
    legs = state.legs
    if not event.remaining:
        legs = _with(state, structs.replace(legs[event.leg], targets=legs[event.leg].targets - 1))
    state = structs.replace(state, legs=legs, held=state.held - event.quantity, target_met=True)
    return _taken_from_stop(state, event.quantity)


def target_ended(state: GroupState, event: e.TargetEnded) -> GroupState:
    leg = state.legs[event.leg]
    leg = structs.replace(
        leg,
        targets=leg.targets - 1,
        uncovered=leg.uncovered + event.remaining,
        uncovered_worth=leg.uncovered_worth + leg.plan.price * event.remaining,
    )
    return structs.replace(state, legs=_with(state, leg))


def guard_set(state: GroupState, event: e.GuardSet) -> GroupState:
    if event.role == "stop":
        state = structs.replace(state, stop_lost=False)
    return _with_guard(state, event.role, Guard(event.price, event.quantity))


def guard_withdrawn(state: GroupState, event: e.GuardWithdrawn) -> GroupState:
    guard = state.stop if event.role == "stop" else state.aggregate
    assert guard is not None, "only what works is withdrawn"
    return _with_guard(state, event.role, structs.replace(guard, going=True))


def guard_filled(state: GroupState, event: e.GuardFilled) -> GroupState:
    state = structs.replace(state, held=state.held - event.quantity)
    if event.role == "aggregate":
        state = _taken_from_stop(state, event.quantity)
    return state if event.remaining else _with_guard(state, event.role, None)


def guard_ended(state: GroupState, event: e.GuardEnded) -> GroupState:
    stop = state.stop
    if event.role == "stop" and state.status == "open" and stop is not None and not stop.going:
        state = structs.replace(state, stop_lost=True)
    return _with_guard(state, event.role, None)


def best_moved(state: GroupState, event: e.BestMoved) -> GroupState:
    return structs.replace(state, best=event.best)


def abandoned(state: GroupState, _event: e.EntriesAbandoned) -> GroupState:
    return structs.replace(state, abandoned=True)


def exit_started(state: GroupState, event: e.ExitStarted) -> GroupState:
    return structs.replace(state, status="exiting", reference=event.reference, exit_reason=event.reason, reducing=0)


def close_decided(state: GroupState, _event: e.CloseDecided) -> GroupState:
    return structs.replace(state, closing=True)


def reduction_started(state: GroupState, event: e.ReductionStarted) -> GroupState:
    return structs.replace(state, reducing=event.quantity)


def reduction_dropped(state: GroupState, _event: e.ReductionDropped) -> GroupState:
    return structs.replace(state, reducing=0)


def close_filled(state: GroupState, event: e.CloseFilled) -> GroupState:
    """What a reduction closes is taken from what the legs hold without a target, in their order."""
    held, closing = state.held - event.quantity, event.remaining > 0
    if not state.reducing:
        return structs.replace(state, held=held, closing=closing)
    legs, rest = list(state.legs), int(event.quantity)
    for index, leg in enumerate(legs):
        taken = min(rest, leg.uncovered)
        if taken:
            worth = leg.uncovered_worth * (leg.uncovered - taken) // leg.uncovered
            legs[index] = structs.replace(leg, uncovered=leg.uncovered - taken, uncovered_worth=worth)
            rest -= taken
    reducing = max(0, state.reducing - event.quantity) if closing else 0
    return structs.replace(state, legs=tuple(legs), held=held, closing=closing, reducing=reducing)


def close_failed(state: GroupState, _event: e.CloseFailed) -> GroupState:
    return structs.replace(state, status="open", closing=False, reducing=0)


def dust_written_off(state: GroupState, event: e.DustWrittenOff) -> GroupState:
    return structs.replace(state, held=state.held - event.quantity, closing=False)


def closed(state: GroupState, _event: e.GroupClosed) -> GroupState:
    return structs.replace(state, status="closed")


def unchanged(state: GroupState, _event: Event) -> GroupState:
    return state


def blend(average: tuple[int, int], held: int, price: int, quantity: int) -> tuple[int, int]:
    """The average of what is held once `quantity` at `price` has come to it; exact."""
    worth, count = average
    if held <= 0:  # nothing; or less, where a venue has sold twice what a race left behind
        return price * quantity, quantity
    if count == held:
        return worth + price * quantity, held + quantity
    numerator, denominator = worth * held + price * quantity * count, count * (held + quantity)
    common = gcd(numerator, denominator)  # else a group that lives long would carry ever longer numbers
    return numerator // common, denominator // common


def _taken_from_stop(state: GroupState, quantity: int) -> GroupState:
    stop = state.stop
    if stop is None:
        return state
    return structs.replace(state, stop=structs.replace(stop, taken=stop.taken + quantity))


def _with_guard(state: GroupState, role: e.GuardRole, guard: Guard | None) -> GroupState:
    return structs.replace(state, **{role: guard})


def _with(state: GroupState, leg: LegState) -> tuple[LegState, ...]:
    index = leg.plan.index
    return (*state.legs[:index], leg, *state.legs[index + 1 :])


FOLDS: Mapping[type[Event], Callable[[Any, Any], GroupState]] = {
    e.GroupOpened: opened,
    e.LegFilled: leg_filled,
    e.LegEnded: leg_ended,
    e.TargetSet: target_set,
    e.TargetFilled: target_filled,
    e.TargetEnded: target_ended,
    e.PyramidAdded: pyramid_added,
    e.PyramidRefused: unchanged,
    e.LegsExpired: unchanged,
    e.ReviewDue: unchanged,
    e.ReductionStarted: reduction_started,
    e.ReductionDropped: reduction_dropped,
    e.GuardSet: guard_set,
    e.GuardWithdrawn: guard_withdrawn,
    e.GuardFilled: guard_filled,
    e.GuardEnded: guard_ended,
    e.BestMoved: best_moved,
    e.EntriesAbandoned: abandoned,
    e.ExitStarted: exit_started,
    e.CloseDecided: close_decided,
    e.CloseFilled: close_filled,
    e.CloseFailed: close_failed,
    e.DustWrittenOff: dust_written_off,
    e.GroupClosed: closed,
}
