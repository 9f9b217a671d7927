"""What belongs to a story though no cause says so: reports of the venue, and what becomes of a signal that waits."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from domain.account import events as account
from domain.account.events import OrderIntended
from domain.bot.events import EntryWanted, GroupReleased, ReverseDropped, ReverseTaken
from domain.engine import stream_key
from domain.execution_pool import events as pool
from domain.message import Event, EventId
from domain.portfolio_risk.events import LoserExitDecided, OffsetChosen
from domain.position_group.events import GroupOpened
from domain.strategy.events import StrategyActed
from domain.strategy.intents import CLOSE
from infrastructure.causes import CausalLog, Kept
from replay.subjects import Subject, order_of, signal_of, subjects

_ORDER_ENDS = (account.OrderCanceled, account.OrderRejected, account.OrderDenied)
_TURN_ENDS = (EntryWanted, ReverseDropped)
_WAIT_ENDS = (pool.SlotReserved, pool.SlotExempted, pool.SignalExpired, pool.SignalRemoved)
_WAITS = (pool.SignalQueued, pool.QueuedSignalReplaced)
_GROUPS = "position_group."


def thread_of(log: CausalLog, kept: Kept, event: Event) -> Iterator[Kept]:
    """What follows an event of a record in its own stream, until its matter is at an end; in order."""
    follow = _THREADS.get(type(event))
    return iter(()) if follow is None else follow(log, kept, event)


def _order(log: CausalLog, kept: Kept, event: OrderIntended | account.CancelRequested) -> Iterator[Kept]:
    """From the intent, or from the call back, to the end; the rest of the window behind that is looked through for late reports."""
    if any(isinstance(each, account.OrderDenied) for each in kept.record.events):
        return
    about = order_of(event.account, event.order)
    for found in log.naming(kept.record.stream, _last(kept), (event.account, event.order)):
        mine = _about(found, about)
        if mine:
            yield found
        if any(isinstance(each, _ORDER_ENDS) or _is_last_fill(each) for each in mine):
            return


def _is_last_fill(event: Event) -> bool:
    return isinstance(event, account.OrderFilled) and not event.remaining


def _waiting(log: CausalLog, kept: Kept, event: pool.SignalQueued | pool.QueuedSignalReplaced) -> Iterator[Kept]:
    about = signal_of(event.source, event.number)
    for found in log.naming(kept.record.stream, _last(kept), (event.bot, event.source, event.number)):
        mine = _about(found, about)
        if mine:
            yield found
        if any(isinstance(each, _WAIT_ENDS) or _is_replaced(each, about) for each in mine):
            return


def _is_replaced(event: Event, about: Subject) -> bool:
    if not isinstance(event, pool.QueuedSignalReplaced):
        return False
    return signal_of(event.replaced_source, event.replaced_number) == about


def _turning(log: CausalLog, kept: Kept, event: ReverseTaken) -> Iterator[Kept]:
    """A signal that closes a group first enters, or does not, when that has closed."""
    about = signal_of(event.source, event.number)
    for found in log.naming(kept.record.stream, _last(kept), (event.source, event.number)):
        mine = _about(found, about)
        if mine:
            yield found
        if any(isinstance(each, _TURN_ENDS) for each in mine):
            return


def _group(log: CausalLog, kept: Kept, event: GroupOpened) -> Iterator[Kept]:
    """All that a group decides is in its stream."""
    return log.naming(kept.record.stream, _last(kept), ())


_THREADS: Mapping[type[Event], Callable[[CausalLog, Kept, Any], Iterator[Kept]]] = {
    OrderIntended: _order,
    account.CancelRequested: _order,
    pool.SignalQueued: _waiting,
    pool.QueuedSignalReplaced: _waiting,
    ReverseTaken: _turning,
    GroupOpened: _group,
}


def before(log: CausalLog, kept: Kept, event: Event) -> tuple[Kept, EventId] | None:
    """What an event of a record goes back to: in its own story where there is more of that, else to its cause.

    A signal that is promoted goes back to where it was queued, a venue's report to the order, what a group does when it
    looks at a price to the group's opening, a loser that is closed to the choice of it. What a strategy decides goes back to
    nothing, unless it closes: it says itself what it was decided from, and its orders answer each other without an end.
    """
    if isinstance(event, StrategyActed) and CLOSE not in event.intents:
        return _closing_before(log, kept)
    source = (
        chosen_before(log, kept, event) if isinstance(event, LoserExitDecided) else _queued_before(log, kept, event)
    )
    if source is None and kept.record.cause is not None:
        holder = log.holding(kept.record.cause)
        return None if holder is None else (holder, kept.record.cause)
    if source is None:
        source = _opened_before(log, kept, event)
    return source


def _queued_before(log: CausalLog, kept: Kept, event: Event) -> tuple[Kept, EventId] | None:
    """Where this signal began to wait, for a slot or for the end of the group that it turns."""
    if isinstance(event, pool.SlotReserved) and _has(kept, pool.SignalPromoted):
        kinds: tuple[type[Event], ...] = _WAITS
    elif isinstance(event, EntryWanted) and _has(kept, GroupReleased):
        kinds = (ReverseTaken,)
    else:
        return None
    about = signal_of(event.source, event.number)
    for found in log.named_before(kept.record.stream, kept.record.version, (event.source, event.number)):
        for identity, each in found.ids():
            if isinstance(each, kinds) and about in subjects(each):
                return found, identity
    return None


def _opened_before(log: CausalLog, kept: Kept, event: Event) -> tuple[Kept, EventId] | None:
    order = getattr(event, "order", 0)
    if order and not isinstance(event, OrderIntended):
        return find_order(log, getattr(event, "account", ""), order)
    if str(type(event).__struct_config__.tag).startswith(_GROUPS) and kept.record.version > 1:
        first = (kept.record.stream, 1)
        holder = log.holding(first)
        return None if holder is None else (holder, first)
    return None


def _closing_before(log: CausalLog, kept: Kept) -> tuple[Kept, EventId] | None:
    """The strategy's decision to close, where this one carries it out."""
    last = (kept.record.stream, kept.record.version - 1)
    holder = log.holding(last)
    if holder is None:
        return None
    event = dict(holder.ids())[last]
    return (holder, last) if isinstance(event, StrategyActed) and CLOSE in event.intents else None


def chosen_before(log: CausalLog, kept: Kept, event: LoserExitDecided) -> tuple[Kept, EventId] | None:
    """The choice that an offset carries out: its last plan."""
    for found in log.named_before(kept.record.stream, kept.record.version, (event.account, event.number)):
        for identity, each in found.ids():
            if isinstance(each, OffsetChosen) and each.number == event.number:
                return found, identity
    return None


def find_order(log: CausalLog, account_name: str, order: int) -> tuple[Kept, EventId] | None:
    """Where an order was intended, and the last event of that decision: its verdict."""
    kept = log.numbered(stream_key("account", account_name), OrderIntended, lambda event: int(event.order), order)
    return None if kept is None else (kept, (kept.record.stream, _last(kept)))


def _has(kept: Kept, kind: type[Event]) -> bool:
    return any(isinstance(each, kind) for each in kept.record.events)


def _about(kept: Kept, about: Subject) -> list[Event]:
    return [event for event in kept.record.events if about in subjects(event)]


def _last(kept: Kept) -> int:
    return kept.record.version + len(kept.record.events) - 1
