"""Losers are paid for by winners: what a risk offset decides is done, and what it must know it is told.

This file stands before `report_orders`: a closing fill is noted while its group still says what it held.
"""

from domain.account.events import OrderCanceled, OrderDenied, OrderFilled, OrderRejected
from domain.bot.events import EntryTaken, PyramidTaken
from domain.decider import Reactions
from domain.execution_pool.events import QueuedSignalReplaced
from domain.message import Command
from domain.portfolio_risk.commands import (
    ForgetGroup,
    NoteClose,
    NoteCloseEnd,
    RestartTimer,
    ReviewOffset,
    WatchGroup,
)
from domain.portfolio_risk.events import LoserExitDecided, OffsetChosen, OffsetFilled, OffsetOrderEnded
from domain.position_group.commands import ExitGroup, ReduceGroup
from domain.position_group.events import GroupClosed, PyramidAdded


def watch_group(event: EntryTaken | PyramidTaken) -> tuple[Command, ...]:
    return (WatchGroup(event.account, event.bot, event.group, event.settings.max_pyramids),)


def watch_pyramid(event: PyramidAdded) -> tuple[Command, ...]:
    """A size to hold may add to a group without a signal for a pyramid."""
    return (WatchGroup(event.account, event.bot, event.group, 0),)


def forget_group(event: GroupClosed) -> tuple[Command, ...]:
    return (ForgetGroup(event.account, event.bot, event.group),)


def restart_timer(event: QueuedSignalReplaced) -> tuple[Command, ...]:
    return (RestartTimer(event.account, event.bot, event.group),) if event.group else ()


def note_close(event: OrderFilled) -> tuple[Command, ...]:
    if event.role != "close" or not event.bot:
        return ()
    return (
        NoteClose(
            event.account, event.bot, event.group, event.instrument, event.price, event.quantity, event.cash,
            event.received, event.fee, event.fee_asset, event.remaining,
        ),
    )  # fmt: skip


def note_denied_close(event: OrderDenied) -> tuple[Command, ...]:
    if event.role != "close" or not event.bot:
        return ()
    reason = f"{event.code}: {event.reason}"
    return (NoteCloseEnd(event.account, event.bot, event.group, event.quantity, reason),)


def note_close_end(event: OrderRejected | OrderCanceled) -> tuple[Command, ...]:
    if event.role != "close" or not event.bot:
        return ()
    return (NoteCloseEnd(event.account, event.bot, event.group, event.remaining, event.reason),)


def reduce_winners(event: OffsetChosen) -> tuple[Command, ...]:
    return tuple(ReduceGroup(part.bot, part.group, part.quantity, "offset", part.mark) for part in event.parts)


def review_filled(event: OffsetFilled) -> tuple[Command, ...]:
    return () if event.remaining else (ReviewOffset(event.account),)


def review_ended(event: OffsetOrderEnded) -> tuple[Command, ...]:
    return (ReviewOffset(event.account),)


def close_loser(event: LoserExitDecided) -> tuple[Command, ...]:
    return (ExitGroup(event.bot, event.group, event.mark, "offset"),)


REACTIONS: Reactions = {
    EntryTaken: (watch_group,),
    PyramidTaken: (watch_group,),
    PyramidAdded: (watch_pyramid,),
    GroupClosed: (forget_group,),
    QueuedSignalReplaced: (restart_timer,),
    OrderFilled: (note_close,),
    OrderDenied: (note_denied_close,),
    OrderRejected: (note_close_end,),
    OrderCanceled: (note_close_end,),
    OffsetChosen: (reduce_winners,),
    OffsetFilled: (review_filled,),
    OffsetOrderEnded: (review_ended,),
    LoserExitDecided: (close_loser,),
}
