"""An accepted signal goes to its bot; what the bot takes of it goes to a position group."""

from domain.bot.commands import ActOnSignal
from domain.bot.events import AimTaken, CloseTaken, EntryTaken, ExitTaken, PyramidTaken
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.commands import AddPyramid, AimGroup, ExitGroup, OpenGroup
from domain.signal.events import SignalAccepted
from domain.values import Quantity


def act_on_signal(event: SignalAccepted) -> tuple[Command, ...]:
    return (
        ActOnSignal(
            event.bot, event.source, event.number, event.action, event.price, event.last_close, event.timeframe,
            event.target,
        ),
    )  # fmt: skip


def open_group(event: EntryTaken) -> tuple[Command, ...]:
    return (
        OpenGroup(
            event.bot, event.group, event.account, event.direction, event.entry, event.instrument, event.settings,
            event.quantity,
        ),
    )  # fmt: skip


def add_pyramid(event: PyramidTaken) -> tuple[Command, ...]:
    return (AddPyramid(event.bot, event.group, event.entry, event.settings, event.source, event.number),)


def aim_group(event: AimTaken) -> tuple[Command, ...]:
    if not event.group:
        return ()
    size = Quantity(abs(event.size))
    return (AimGroup(event.bot, event.group, size, event.entry, event.source, event.number),)


def exit_group(event: ExitTaken | CloseTaken) -> tuple[Command, ...]:
    return (ExitGroup(event.bot, event.group, event.last_close),)


REACTIONS: Reactions = {
    SignalAccepted: (act_on_signal,),
    EntryTaken: (open_group,),
    PyramidTaken: (add_pyramid,),
    AimTaken: (aim_group,),
    ExitTaken: (exit_group,),
    CloseTaken: (exit_group,),
}
