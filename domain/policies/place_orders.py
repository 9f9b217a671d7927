"""What a group decides to trade becomes orders of its account."""

from domain.account.commands import PlaceOrder
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.events import CloseDecided, GroupOpened, GuardSet, Leg, PyramidAdded, TargetSet
from domain.values import InstrumentId, Side


def place_legs(event: GroupOpened) -> tuple[Command, ...]:
    return tuple(_entry(event, event.instrument.id, leg) for leg in event.legs)


def place_pyramid(event: PyramidAdded) -> tuple[Command, ...]:
    return tuple(_entry(event, event.instrument, leg) for leg in event.legs)


def place_guard(event: GuardSet) -> tuple[Command, ...]:
    """The aggregate target rests as a limit, the stop as a stop."""
    stops = event.role == "stop"
    return (
        PlaceOrder(
            event.account, event.bot, event.group, 0, event.role, event.instrument, event.side,
            "stop" if stops else "limit", event.quantity, None if stops else event.price,
            event.price if stops else None, event.price, reduce_only=True,
        ),
    )  # fmt: skip


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


def _entry(event: GroupOpened | PyramidAdded, instrument: InstrumentId, leg: Leg) -> PlaceOrder:
    side: Side = "buy" if event.direction == "long" else "sell"
    limit = leg.price if leg.type == "limit" else None
    return PlaceOrder(
        event.account, event.bot, event.group, leg.index, "entry", instrument, side, leg.type, leg.quantity,
        limit, None, leg.price, reduce_only=False,
    )  # fmt: skip


REACTIONS: Reactions = {
    GroupOpened: (place_legs,),
    PyramidAdded: (place_pyramid,),
    TargetSet: (place_target,),
    GuardSet: (place_guard,),
    CloseDecided: (place_close,),
}
