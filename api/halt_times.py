"""How long a halt took: from its decision to the end of the last order that it cancelled, and until nothing was held.

Both are made of what the log says anyway, so no event is kept for them. Read from all orders and fills in its scope.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from projections.fills import FillRow
from projections.orders import OrderRow
from projections.positions import PoolRow
from projections.risk import TradingHaltRow

OPEN = frozenset({"INITIALIZED", "SUBMITTED", "ACCEPTED", "PARTIALLY_FILLED", "PENDING_CANCEL", "UNKNOWN"})
Steps = Mapping[str, int]
"""The step of each instrument, in size quanta: less than one cannot be closed."""


class HaltTimes(Struct, frozen=True):
    """Microseconds from the halt on; None while it is not so yet. `working` is how many of its orders still are."""

    working: int
    cancel_us: int | None
    flat_us: int | None


def halt_times(
    halt: TradingHaltRow, orders: Iterable[OrderRow], fills: Sequence[FillRow], pools: Iterable[PoolRow], steps: Steps
) -> HaltTimes:
    """Of a halt, from the orders, the fills in the order of the log, and what is held now, all of its scope."""
    hit = [each for each in orders if _was_hit(halt, each)]
    working = sum(each.status in OPEN for each in hit)
    last = max((each.updated_at for each in hit), default=halt.halted_at)
    cancel_us = None if working else last - halt.halted_at
    flat_at = _flat_at(halt, fills, pools, steps)
    return HaltTimes(working, cancel_us, None if flat_at is None else flat_at - halt.halted_at)


def _was_hit(halt: TradingHaltRow, order: OrderRow) -> bool:
    """Whether the order worked when the halt came, and was to go."""
    if order.intended_at > halt.halted_at or order.role == "close" or not order.cancel_wanted:
        return False
    return order.status in OPEN or order.updated_at >= halt.halted_at


def _flat_at(halt: TradingHaltRow, fills: Sequence[FillRow], pools: Iterable[PoolRow], steps: Steps) -> int | None:
    """When nothing was held for the first time from the halt on; held then is what is held now, less what came since."""
    held: dict[tuple[str, str], int] = {}
    for pool in pools:
        held[pool.bot, pool.instrument] = held.get((pool.bot, pool.instrument), 0) + pool.quantity
    since = [each for each in fills if each.at > halt.halted_at]
    for each in since:
        key = each.bot, each.instrument
        held[key] = held.get(key, 0) - _signed(each)
    open_ = {key for key, quantity in held.items() if abs(quantity) >= steps.get(key[1], 1)}
    if not open_:
        return halt.halted_at
    for each in since:
        key = each.bot, each.instrument
        held[key] += _signed(each)
        if abs(held[key]) >= steps.get(each.instrument, 1):
            open_.add(key)
        else:
            open_.discard(key)
        if not open_:
            return each.at
    return None


def _signed(fill: FillRow) -> int:
    return fill.received if fill.side == "buy" else -fill.received
