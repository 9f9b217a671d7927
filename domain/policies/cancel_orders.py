"""What a group gives up is cancelled on its account."""

from domain.account.commands import CancelOrders
from domain.account.events import Role
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.events import EntriesAbandoned, ExitStarted, GuardWithdrawn, LegsExpired, ReductionStarted


def cancel_entries(event: EntriesAbandoned) -> tuple[Command, ...]:
    return (CancelOrders(event.account, event.bot, event.group, ("entry",), "flat"),)


def cancel_all(event: ExitStarted) -> tuple[Command, ...]:
    """A stop that has begun to fill is not called back."""
    roles: tuple[Role, ...] = ("entry", "target", "aggregate")
    if event.reason != "stop":
        roles = (*roles, "stop")
    return (CancelOrders(event.account, event.bot, event.group, roles, event.reason),)


def cancel_guard(event: GuardWithdrawn) -> tuple[Command, ...]:
    return (CancelOrders(event.account, event.bot, event.group, (event.role,), "replaced"),)


def cancel_legs(event: LegsExpired) -> tuple[Command, ...]:
    return (CancelOrders(event.account, event.bot, event.group, ("entry",), event.reason, event.legs),)


def make_room(event: ReductionStarted) -> tuple[Command, ...]:
    return (CancelOrders(event.account, event.bot, event.group, ("target", "aggregate"), "reduction"),)


REACTIONS: Reactions = {
    EntriesAbandoned: (cancel_entries,),
    ExitStarted: (cancel_all,),
    GuardWithdrawn: (cancel_guard,),
    LegsExpired: (cancel_legs,),
    ReductionStarted: (make_room,),
}
