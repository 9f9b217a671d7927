"""Positions: what an account holds of an instrument, and the pools of its groups that add up to it."""

from typing import ClassVar

from msgspec import structs

from projections import cost_basis
from projections.cost_basis import Pool
from projections.instruments import InstrumentRow, instrument_of
from projections.rows import Row, Rows

Owner = tuple[str, int]
"""(bot, group)"""
UNATTRIBUTED: Owner = ("", 0)


class PositionRow(Row, frozen=True):
    """A position at its mark, the last price seen; without one it is worth its cost.

    Quantity and cost are signed, and the sums over the pools. `unrealized` is worth less cost; where pools of opposite
    signs leave no quantity, it is what they have between them.
    """

    table: ClassVar[str] = "positions"
    key: ClassVar[tuple[str, ...]] = ("account", "instrument")

    account: str
    instrument: str
    quantity: int = 0
    cost: int = 0
    mark: int | None = None
    unrealized: int = 0


class PoolRow(Row, frozen=True):
    """The part of a position that belongs to one group; bot "" and group 0 is what belongs to none.

    `fees` are in the quote asset.
    """

    table: ClassVar[str] = "pools"
    key: ClassVar[tuple[str, ...]] = ("account", "instrument", "bot", "group")

    account: str
    instrument: str
    bot: str
    group: int
    quantity: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    funding: int = 0


def pool_of(rows: Rows, account: str, instrument: str, owner: Owner) -> PoolRow:
    found = rows.get(PoolRow, account, instrument, *owner)
    return found or PoolRow(account=account, instrument=instrument, bot=owner[0], group=owner[1])


def change_pool(rows: Rows, pool: PoolRow, quantity: int, cost: int, fee: int) -> int:
    """Put a signed quantity with its cost into a pool; return what that realized."""
    after, realized = cost_basis.change(Pool(pool.quantity, pool.cost), quantity, cost)
    rows.put(
        structs.replace(
            pool,
            quantity=after.quantity,
            cost=after.cost,
            realized=pool.realized + realized,
            fees=pool.fees + fee,
        )
    )
    return realized


def split_pool(rows: Rows, pool: PoolRow, quantity: int) -> Pool:
    """Take an unsigned quantity out of a pool with its cost; return what was taken."""
    rest, taken = cost_basis.take(Pool(pool.quantity, pool.cost), quantity)
    rows.put(structs.replace(pool, quantity=rest.quantity, cost=rest.cost))
    return taken


def valued(position: PositionRow, listed: InstrumentRow, mark: int | None) -> PositionRow:
    """The position at a new mark."""
    if mark is None:
        return structs.replace(position, unrealized=0)
    worth = instrument_of(listed).notional(mark, position.quantity)
    return structs.replace(position, mark=mark, unrealized=worth - position.cost)
