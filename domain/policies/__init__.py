"""Policies: the reaction of one aggregate to an event of another. One file per reaction; they see events only."""

from collections.abc import Iterable

from domain.decider import Policy, Reactions
from domain.message import Event
from domain.policies import (
    cancel_orders,
    flatten_halted,
    offset_losers,
    open_pool,
    place_orders,
    queue_signal,
    release_bot,
    release_slot,
    report_orders,
    review_flat,
    route_signal,
    trade_strategies,
)


def _joined(files: Iterable[Reactions]) -> Reactions:
    """What reacts to an event in several files does so in the order of the files."""
    joined: dict[type[Event], tuple[Policy, ...]] = {}
    for reactions in files:
        for event, policies in reactions.items():
            joined[event] = (*joined.get(event, ()), *policies)
    return joined


POLICIES: Reactions = _joined(
    (
        open_pool.REACTIONS,
        route_signal.REACTIONS,
        queue_signal.REACTIONS,
        place_orders.REACTIONS,
        cancel_orders.REACTIONS,
        flatten_halted.REACTIONS,
        offset_losers.REACTIONS,
        report_orders.REACTIONS,
        review_flat.REACTIONS,
        release_bot.REACTIONS,
        release_slot.REACTIONS,
        trade_strategies.REACTIONS,
    )
)
