"""The simulated venue: orders matched against candles by the rules `candle-v1`, or against trades.

It keeps balances of its own, as a venue does, and reports in the words a real one would. Nothing reacts inside a
candle: all fills of a candle are reported before any reaction, so no path inside it is assumed.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter

from msgspec import Struct

from domain.account.commands import (
    AcceptReported,
    CancelRejectReported,
    CancelReported,
    FillReported,
    RejectReported,
    TriggerReported,
)
from domain.account.events import AccountKind, Liquidity, OrderType
from domain.account.state import Order
from domain.market import Instrument
from domain.message import Fact
from domain.ports import CancelOrder, QueryOrder, SubmitOrder
from domain.values import (
    Fee,
    Price,
    Quantity,
    Side,
    Time,
    ceil_ratio,
    divide_half_even,
    floor_ratio,
    ratio,
)
from infrastructure.venues.resting import LIMIT, NOWHERE_ABOVE, NOWHERE_BELOW, Resting

RULES = "candle-v1"
ENDED_KEPT = 1024
"""How many ended orders the venue still answers queries about."""
_STOPS = frozenset({"stop", "stop_limit"})
_FIRST_THREE = itemgetter(0, 1, 2)


class Terms(Struct, frozen=True):
    """What the venue charges: fees as fractions of the notional, slippage as one of the price."""

    maker_fee: Decimal
    taker_fee: Decimal
    slippage: Decimal = Decimal(0)


class Wallet(Struct):
    """What an account has of one quote asset at the venue, over all its instruments; `locked` by resting buys."""

    cash: int
    locked: int = 0


class SimulatedVenue:
    """One account on one instrument. Deterministic: the same orders and prices give the same reports.

    `now` is when an order arrives: the candles that opened before then do not meet it.
    """

    def __init__(
        self, account: str, kind: AccountKind, instrument: Instrument, terms: Terms, wallet: Wallet, position: int
    ) -> None:
        self.wallet = wallet
        self.position = position
        self.last: int | None = None
        self.now = Time(0)
        self._account = account
        self._kind = kind
        self._instrument = instrument
        self._terms = terms
        self._working: dict[int, Resting] = {}
        self._falling: list[tuple[int, int]] = []
        self._rising: list[tuple[int, int]] = []
        self._maker, self._taker = ratio(terms.maker_fee), ratio(terms.taker_fee)
        self._ended: OrderedDict[int, tuple[Fact, ...]] = OrderedDict()

    def submit(self, order: SubmitOrder) -> list[Fact]:
        """Take an order. A client's order number is taken once."""
        if order.order in self._working or order.order in self._ended:
            return [RejectReported(self._account, order.order, "DUPLICATE_ORDER", f"order={order.order}")]
        resting = Resting(
            order.order, order.side, order.type, order.quantity, order.quantity, order.limit or 0, order.stop or 0,
            order.reduce_only, self._locks(order.side, order.type, order.limit or 0, order.quantity),
            bracket=order.bracket, since=self.now,
        )  # fmt: skip
        if self.last is not None and order.type == "limit":
            resting.marketable = self.last <= resting.limit if order.side == "buy" else self.last >= resting.limit
        if resting.whole > self.wallet.cash - self.wallet.locked:
            return [self._reject(resting, resting.limit, resting.left)]
        self._take_in(resting)
        return [AcceptReported(self._account, order.order, f"sim-{order.order}")]

    def restore(self, order: Order) -> None:
        """Take back an order that worked when the process ended; what it has filled has been settled."""
        resting = Resting(
            order.id, order.side, order.type, order.quantity - order.filled, order.quantity, order.limit or 0,
            order.stop or 0, order.reduce_only, self._locks(order.side, order.type, order.limit or 0, order.quantity),
            triggered=order.triggered, trades=len(order.trades), bracket=order.bracket,
        )  # fmt: skip
        self._take_in(resting)

    def _take_in(self, resting: Resting) -> None:
        self._working[resting.order] = resting
        insort(self._falling if resting.falls else self._rising, (resting.level, resting.order))
        self._lock(resting)

    def _leave(self, resting: Resting) -> None:
        """It stands at its level no more."""
        levels = self._falling if resting.falls else self._rising
        place = bisect_left(levels, (resting.level, resting.order))
        assert levels[place][1] == resting.order, "an order that works stands at its level"
        del levels[place]

    def _locks(self, side: Side, kind: OrderType, limit: int, quantity: int) -> int:
        """The cash that a resting order locks: on a spot account a limit buy, with its fee."""
        if kind != "limit" or side != "buy" or self._kind != "spot":
            return 0
        notional = self._instrument.notional(limit, quantity)
        return notional + (0 if self._instrument.fee_asset == "base" else self._rate_of(notional, "maker"))

    def _lock(self, resting: Resting) -> None:
        """Lock what the part of an order that is left needs, and give the rest back."""
        if not resting.whole:
            return
        locked = resting.whole * resting.left // resting.quantity
        self.wallet.locked += locked - resting.locked
        resting.locked = locked

    def cancel(self, request: CancelOrder) -> list[Fact]:
        """Cancel an order that works; refuse where it does not."""
        resting = self._working.get(request.order)
        if resting is None:
            return [CancelRejectReported(self._account, request.order, "ORDER_NOT_WORKING")]
        return [self._end(resting, "canceled")]

    def query(self, request: QueryOrder) -> list[Fact]:
        """Say what became of an order."""
        resting = self._working.get(request.order)
        if resting is not None:
            return [AcceptReported(self._account, resting.order, f"sim-{resting.order}"), *resting.fills]
        return list(
            self._ended.get(request.order)
            or (RejectReported(self._account, request.order, "NOT_FOUND", "the venue never had the order"),)
        )

    def bounds(self) -> tuple[int, int]:
        """The prices at which the next order is met: at or below the first, at or above the second."""
        falling, rising = self._falling, self._rising
        return falling[-1][0] if falling else NOWHERE_BELOW, rising[0][0] if rising else NOWHERE_ABOVE

    def candle(self, at: Time, open_: int, high: int, low: int) -> list[Fact]:
        """All fills of one candle: market orders, stops, limits; each by its price's distance from the open, then age."""
        met = self._met(at, open_, high, low)
        reports: list[Fact] = []
        for _kind, _distance, _number, price, resting in met:
            if resting.order not in self._working:
                continue  # a stop of its bracket has just filled
            if resting.type == "stop_limit" and not resting.triggered:
                self._trigger(resting)  # rests as a limit from the next candle on
                reports.append(TriggerReported(self._account, resting.order))
                continue
            reports += self._execute(resting, price, resting.left, at)
        return reports

    def _met(self, at: Time, open_: int, high: int, low: int) -> list[tuple[int, int, int, int, Resting]]:
        """(rank, distance from the open, number, price, order) of what a candle meets, in the order in which it acts.

        An order fills (or triggers) at its level, or at the open where that is beyond it.
        """
        working, met = self._working, []
        for level, number in reversed(self._falling):
            if level < low:
                break
            resting = working[number]
            if resting.since <= at:
                price = min(open_, level)
                met.append((resting.rank, open_ - price, number, price, resting))
        for level, number in self._rising:
            if level > high:
                break
            resting = working[number]
            if resting.since <= at:
                price = max(open_, level)
                met.append((resting.rank, price - open_, number, price, resting))
        if len(met) > 1:
            met.sort(key=_FIRST_THREE)
        return met

    def trade(self, at: Time, price: int, printed: int) -> list[Fact]:
        """Fills of one printed trade.

        A limit fills in full where the trade prints through it, and at it up to the printed size, the oldest first; it
        pays its own price unless it was marketable on arrival.
        """
        reports: list[Fact] = []
        for resting in sorted(self._working.values(), key=lambda r: (r.rank, r.order)):
            fill_price, quantity = _trade_fill(resting, price, printed)
            if quantity <= 0 or resting.order not in self._working:
                continue
            if resting.type == "stop_limit" and not resting.triggered:
                self._trigger(resting)
                reports.append(TriggerReported(self._account, resting.order))
                continue
            if resting.rank == LIMIT and fill_price == price:
                printed -= quantity
            reports += self._execute(resting, fill_price, quantity, at)
        return reports

    def _trigger(self, resting: Resting) -> None:
        self._leave(resting)
        resting.triggered = True
        resting.stand()
        insort(self._falling if resting.falls else self._rising, (resting.level, resting.order))

    def _execute(self, resting: Resting, price: int, quantity: int, at: Time) -> list[Fact]:
        reports: list[Fact] = []
        if resting.reduce_only:
            left = min(self.position if resting.side == "sell" else -self.position, resting.left - resting.taken)
            if left <= 0:
                return [self._end(resting, "nothing left to reduce")]
            quantity = min(quantity, left)
        liquidity: Liquidity = "maker" if resting.rank == LIMIT else "taker"
        if liquidity == "taker":
            price = self._slip(resting.side, price)
        fill = self._fill(resting, price, quantity, liquidity, at)
        if not self._affords(resting, fill):
            return [self._reject(resting, price, quantity)]
        self._settle(resting, fill)
        resting.fills = (*resting.fills, fill)
        resting.trades += 1
        reports.append(fill)
        if not resting.left:
            self._forget(resting)
        elif resting.reduce_only and (self.position == 0 or resting.left <= resting.taken):
            reports.append(self._end(resting, "nothing left to reduce"))
        if resting.bracket and resting.type in _STOPS:
            reports += self._end_bracket(resting)
        elif resting.bracket:
            self._take_from_stops(resting.bracket, fill.quantity)
        return reports

    def _take_from_stops(self, bracket: str, quantity: int) -> None:
        """What a target has sold, the stop beside it must not sell again before its owner has heard of it."""
        for other in self._working.values():
            if other.bracket == bracket and other.type in _STOPS:
                other.taken += quantity

    def _end_bracket(self, filled: Resting) -> list[Fact]:
        """One cancels the other: what else of its bracket only reduces is over, before a limit can be met."""
        others = [
            other
            for other in self._working.values()
            if other.bracket == filled.bracket and other.reduce_only and other is not filled
        ]
        return [self._end(other, "bracket") for other in others]

    def _fill(self, resting: Resting, price: int, quantity: int, liquidity: Liquidity, at: Time) -> FillReported:
        instrument = self._instrument
        if instrument.fee_asset == "base" and resting.side == "buy":
            fee, asset = self._rate_of(quantity, liquidity), instrument.base
        else:
            fee, asset = self._rate_of(instrument.notional(price, quantity), liquidity), instrument.quote
        return FillReported(
            self._account, resting.order, instrument.id, f"{resting.order}.{resting.trades + 1}", Price(price), Quantity(quantity), Fee(fee),
            asset, liquidity, at,
        )  # fmt: skip

    def _affords(self, resting: Resting, fill: FillReported) -> bool:
        """A spot buy needs the cash, less what other orders have locked."""
        if self._kind != "spot" or resting.side == "sell" or resting.whole:
            return True
        fee = fill.fee if fill.fee_asset == self._instrument.quote else 0
        return self._instrument.notional(fill.price, fill.quantity) + fee <= self.wallet.cash - self.wallet.locked

    def _settle(self, resting: Resting, fill: FillReported) -> None:
        instrument = self._instrument
        cash = instrument.notional(fill.price, fill.quantity)
        in_base = fill.fee_asset == instrument.base
        if resting.side == "buy":
            self.wallet.cash -= cash
            self.position += fill.quantity - (fill.fee if in_base else 0)
        else:
            self.wallet.cash += cash
            self.position -= fill.quantity
        if not in_base:
            self.wallet.cash -= fill.fee
        resting.left -= fill.quantity
        if resting.left:
            self._lock(resting)

    def _reject(self, resting: Resting, price: int, quantity: int) -> RejectReported:
        instrument = self._instrument
        needed = instrument.cash_text(instrument.notional(price, quantity))
        free = instrument.cash_text(self.wallet.cash - self.wallet.locked)
        report = RejectReported(
            self._account, resting.order, "INSUFFICIENT_BALANCE", f"notional={needed} and fee, free={free}"
        )
        self._forget(resting, report)
        return report

    def _end(self, resting: Resting, reason: str) -> CancelReported:
        report = CancelReported(self._account, resting.order, Quantity(resting.quantity - resting.left), reason)
        self._forget(resting, report)
        return report

    def _forget(self, resting: Resting, *last: Fact) -> None:
        """The order works no more; what became of it is kept a while for queries."""
        if self._working.pop(resting.order, None) is not None:
            self._leave(resting)
        self.wallet.locked -= resting.locked
        resting.locked = 0
        self._ended[resting.order] = (*resting.fills, *last)
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)  # a plain dict would look for its oldest past all that were deleted

    def _slip(self, side: Side, price: int) -> int:
        """Slippage worsens the price and keeps it on the tick: buys ceil, sells floor."""
        slippage = self._terms.slippage
        if not slippage:
            return price
        numerator, denominator = ratio(slippage)
        if side == "buy":
            return ceil_ratio(price, (denominator + numerator, denominator), self._instrument.tick)
        return max(1, floor_ratio(price, (denominator - numerator, denominator), self._instrument.tick))

    def _rate_of(self, amount: int, liquidity: Liquidity) -> int:
        numerator, denominator = self._maker if liquidity == "maker" else self._taker
        return divide_half_even(amount * numerator, denominator)


def carry_out(venue: SimulatedVenue, effect: object) -> Sequence[Fact]:
    """Carry out one effect."""
    if type(effect) is SubmitOrder:
        return venue.submit(effect)
    if type(effect) is CancelOrder:
        return venue.cancel(effect)
    assert type(effect) is QueryOrder, effect
    return venue.query(effect)


def _trade_fill(resting: Resting, price: int, printed: int) -> tuple[int, int]:
    """(price, quantity) that a printed trade fills of an order; quantity 0 where it does not."""
    if resting.type == "market":
        return price, resting.left
    level = resting.level
    if resting.falls:
        reached, through = price <= level, price < level
    else:
        reached, through = price >= level, price > level
    if not reached:
        return price, 0
    if resting.rank != LIMIT:
        return price, resting.left
    if through:
        return (price if resting.marketable else level), resting.left
    return level, min(resting.left, max(0, printed))
