"""A wanted entry asks the account's pool; whom the pool lets in enters; who waits may be forgotten."""

from collections.abc import Iterator

from domain.bot.commands import TakeEntry
from domain.bot.events import BotDeleted, EntryWanted, ExitWanted
from domain.decider import Reactions
from domain.execution_pool.commands import ExpireSignal, RemoveOfBot, RemoveOnExit, RequestSlot
from domain.execution_pool.events import QueuedSignalReplaced, SignalQueued, SlotExempted, SlotReserved
from domain.message import Command
from domain.values import MINUTE, Time


def request_slot(event: EntryWanted) -> tuple[Command, ...]:
    return (
        RequestSlot(
            event.account, event.bot, event.source, event.number, event.instrument, event.timeframe, event.direction,
            event.price, event.price_scale, event.group,
        ),
    )  # fmt: skip


def take_entry(event: SlotReserved | SlotExempted) -> tuple[Command, ...]:
    return (TakeEntry(event.bot, event.source, event.number, event.direction, event.price, event.group),)


def remove_on_exit(event: ExitWanted) -> tuple[Command, ...]:
    return (RemoveOnExit(event.account, event.instrument, event.timeframe, event.source, event.number),)


def remove_of_bot(event: BotDeleted) -> tuple[Command, ...]:
    return (RemoveOfBot(event.account, event.bot),)


def expire_signal(event: SignalQueued | QueuedSignalReplaced, at: Time) -> Iterator[tuple[Time, Command]]:
    """Each signal has its own time; one that replaces another starts anew."""
    if event.expiry_minutes is not None:
        due = Time(at + event.expiry_minutes * MINUTE)
        yield due, ExpireSignal(event.account, event.bot, event.source, event.number)


REACTIONS: Reactions = {
    EntryWanted: (request_slot,),
    SlotReserved: (take_entry,),
    SlotExempted: (take_entry,),
    ExitWanted: (remove_on_exit,),
    BotDeleted: (remove_of_bot,),
}
