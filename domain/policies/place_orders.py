"""What a group decides to trade becomes orders of its account."""

from domain.account.commands import PlaceOrder
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.events import CloseDecided, GroupOpened, Leg, TargetSet
from domain.values import Side


def place_legs(event: GroupOpened) -> tuple[Command, ...]:
    return tuple(_entry(event, leg) for leg in event.legs)


def place_target(event: TargetSet) -> tuple[Command, ...]:
    return (
        PlaceOrder(
            event.account, event.bot, event.group, event.leg, "target", event.instrument, event.side, "limit",
            event.quantity, event.price, None, event.price, reduce_only=True,
        ),
    )  # fmt: skip


def place_close(event: CloseDecided) -> tuple[Command, ...]:
    return (
        PlaceOrder(
            event.account, event.bot, event.group, 0, "close", event.instrument, event.side, "market",
            event.quantity, None, None, event.reference, reduce_only=True,
        ),
    )  # fmt: skip


def _entry(event: GroupOpened, leg: Leg) -> PlaceOrder:
    side: Side = "buy" if event.direction == "long" else "sell"
    limit = leg.price if leg.type == "limit" else None
    return PlaceOrder(
        event.account, event.bot, event.group, leg.index, "entry", event.instrument.id, side, leg.type, leg.quantity,
        limit, None, leg.price, reduce_only=False,
    )  # fmt: skip


REACTIONS: Reactions = {GroupOpened: (place_legs,), TargetSet: (place_target,), CloseDecided: (place_close,)}
