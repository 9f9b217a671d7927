"""A closed group frees its bot for the next."""

from domain.bot.commands import ReleaseGroup
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.events import GroupClosed


def release_group(event: GroupClosed) -> tuple[Command, ...]:
    return (ReleaseGroup(event.bot, event.group),)


REACTIONS: Reactions = {GroupClosed: (release_group,)}
