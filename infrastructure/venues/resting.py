"""An order at the simulated venue, and what it has in common with all of its type and side there."""

from decimal import Decimal
from itertools import product

from msgspec import Struct

from domain.account.events import Liquidity, OrderType
from domain.market import Instrument
from domain.message import Fact
from domain.ports import SubmitOrder
from domain.values import Asset, Price, Quantity, Side, ratio

NOWHERE_BELOW = Price(-1)
NOWHERE_ABOVE = Price(2**63 - 1)


MARKET, STOP, LIMIT = 0, 1, 2
"""The order in which a candle fills."""
RANKS: dict[OrderType, int] = {"market": MARKET, "stop": STOP, "stop_limit": STOP, "limit": LIMIT}
SIDES: tuple[Side, ...] = ("buy", "sell")


class Standing(Struct, frozen=True, gc=False):
    """How orders of one type and side stand at a venue, and what their fills cost.

    `rank` is their place in a candle. They are met by prices at or below their level where they fall, else at or above
    it: buy limits and sell stops fall, and a market order falls from anywhere. Who `pays` needs the cash; who `locks` it
    has done so on arrival. The fee is a fraction of the notional, or `in_base` of the quantity.
    """

    side: Side
    rank: int
    buys: bool
    falls: bool
    pays: bool
    locks: bool
    slips: bool
    numerator: int
    denominator: int
    in_base: bool
    fee_asset: Asset
    liquidity: Liquidity


class Resting(Struct, gc=False):
    """An order at the venue, from its arrival on; it works until nothing of it is `left`.

    It is met at its `level`, by no candle that opened before `since`. `whole` is the cash that all of it locks;
    `marketable` says that it could have traded at once when it came. `story` is what has been said of it since it was
    accepted. Of one bracket, a stop that fills cancels what else only reduces, and what that has filled is `taken` from
    the stop.
    """

    number: int
    asked: SubmitOrder
    stands: Standing
    level: int
    left: Quantity
    since: int
    trades: int = 0
    whole: int = 0
    taken: int = 0
    marketable: bool = False
    story: tuple[Fact, ...] = ()


def standings(
    instrument: Instrument, maker: Decimal, taker: Decimal, *, slips: bool, spot: bool
) -> dict[tuple[OrderType, Side], Standing]:
    """Those of every type and side, under the fees of a venue that slips or not."""
    found: dict[tuple[OrderType, Side], Standing] = {}
    for (kind, rank), side in product(RANKS.items(), SIDES):
        rests, buys = rank == LIMIT, side == "buy"
        in_base = buys and instrument.fee_asset == "base"
        numerator, denominator = ratio(maker if rests else taker)
        found[kind, side] = Standing(
            side=side,
            rank=rank,
            buys=buys,
            falls=rank == MARKET or buys == rests,
            pays=spot and buys,
            locks=spot and buys and rests,
            slips=slips and not rests,
            numerator=numerator,
            denominator=denominator,
            in_base=in_base,
            fee_asset=instrument.base if in_base else instrument.quote,
            liquidity="maker" if rests else "taker",
        )
    return found
