"""What is due later: events that ask for a command at a time to come."""

from collections.abc import Iterator, Mapping

from domain.account.events import RiskLimitsSet, SessionStarted
from domain.decider import Deadline
from domain.execution_pool.events import QueuedSignalReplaced, SignalQueued
from domain.message import Command, Event
from domain.policies.flatten_halted import review_at_events, review_at_the_end
from domain.policies.queue_signal import expire_signal
from domain.position_group.commands import ExpireGroup, ExpireLegs, ReviewGuards
from domain.position_group.events import CloseFailed, GroupOpened, PyramidAdded
from domain.values import MINUTE, Time

NOTHING_THERE = "POSITION_INSUFFICIENT:"


def end_group(event: GroupOpened, at: Time) -> Iterator[tuple[Time, Command]]:
    """A group's legs expire, then the group itself."""
    ends = event.ends
    if ends is None:
        return
    if ends.leg_expiry_us is not None:
        legs = tuple(leg.index for leg in event.legs)
        yield Time(at + ends.leg_expiry_us), ExpireLegs(event.bot, event.group, legs)
    if ends.time_limit_us is not None:
        yield Time(at + ends.time_limit_us), ExpireGroup(event.bot, event.group)


def end_pyramid(event: PyramidAdded, at: Time) -> Iterator[tuple[Time, Command]]:
    if event.leg_expiry_us is not None:
        legs = tuple(leg.index for leg in event.legs)
        yield Time(at + event.leg_expiry_us), ExpireLegs(event.bot, event.group, legs)


def look_again(event: CloseFailed, at: Time) -> Iterator[tuple[Time, Command]]:
    """A group that could neither have its stop nor close asks again, and not at the speed of its refusals.

    Where the account has nothing that could be closed, no time that passes brings it.
    """
    if not event.reason.startswith(NOTHING_THERE):
        yield Time(at + MINUTE), ReviewGuards(event.bot, event.group)


DEADLINES: Mapping[type[Event], Deadline] = {
    GroupOpened: end_group,
    PyramidAdded: end_pyramid,
    CloseFailed: look_again,
    SignalQueued: expire_signal,
    QueuedSignalReplaced: expire_signal,
    RiskLimitsSet: review_at_events,
    SessionStarted: review_at_the_end,
}
