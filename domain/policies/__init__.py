"""Policies: the reaction of one aggregate to an event of another. One file per reaction; they see events only."""

from domain.decider import Reactions
from domain.policies import cancel_orders, place_orders, release_bot, report_orders, review_flat, route_signal

POLICIES: Reactions = {
    **route_signal.REACTIONS,
    **place_orders.REACTIONS,
    **cancel_orders.REACTIONS,
    **report_orders.REACTIONS,
    **review_flat.REACTIONS,
    **release_bot.REACTIONS,
}
"""No event is in two files yet; one that is needs its reactions joined here, in the order they should happen."""
