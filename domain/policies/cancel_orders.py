"""What a group gives up is cancelled on its account."""

from domain.account.commands import CancelOrders
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.events import EntriesAbandoned, ExitStarted


def cancel_entries(event: EntriesAbandoned) -> tuple[Command, ...]:
    return (CancelOrders(event.account, event.bot, event.group, ("entry",), "flat"),)


def cancel_all(event: ExitStarted) -> tuple[Command, ...]:
    return (CancelOrders(event.account, event.bot, event.group, ("entry", "target"), "exit"),)


REACTIONS: Reactions = {EntriesAbandoned: (cancel_entries,), ExitStarted: (cancel_all,)}
