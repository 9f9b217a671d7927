"""An order at the simulated venue."""

from msgspec import Struct

from domain.account.events import OrderType
from domain.message import Fact
from domain.values import Side

NOWHERE_BELOW = -1
NOWHERE_ABOVE = 2**63 - 1
NOWHERE = (NOWHERE_BELOW, NOWHERE_ABOVE)
MARKET, STOP, LIMIT = 0, 1, 2
"""The order in which a candle fills."""
STANDS: dict[tuple[OrderType, Side], tuple[int, bool]] = {
    ("market", "buy"): (MARKET, True),
    ("market", "sell"): (MARKET, True),
    ("stop", "buy"): (STOP, False),
    ("stop", "sell"): (STOP, True),
    ("stop_limit", "buy"): (STOP, False),
    ("stop_limit", "sell"): (STOP, True),
    ("limit", "buy"): (LIMIT, True),
    ("limit", "sell"): (LIMIT, False),
}
"""Rank and whether it falls."""


class Resting(Struct, gc=False):
    """An order at the venue, from its arrival on.

    `whole` is the cash that all of it locks, `locked` what the part that is left does; `marketable` says that it could
    have traded at once when it came. It is met by prices at or below `level` where it `falls`, else at or above it: buy
    limits and sell stops fall, and a market order falls from anywhere. `rank` is its place in a candle; no candle that
    opened before `since` meets it. Of one `bracket`, a stop that fills cancels what else only reduces,
    and what that has filled is `taken` from the stop.
    """

    order: int
    side: Side
    type: OrderType
    left: int
    quantity: int
    limit: int
    stop: int
    reduce_only: bool
    whole: int
    triggered: bool = False
    marketable: bool = False
    locked: int = 0
    fills: tuple[Fact, ...] = ()
    trades: int = 0
    bracket: str = ""
    taken: int = 0
    since: int = 0
    rank: int = 0
    level: int = NOWHERE_ABOVE
    falls: bool = True
