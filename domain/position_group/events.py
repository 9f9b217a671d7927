"""What happens to a position group: legs planned, filled, covered by targets, closed."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.bot.settings import WhenFlat
from domain.market import Instrument
from domain.message import Event
from domain.values import Cash, Direction, InstrumentId, Price, Quantity, Side


class Leg(Struct, frozen=True, array_like=True):
    """A planned entry: at `price` (the reference price where `type` is market), for `quantity`."""

    index: int
    type: Literal["market", "limit"]
    price: Price
    quantity: Quantity
    take_profit_pct: Decimal


class GroupOpened(Event, frozen=True, array_like=True, tag="position_group.opened.v1"):
    """A group is live; all its legs are placed at once."""

    bot: str
    group: int
    account: str
    direction: Direction
    entry: Decimal
    instrument: Instrument
    legs: tuple[Leg, ...]
    when_flat: WhenFlat


class LegFilled(Event, frozen=True, array_like=True, tag="position_group.leg_filled.v1"):
    """A leg's entry filled, in whole or in part; `received` is held, `remaining` still to fill."""

    bot: str
    group: int
    leg: int
    instrument: InstrumentId
    price: Price
    quantity: Quantity
    received: Quantity
    cash: Cash
    remaining: Quantity


class LegEnded(Event, frozen=True, array_like=True, tag="position_group.leg_ended.v1"):
    """A leg's entry order ended with `remaining` unfilled: denied, rejected or cancelled."""

    bot: str
    group: int
    leg: int
    instrument: InstrumentId
    remaining: Quantity
    reason: str


class TargetSet(Event, frozen=True, array_like=True, tag="position_group.target_set.v1"):
    """A take profit should rest at `price` for what a leg received."""

    bot: str
    group: int
    leg: int
    account: str
    instrument: InstrumentId
    side: Side
    price: Price
    quantity: Quantity


class TargetFilled(Event, frozen=True, array_like=True, tag="position_group.target_filled.v1"):
    """A take profit filled, in whole or in part; `held` is what the group holds after it."""

    bot: str
    group: int
    leg: int
    instrument: InstrumentId
    price: Price
    quantity: Quantity
    cash: Cash
    remaining: Quantity
    held: Quantity


class TargetEnded(Event, frozen=True, array_like=True, tag="position_group.target_ended.v1"):
    """A take-profit order ended with `remaining` unfilled; the leg holds that without a target."""

    bot: str
    group: int
    leg: int
    instrument: InstrumentId
    remaining: Quantity
    reason: str


class EntriesAbandoned(Event, frozen=True, array_like=True, tag="position_group.entries_abandoned.v1"):
    """Nothing is held and `when_flat` is cancel: the entries that rest should go."""

    bot: str
    group: int
    account: str


class ExitStarted(Event, frozen=True, array_like=True, tag="position_group.exit_started.v1"):
    """The group is told to close: what works is cancelled, then what is held is closed at market."""

    bot: str
    group: int
    account: str
    instrument: InstrumentId
    reference: Price


class CloseDecided(Event, frozen=True, array_like=True, tag="position_group.close_decided.v1"):
    """Nothing works any more; the rest is closed at market."""

    bot: str
    group: int
    account: str
    instrument: InstrumentId
    side: Side
    quantity: Quantity
    reference: Price


class CloseFilled(Event, frozen=True, array_like=True, tag="position_group.close_filled.v1"):
    """The closing order filled, in whole or in part."""

    bot: str
    group: int
    instrument: InstrumentId
    price: Price
    quantity: Quantity
    cash: Cash
    remaining: Quantity


class CloseFailed(Event, frozen=True, array_like=True, tag="position_group.close_failed.v1"):
    """The closing order ended with `remaining` unfilled; the group holds it and waits for the next exit."""

    bot: str
    group: int
    instrument: InstrumentId
    remaining: Quantity
    reason: str


class DustWrittenOff(Event, frozen=True, array_like=True, tag="position_group.dust_written_off.v1"):
    """What is left is too small to trade; it becomes unattributed."""

    bot: str
    group: int
    account: str
    instrument: InstrumentId
    quantity: Quantity
    reason: str


class GroupClosed(Event, frozen=True, array_like=True, tag="position_group.closed.v1"):
    """Nothing is held and nothing works: the group is over."""

    bot: str
    group: int
    reason: str
