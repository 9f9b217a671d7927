"""What follows an event: an effect at the venue, commands of policies, deadlines."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.account import events as e
from domain.account.state import AccountState
from domain.decider import Deadline, Fold, Policy
from domain.deciders import PAST
from domain.message import Event, EventId
from domain.policies import POLICIES
from domain.policies.deadlines import DEADLINES
from domain.ports import CancelOrder, Effect, QueryOrder, SubmitOrder


def _submit(state: AccountState, event: e.RiskPassed, verdict: EventId) -> Effect:
    order = state.orders[event.order]
    return SubmitOrder(
        event.account, order.id, order.instrument, order.side, order.type, order.quantity, order.limit, order.stop,
        order.reduce_only, verdict, order.bracket if order.reduce_only else "",
    )  # fmt: skip


def _cancel(state: AccountState, event: e.CancelRequested, _id: EventId) -> Effect:
    return CancelOrder(event.account, event.order, state.orders[event.order].instrument)


def _query(
    state: AccountState,
    event: e.OrderUnknown | e.FillsMissing | e.CancelRejected,
    _id: EventId,
) -> Effect:
    return QueryOrder(event.account, event.order, state.orders[event.order].instrument)


EFFECTS: Mapping[type[Event], Callable[[Any, Any, EventId], Effect]] = {
    e.RiskPassed: _submit,
    e.CancelRequested: _cancel,
    e.OrderUnknown: _query,
    e.FillsMissing: _query,
    e.CancelRejected: _query,
}

Follows = tuple[int, tuple[Policy, ...], Callable[[Any, Any, EventId], Effect] | None, Deadline | None]


def _follows(event: type[Event], changes: int) -> Follows | None:
    follows = changes, POLICIES.get(event, ()), EFFECTS.get(event), DEADLINES.get(event)
    return follows if any(follows) else None


AFTER: Mapping[type[Event], tuple[Fold, Follows | None]] = {
    event: (fold, _follows(event, changes)) for event, (fold, changes) in PAST.items()
}
"""How an event is taken in; and what it may change beside its state, who reacts, what leaves, what is due. Of most nothing."""
