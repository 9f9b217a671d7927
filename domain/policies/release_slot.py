"""A slot goes from the signal to the group that it opens, and back to the pool when either is over."""

from domain.bot.events import EntryDropped, EntryTaken, GroupReleased
from domain.decider import Reactions
from domain.execution_pool.commands import AssignSlot, ReleaseGroupSlots, ReleaseSlot
from domain.message import Command


def assign_slot(event: EntryTaken) -> tuple[Command, ...]:
    return (AssignSlot(event.account, event.bot, event.source, event.number, event.group),)


def release_slot(event: EntryDropped) -> tuple[Command, ...]:
    return (ReleaseSlot(event.account, event.bot, event.source, event.number, f"{event.code}: {event.reason}"),)


def release_group_slots(event: GroupReleased) -> tuple[Command, ...]:
    """The bot is free by now, so that a signal of its own that waits may be the next."""
    return (ReleaseGroupSlots(event.account, event.bot, event.group, "group closed"),)


REACTIONS: Reactions = {
    EntryTaken: (assign_slot,),
    EntryDropped: (release_slot,),
    GroupReleased: (release_group_slots,),
}
