"""What happens to a position group: legs planned, filled, covered by targets, closed."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.bot.settings import TakeProfit, WhenFlat
from domain.market import Instrument
from domain.message import Event
from domain.values import Cash, Direction, InstrumentId, Price, Quantity, Side


class Leg(Struct, frozen=True, array_like=True):
    """A planned entry: at `price` (the reference price where `type` is market), for `quantity`."""

    index: int
    type: Literal["market", "limit"]
    price: Price
    quantity: Quantity
    take_profit_pct: Decimal | None


class Ends(Struct, frozen=True, array_like=True):
    """How a group ends beside the targets of its legs; percentages of the price, times in microseconds."""

    take_profit: TakeProfit
    aggregate_take_profit_pct: Decimal | None
    stop_loss_pct: Decimal | None
    trailing_stop_pct: Decimal | None
    break_even_after_first_target: bool
    time_limit_us: int | None
    leg_expiry_us: int | None
    cancel_beyond_pct: Decimal | None


GuardRole = Literal["aggregate", "stop"]
"""The two orders that close all a group holds: the aggregate take profit, and the stop."""
ExitReason = Literal["exit", "stop", "aggregate target", "time limit", "offset"]


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
    ends: Ends | None = None


class PyramidAdded(Event, frozen=True, array_like=True, tag="position_group.pyramid_added.v1"):
    """A further entry: its legs are placed at once, numbered on from those before."""

    bot: str
    group: int
    account: str
    pyramid: int
    direction: Direction
    entry: Decimal
    instrument: InstrumentId
    legs: tuple[Leg, ...]
    leg_expiry_us: int | None = None


class PyramidRefused(Event, frozen=True, array_like=True, tag="position_group.pyramid_refused.v1"):
    """A further entry came too late; `source` and `number` name its alert."""

    bot: str
    group: int
    code: str
    reason: str
    source: str = ""
    number: int = 0


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


class LegsExpired(Event, frozen=True, array_like=True, tag="position_group.legs_expired.v1"):
    """Entries that rest are given up: they are too old, or the price has run away from them."""

    bot: str
    group: int
    account: str
    legs: tuple[int, ...]
    reason: Literal["expired", "price ran away"]


class ReductionStarted(Event, frozen=True, array_like=True, tag="position_group.reduction_started.v1"):
    """A part of what is held is to be closed at market; the take profits are cancelled first and set anew after."""

    bot: str
    group: int
    account: str
    instrument: InstrumentId
    quantity: Quantity
    reason: str


class ReductionDropped(Event, frozen=True, array_like=True, tag="position_group.reduction_dropped.v1"):
    """The part that was to be closed is no longer held."""

    bot: str
    group: int
    instrument: InstrumentId
    reason: str


class ReviewDue(Event, frozen=True, array_like=True, tag="position_group.review_due.v1"):
    """What is held has changed: once the instant is recorded, the stop and the aggregate target are set anew."""

    bot: str
    group: int


class GuardSet(Event, frozen=True, array_like=True, tag="position_group.guard_set.v1"):
    """A stop or an aggregate take profit should work at `price` for all that is held; `reason` says what it is."""

    bot: str
    group: int
    account: str
    role: GuardRole
    instrument: InstrumentId
    side: Side
    price: Price
    quantity: Quantity
    reason: str


class GuardWithdrawn(Event, frozen=True, array_like=True, tag="position_group.guard_withdrawn.v1"):
    """A stop or an aggregate take profit no longer fits and should go; another follows when it has gone."""

    bot: str
    group: int
    account: str
    role: GuardRole


class GuardFilled(Event, frozen=True, array_like=True, tag="position_group.guard_filled.v1"):
    """A stop or an aggregate take profit filled, in whole or in part; `held` is what the group holds after it."""

    bot: str
    group: int
    role: GuardRole
    instrument: InstrumentId
    price: Price
    quantity: Quantity
    cash: Cash
    remaining: Quantity
    held: Quantity


class GuardEnded(Event, frozen=True, array_like=True, tag="position_group.guard_ended.v1"):
    """A stop or an aggregate take profit ended with `remaining` unfilled."""

    bot: str
    group: int
    role: GuardRole
    instrument: InstrumentId
    remaining: Quantity
    reason: str


class BestMoved(Event, frozen=True, array_like=True, tag="position_group.best_moved.v1"):
    """The best close since the group entered, from which the trailing stop hangs."""

    bot: str
    group: int
    instrument: InstrumentId
    best: Price


class EntriesAbandoned(Event, frozen=True, array_like=True, tag="position_group.entries_abandoned.v1"):
    """Nothing is held and `when_flat` is cancel: the entries that rest should go."""

    bot: str
    group: int
    account: str


class ExitStarted(Event, frozen=True, array_like=True, tag="position_group.exit_started.v1"):
    """The group is to close: what works is cancelled, then what is held is closed at market.

    A stop that has filled in part goes on; `reason` says whose doing the exit is.
    """

    bot: str
    group: int
    account: str
    instrument: InstrumentId
    reference: Price
    reason: ExitReason = "exit"


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
    account: str = ""
    instrument: InstrumentId = InstrumentId("")
