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
        order.reduce_only, verdict, order.bracket,
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

Follows = tuple[Callable[[Any, Any, EventId], Effect] | None, Deadline | None]

FOLLOWS: Mapping[type[Event], Follows] = {
    event: (EFFECTS.get(event), DEADLINES.get(event)) for event in EFFECTS.keys() | DEADLINES.keys()
}
"""What follows an event beside its policies; of most nothing."""

AFTER: Mapping[type[Event], tuple[Fold, int, tuple[Policy, ...], Follows | None]] = {
    event: (fold, more, POLICIES.get(event, ()), FOLLOWS.get(event)) for event, (fold, more) in PAST.items()
}
"""How an event is taken in, what it may change beside its state, who reacts, and what else follows, in one look."""
