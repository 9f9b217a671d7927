"""The simulated venue: orders matched against candles by the rules `candle-v1`, or against trades.

It keeps balances of its own, as a venue does, and reports in the words a real one would. Nothing reacts inside a
candle: all fills of a candle are reported before any reaction, so no path inside it is assumed.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Literal, get_args

from msgspec import Struct

from domain.account.commands import (
    AcceptReported,
    CancelRejectReported,
    CancelReported,
    FillReported,
    RejectReported,
    TriggerReported,
)
from domain.account.events import AccountKind
from domain.account.state import Order
from domain.market import Instrument
from domain.message import Fact
from domain.ports import CancelOrder, QueryOrder, SubmitOrder
from domain.values import (
    POWERS,
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
from infrastructure.venues.resting import LIMIT, MARKET, NOWHERE_ABOVE, NOWHERE_BELOW, STANDS, Resting

Rules = Literal["candle-v1", "close-fill"]
RULES: Rules = "candle-v1"
"""How candles fill. `close-fill` is the same but for this: an order that could trade when it comes does so at once, at the
last close; and what rests fills at its own price, also where a candle opens beyond it. So nautilus_trader's bars fill."""
ALL_RULES: tuple[Rules, ...] = get_args(Rules)
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
        self,
        account: str,
        kind: AccountKind,
        instrument: Instrument,
        terms: Terms,
        wallet: Wallet,
        position: int,
        rules: Rules = RULES,
    ) -> None:
        self.fills_at_close = rules == "close-fill"
        self.wallet = wallet
        self.position = position
        self.last: int | None = None
        self.now = Time(0)
        self._account = account
        self._spot = kind == "spot"
        self._instrument = instrument
        exponent = instrument.quote_scale - instrument.price_scale - instrument.size_scale
        self._factor = POWERS[exponent] if exponent >= 0 else 0  # 0: a notional has to be rounded
        self._working: dict[int, Resting] = {}
        self._falling: list[tuple[int, int]] = []
        self._rising: list[tuple[int, int]] = []
        self._maker, self._taker, self._slippage = ratio(terms.maker_fee), ratio(terms.taker_fee), terms.slippage
        self._ended: OrderedDict[int, tuple[Fact, ...]] = OrderedDict()

    def submit(self, order: SubmitOrder) -> list[Fact]:
        """Take an order. A client's order number is taken once."""
        number, side, kind, quantity, limit = order.order, order.side, order.type, order.quantity, order.limit or 0
        if number in self._working or number in self._ended:
            return [RejectReported(self._account, number, "DUPLICATE_ORDER", f"order={number}")]
        whole = self._locks(limit, quantity) if self._spot and side == "buy" and kind == "limit" else 0
        resting = Resting(
            number, side, kind, quantity, quantity, limit, order.stop or 0, order.reduce_only, whole,
            bracket=order.bracket, since=self.now,
        )  # fmt: skip
        if self.last is not None and kind == "limit":
            resting.marketable = self.last <= limit if side == "buy" else self.last >= limit
        wallet = self.wallet
        if whole and whole > wallet.cash - wallet.locked:
            return [self._reject(resting, limit, quantity)]
        resting.locked = whole
        wallet.locked += whole
        self._working[number] = resting
        self._stand(resting)
        return [AcceptReported(self._account, number, f"sim-{number}")]

    def restore(self, order: Order) -> None:
        """Take back an order that worked when the process ended; what it has filled has been settled."""
        limit = order.limit or 0
        locks = self._spot and order.side == "buy" and order.type == "limit"
        resting = Resting(
            order.id, order.side, order.type, order.quantity - order.filled, order.quantity, limit, order.stop or 0,
            order.reduce_only, self._locks(limit, order.quantity) if locks else 0,
            triggered=order.triggered, trades=len(order.trades), bracket=order.bracket,
        )  # fmt: skip
        self._working[resting.order] = resting
        self._stand(resting)
        if resting.whole:
            self._lock(resting)

    def _stand(self, resting: Resting) -> None:
        """Find its rank and its level, where candles look for it: when it is taken in, and anew when it is triggered."""
        resting.rank, resting.falls = STANDS["limit" if resting.triggered else resting.type, resting.side]
        if resting.rank:
            resting.level = resting.limit if resting.rank == LIMIT else resting.stop
        insort(self._falling if resting.falls else self._rising, (resting.level, resting.order))

    def _leave(self, resting: Resting) -> None:
        """It stands at its level no more."""
        levels = self._falling if resting.falls else self._rising
        left = levels.pop(bisect_left(levels, (resting.level, resting.order)))
        assert left[1] == resting.order, "an order that works stands at its level"

    def _locks(self, limit: int, quantity: int) -> int:
        """The cash that a resting order locks: on a spot account a limit buy, with its fee."""
        notional = self._instrument.notional(limit, quantity)
        if self._instrument.fee_asset == "base":
            return notional
        numerator, denominator = self._maker
        return notional + divide_half_even(notional * numerator, denominator)

    def _lock(self, resting: Resting) -> None:
        """Lock what the part of an order that is left needs, and give the rest back."""
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
        reports: list[Fact] = []
        working = self._working
        if not working:
            return reports
        for _kind, _distance, number, price, resting in self._met(at, open_, high, low):
            if number not in working:
                continue  # a stop of its bracket has just filled
            if resting.type == "stop_limit" and not resting.triggered:
                self._trigger(resting)  # rests as a limit from the next candle on
                reports.append(TriggerReported(self._account, number))
                continue
            self._execute(resting, price, resting.left, at, reports)
        return reports

    def _met(self, at: Time, open_: int, high: int, low: int) -> list[tuple[int, int, int, int, Resting]]:
        """(rank, distance from the open, number, price, order) of what a candle meets, in the order in which it acts.

        An order fills (or triggers) at its level, or at the open where that is beyond it.
        """
        working, met, own = self._working, [], self.fills_at_close
        for level, number in reversed(self._falling):
            if level < low:
                break
            resting = working[number]
            if resting.since <= at:
                price = level if own and resting.rank == LIMIT else min(open_, level)
                met.append((resting.rank, open_ - price, number, price, resting))
        for level, number in self._rising:
            if level > high:
                break
            resting = working[number]
            if resting.since <= at:
                price = level if own and resting.rank == LIMIT else max(open_, level)
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
            self._execute(resting, fill_price, quantity, at, reports)
        return reports

    def at_close(self, number: int, at: Time, close: int) -> list[Fact]:
        """Fill an order that has just come, where it could trade at the close of the candle that opened at `at`."""
        resting = self._working.get(number)
        reports: list[Fact] = []
        if resting is None or not self.fills_at_close:
            return reports
        beyond = close < resting.level if resting.falls else close > resting.level
        if resting.rank == MARKET or (resting.rank == LIMIT and beyond):
            self._execute(resting, close, resting.left, at, reports, takes=True)
        return reports

    def _trigger(self, resting: Resting) -> None:
        self._leave(resting)
        resting.triggered = True
        self._stand(resting)

    def _execute(
        self, resting: Resting, price: int, quantity: int, at: Time, reports: list[Fact], *, takes: bool = False
    ) -> None:
        """Fill an order and settle it, or end it where it may not be filled; what is to be said of it joins the reports."""
        if resting.reduce_only:
            quantity = min(quantity, self._reducible(resting))
            if quantity <= 0:
                reports.append(self._end(resting, "nothing left to reduce"))
                return
        maker, buys = resting.rank == LIMIT and not takes, resting.side == "buy"
        if not maker and self._slippage:
            price = self._slip(resting.side, price)
        instrument, wallet = self._instrument, self.wallet
        notional = price * quantity * self._factor if self._factor else instrument.notional(price, quantity)
        in_base = buys and instrument.fee_asset == "base"
        numerator, denominator = self._maker if maker else self._taker
        fee = divide_half_even((quantity if in_base else notional) * numerator, denominator)
        paid = (notional if in_base else notional + fee) if buys else fee - notional
        if buys and self._spot and not resting.whole and paid > wallet.cash - wallet.locked:
            reports.append(self._reject(resting, price, quantity))
            return
        wallet.cash -= paid
        self.position += (quantity - fee if in_base else quantity) if buys else -quantity
        resting.trades += 1
        resting.left -= quantity
        fill = FillReported(
            self._account, resting.order, instrument.id, f"{resting.order}.{resting.trades}", Price(price), Quantity(quantity),
            Fee(fee), instrument.base if in_base else instrument.quote, "maker" if maker else "taker", at,
        )  # fmt: skip
        resting.fills = (*resting.fills, fill)
        reports.append(fill)
        if not resting.left:
            self._forget(resting)
        elif resting.whole:
            self._lock(resting)
        if resting.reduce_only or resting.bracket:
            self._reduced(resting, quantity, reports)

    def _reducible(self, resting: Resting) -> int:
        """How much an order that only reduces may fill."""
        held = self.position if resting.side == "sell" else -self.position
        return min(held, resting.left - resting.taken)

    def _reduced(self, resting: Resting, quantity: int, reports: list[Fact]) -> None:
        """It is over where nothing is left to reduce; and what stands beside it in its bracket has less to do, or nothing."""
        if resting.reduce_only and resting.left and self._reducible(resting) <= 0:
            reports.append(self._end(resting, "nothing left to reduce"))
        if resting.bracket and resting.type in _STOPS:
            reports += self._end_bracket(resting)
        elif resting.bracket:
            self._take_from_stops(resting.bracket, quantity)

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
        if resting.locked:
            self.wallet.locked -= resting.locked
            resting.locked = 0
        self._ended[resting.order] = (*resting.fills, *last) if last else resting.fills
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)  # a plain dict would look for its oldest past all that were deleted

    def _slip(self, side: Side, price: int) -> int:
        """Slippage worsens the price and keeps it on the tick: buys ceil, sells floor."""
        numerator, denominator = ratio(self._slippage)
        if side == "buy":
            return ceil_ratio(price, (denominator + numerator, denominator), self._instrument.tick)
        return max(1, floor_ratio(price, (denominator - numerator, denominator), self._instrument.tick))


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
