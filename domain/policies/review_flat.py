"""A group that an instant has changed looks at itself again once the whole instant has been recorded."""

from domain.decider import Reactions
from domain.message import Command
from domain.position_group.commands import ReviewFlat, ReviewGuards
from domain.position_group.events import ReviewDue, TargetFilled


def review_flat(event: TargetFilled) -> tuple[Command, ...]:
    return () if event.held else (ReviewFlat(event.bot, event.group),)


def review_guards(event: ReviewDue) -> tuple[Command, ...]:
    return (ReviewGuards(event.bot, event.group),)


REACTIONS: Reactions = {TargetFilled: (review_flat,), ReviewDue: (review_guards,)}
