"""An order at the simulated venue."""

from msgspec import Struct

from domain.account.events import OrderType
from domain.message import Fact
from domain.values import Side

NOWHERE_BELOW = -1
NOWHERE_ABOVE = 2**63 - 1
LIMIT = 2
_RANK = {"market": 0, "stop": 1, "stop_limit": 1, "limit": LIMIT}


class Resting(Struct):
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

    def __post_init__(self) -> None:
        self.stand()

    def stand(self) -> None:
        """Find rank and level anew, once it is made and when it is triggered."""
        limit = self.type == "limit" or self.triggered
        self.rank = LIMIT if limit else _RANK[self.type]
        if self.type != "market":
            self.level = self.limit if limit else self.stop
            self.falls = (self.side == "buy") == limit
