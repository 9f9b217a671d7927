"""An accepted signal goes to its bot; what the bot takes of it goes to a position group."""

from domain.bot.commands import ActOnSignal
from domain.bot.events import CloseTaken, EntryTaken, ExitTaken
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.commands import ExitGroup, OpenGroup
from domain.signal.events import SignalAccepted


def act_on_signal(event: SignalAccepted) -> tuple[Command, ...]:
    return (ActOnSignal(event.bot, event.source, event.number, event.action, event.price, event.last_close),)


def open_group(event: EntryTaken) -> tuple[Command, ...]:
    return (
        OpenGroup(
            event.bot, event.group, event.account, event.direction, event.entry, event.instrument, event.settings
        ),
    )


def exit_group(event: ExitTaken | CloseTaken) -> tuple[Command, ...]:
    return (ExitGroup(event.bot, event.group, event.last_close),)


REACTIONS: Reactions = {
    SignalAccepted: (act_on_signal,),
    EntryTaken: (open_group,),
    ExitTaken: (exit_group,),
    CloseTaken: (exit_group,),
}
