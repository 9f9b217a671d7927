"""A position group's state, and how events change it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct, structs

from domain.bot.settings import WhenFlat
from domain.market import Instrument
from domain.message import Event
from domain.position_group import events as e
from domain.values import Direction

Status = Literal["open", "exiting", "closed"]


class LegState(Struct, frozen=True):
    """A leg. `uncovered` is what it received and no target covers, bought for `uncovered_worth` (price x quantity)."""

    plan: e.Leg
    working: bool = True
    targets: int = 0
    uncovered: int = 0
    uncovered_worth: int = 0


class GroupState(Struct, frozen=True):
    """A group. `held` is what its fills left it with, unsigned; `closing` says that a closing order works."""

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
        tuple(LegState(leg) for leg in event.legs), event.when_flat, event.legs[0].price,
    )  # fmt: skip


def leg_filled(state: GroupState, event: e.LegFilled) -> GroupState:
    leg = state.legs[event.leg]
    leg = structs.replace(
        leg,
        working=event.remaining > 0,
        uncovered=leg.uncovered + event.received,
        uncovered_worth=leg.uncovered_worth + event.price * event.received,
    )
    return structs.replace(state, legs=_with(state, leg), held=state.held + event.received, entered=True)


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
    return structs.replace(state, legs=legs, held=state.held - event.quantity)


def target_ended(state: GroupState, event: e.TargetEnded) -> GroupState:
    leg = state.legs[event.leg]
    leg = structs.replace(
        leg,
        targets=leg.targets - 1,
        uncovered=leg.uncovered + event.remaining,
        uncovered_worth=leg.uncovered_worth + leg.plan.price * event.remaining,
    )
    return structs.replace(state, legs=_with(state, leg))


def abandoned(state: GroupState, _event: e.EntriesAbandoned) -> GroupState:
    return structs.replace(state, abandoned=True)


def exit_started(state: GroupState, event: e.ExitStarted) -> GroupState:
    return structs.replace(state, status="exiting", reference=event.reference)


def close_decided(state: GroupState, _event: e.CloseDecided) -> GroupState:
    return structs.replace(state, closing=True)


def close_filled(state: GroupState, event: e.CloseFilled) -> GroupState:
    return structs.replace(state, held=state.held - event.quantity, closing=event.remaining > 0)


def close_failed(state: GroupState, _event: e.CloseFailed) -> GroupState:
    return structs.replace(state, status="open", closing=False)


def dust_written_off(state: GroupState, event: e.DustWrittenOff) -> GroupState:
    return structs.replace(state, held=state.held - event.quantity, closing=False)


def closed(state: GroupState, _event: e.GroupClosed) -> GroupState:
    return structs.replace(state, status="closed")


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
    e.EntriesAbandoned: abandoned,
    e.ExitStarted: exit_started,
    e.CloseDecided: close_decided,
    e.CloseFilled: close_filled,
    e.CloseFailed: close_failed,
    e.DustWrittenOff: dust_written_off,
    e.GroupClosed: closed,
}
