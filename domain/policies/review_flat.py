"""A group that a target left flat looks at itself again once the whole instant has been recorded."""

from domain.decider import Reactions
from domain.message import Command
from domain.position_group.commands import ReviewFlat
from domain.position_group.events import TargetFilled


def review_flat(event: TargetFilled) -> tuple[Command, ...]:
    return () if event.held else (ReviewFlat(event.bot, event.group),)


REACTIONS: Reactions = {TargetFilled: (review_flat,)}
