"""What a holding cost and what its fills realized, exactly: nothing here rounds away a quantum.

Quantities and costs are signed: a short has a negative quantity and, as its cost, what its sales brought, negative.
Fees stand apart from both. So for every change cost after = cost before + cost moved + realized.
"""

from msgspec import Struct

from domain.account.events import OrderFilled


class Pool(Struct, frozen=True):
    """What is held and what it cost, in size quanta and cash quanta."""

    quantity: int = 0
    cost: int = 0


class Flow(Struct, frozen=True):
    """What a fill moves: the position, its cost without fees, and the fees as a value in the quote asset.

    cost + fee is the quote cash that left the account (came in, where negative).
    """

    quantity: int
    cost: int
    fee: int


def change(pool: Pool, quantity: int, cost: int) -> tuple[Pool, int]:
    """Add a signed quantity at a signed cost; return the pool after it and what that realized.

    What increases a pool adds to its cost. What reduces it takes out its share of the cost, all of it with the last
    of the quantity. What crosses zero does one and then the other, its cash split with no remainder lost.
    """
    if quantity == 0:
        return pool, -cost
    if pool.quantity == 0 or (pool.quantity > 0) == (quantity > 0):
        return Pool(pool.quantity + quantity, pool.cost + cost), 0
    if abs(quantity) <= abs(pool.quantity):
        rest, taken = take(pool, abs(quantity))
        return rest, -cost - taken.cost
    closing = share(cost, abs(pool.quantity), abs(quantity))
    return Pool(pool.quantity + quantity, cost - closing), -closing - pool.cost


def take(pool: Pool, quantity: int) -> tuple[Pool, Pool]:
    """Split off an unsigned quantity, at most all there is, with its share of the cost; return (rest, taken)."""
    held = abs(pool.quantity)
    quantity = min(quantity, held)
    if quantity == 0:
        return pool, Pool()
    taken = Pool(quantity if pool.quantity > 0 else -quantity, share(pool.cost, quantity, held))
    return Pool(pool.quantity - taken.quantity, pool.cost - taken.cost), taken


def share(amount: int, part: int, whole: int) -> int:
    """amount x part / whole towards zero, so that longs and shorts mirror each other; exact where part is whole."""
    product = amount * part
    return product // whole if product >= 0 else -(-product // whole)


def flow_of(fill: OrderFilled) -> Flow:
    """A fill as what it moves.

    A fee in the base asset shows in what was received, and is worth its share of the fill's cash. A fee in a third
    asset has no value here.
    """
    buys = fill.side == "buy"
    base_fee = fill.quantity - fill.received if buys else fill.received - fill.quantity
    base_fee_value = share(fill.cash, base_fee, fill.quantity)
    return Flow(
        quantity=fill.received if buys else -fill.received,
        cost=(fill.cash if buys else -fill.cash) - base_fee_value,
        fee=base_fee_value + (fill.fee if fee_in_quote(fill) else 0),
    )


def fee_in_quote(fill: OrderFilled) -> bool:
    """Whether the fee was taken from the instrument's quote asset."""
    return fill.instrument.endswith(f"/{fill.fee_asset}")


def fee_in_third_asset(fill: OrderFilled) -> bool:
    """Whether the fee was taken neither from the quote nor from what was received."""
    return fill.fee != 0 and fill.received == fill.quantity and not fee_in_quote(fill)
