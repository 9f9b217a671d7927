"""The simulated venue: orders matched against candles by the rules `candle-v1`, or against trades.

It keeps balances of its own, as a venue does, and reports in the words a real one would. Nothing reacts inside a
candle: all fills of a candle are reported before any reaction, so no path inside it is assumed.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
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
from domain.values import Fee, Price, Quantity, Time, ceil_ratio, divide_half_even, floor_ratio, ratio
from infrastructure.venues.resting import (
    LIMIT,
    MARKET,
    NOWHERE_ABOVE,
    NOWHERE_BELOW,
    STOP,
    Resting,
    Standing,
    standings,
)

Rules = Literal["candle-v1", "close-fill", "through"]
RULES: Rules = "candle-v1"
"""How candles fill. `close-fill` is the same but for this: an order that could trade when it comes does so at once, at the
last close; and what rests fills at its own price, also where a candle opens beyond it. So nautilus_trader's bars fill.
`through` is the same but for this: the price must go through a limit to fill it, at the limit is not enough."""
ALL_RULES: tuple[Rules, ...] = get_args(Rules)
ENDED_KEPT = 1024
"""How many ended orders the venue still answers queries about."""
NOTHING, BEFORE, NO_VERDICT = Quantity(0), 0, (0, 0)
_STOPS = frozenset({"stop", "stop_limit"})
Level = tuple[int, int, Resting]
"""(price, number, order) of an order that stands at a price; no two have the same number."""


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
    """One account on one instrument. Deterministic: the same orders and prices give the same reports."""

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
        self._needs_more = rules == "through"
        self.wallet = wallet
        self.position = position
        self.last: int | None = None
        self._account = account
        self._instrument = instrument
        self._symbol = instrument.id
        self._factor = instrument.factor
        self._slippage = terms.slippage
        self._standings = standings(
            instrument, terms.maker_fee, terms.taker_fee, slips=bool(terms.slippage), spot=kind == "spot"
        )
        self._falling: list[Level] = []
        self._rising: list[Level] = []
        self._known: dict[int, Resting] = {}
        self._ended = deque[int]()

    def submit(self, order: SubmitOrder, now: int = BEFORE) -> Fact:
        """Take an order; candles that opened before `now` do not meet it. A client's order number is taken once."""
        number = order.order
        if number in self._known:
            return RejectReported(self._account, number, "DUPLICATE_ORDER", f"order={number}")
        stands = self._standings[order.type, order.side]
        level = order.stop or order.limit or NOWHERE_ABOVE
        resting = self._known[number] = Resting(number, order, stands, level, order.quantity, now)
        if stands.locks:
            wallet, whole = self.wallet, self._locks(resting)
            if whole > wallet.cash - wallet.locked and whole:
                self._stand(resting)  # for as long as it takes to refuse it
                return self._reject(resting, level, order.quantity)
            resting.whole = whole
            wallet.locked += whole
        if self.last is not None and stands.rank == LIMIT:
            resting.marketable = self.last <= level if stands.buys else self.last >= level
        insort(self._falling if stands.falls else self._rising, (level, number, resting))
        return AcceptReported(self._account, number, f"sim-{number}")

    def restore(self, order: Order) -> None:
        """Take back an order that worked when the process ended; what it has filled has been settled."""
        asked = SubmitOrder(
            self._account, order.id, order.instrument, order.side, order.type, order.quantity, order.limit, order.stop,
            order.reduce_only, NO_VERDICT, order.bracket,
        )  # fmt: skip
        stands = self._standings["limit" if order.triggered else order.type, order.side]
        level = (None if order.triggered else order.stop) or order.limit or NOWHERE_ABOVE
        left = Quantity(order.quantity - order.filled)
        resting = self._known[order.id] = Resting(order.id, asked, stands, level, left, BEFORE, len(order.trades))
        self._stand(resting)
        if stands.locks and not order.triggered:
            resting.whole = self._locks(resting)
            self.wallet.locked += resting.whole * left // order.quantity

    def _stand(self, resting: Resting) -> None:
        """Candles look for it at its level."""
        levels = self._falling if resting.stands.falls else self._rising
        insort(levels, (resting.level, resting.number, resting))

    def _leave(self, resting: Resting) -> None:
        """It stands at its level no more."""
        levels = self._falling if resting.stands.falls else self._rising
        del levels[bisect_left(levels, (resting.level, resting.number))]

    def _locks(self, resting: Resting) -> int:
        """The cash that all of a limit buy locks on a spot account: its notional and its fee."""
        limit, quantity, stands = resting.level, resting.asked.quantity, resting.stands
        notional = limit * quantity * self._factor if self._factor else self._instrument.notional(limit, quantity)
        if stands.in_base:
            return notional
        return notional + divide_half_even(notional * stands.numerator, stands.denominator)

    def cancel(self, request: CancelOrder) -> Fact:
        """Cancel an order that works; refuse where it does not."""
        resting = self._known.get(request.order)
        if resting is None or not resting.left:
            return CancelRejectReported(self._account, request.order, "ORDER_NOT_WORKING")
        return self._end(resting, "canceled")

    def query(self, request: QueryOrder) -> Sequence[Fact]:
        """Say what became of an order."""
        resting = self._known.get(request.order)
        if resting is None:
            return (RejectReported(self._account, request.order, "NOT_FOUND", "the venue never had the order"),)
        if resting.left:
            return (AcceptReported(self._account, resting.number, f"sim-{resting.number}"), *resting.story)
        return resting.story

    def bounds(self) -> tuple[int, int]:
        """The prices at which the next order is met: at or below the first, at or above the second."""
        falling, rising = self._falling, self._rising
        return falling[-1][0] if falling else NOWHERE_BELOW, rising[0][0] if rising else NOWHERE_ABOVE

    def candle(self, at: Time, open_: int, high: int, low: int) -> list[Fact]:
        """All fills of one candle: market orders, stops, limits; each by its price's distance from the open, then age.

        An order fills (or triggers) at its level, or at the open where that is beyond it.
        """
        met: list[tuple[int, int, int, int, Resting]] = []
        own, more = self.fills_at_close, self._needs_more
        for level, number, resting in reversed(self._falling):
            if level < low:
                break
            rank = resting.stands.rank
            if resting.since <= at and not (more and level == low and rank == LIMIT):
                price = level if level <= open_ or (own and rank == LIMIT) else open_
                met.append((rank, open_ - price, number, price, resting))
        for level, number, resting in self._rising:
            if level > high:
                break
            rank = resting.stands.rank
            if resting.since <= at and not (more and level == high and rank == LIMIT):
                price = level if level >= open_ or (own and rank == LIMIT) else open_
                met.append((rank, price - open_, number, price, resting))
        if len(met) > 1:
            met.sort()
        reports: list[Fact] = []
        for rank, _distance, _number, price, resting in met:
            if not resting.left:
                continue  # a stop of its bracket has just filled
            if rank == STOP and resting.asked.type == "stop_limit":
                reports.append(self._trigger(resting))  # rests as a limit from the next candle on
            else:
                self._execute(resting, price, resting.left, at, resting.stands, reports)
        return reports

    def trade(self, at: Time, price: int, printed: int) -> list[Fact]:
        """Fills of one printed trade.

        A limit fills in full where the trade prints through it, and at it up to the printed size, the oldest first; it
        pays its own price unless it was marketable on arrival.
        """
        reports: list[Fact] = []
        working = [resting for _level, _number, resting in [*self._falling, *self._rising]]
        for resting in sorted(working, key=lambda resting: (resting.stands.rank, resting.number)):
            fill_price, quantity = _trade_fill(resting, price, printed)
            if quantity <= 0:
                continue
            rank = resting.stands.rank
            if rank == STOP and resting.asked.type == "stop_limit":
                reports.append(self._trigger(resting))
                continue
            if self._needs_more and rank == LIMIT and price == resting.level:
                continue
            if rank == LIMIT and fill_price == price:
                printed -= quantity
            self._execute(resting, fill_price, quantity, at, resting.stands, reports)
        return reports

    def at_close(self, number: int, at: Time, close: int) -> list[Fact]:
        """Fill an order that has just come, where it could trade at the close of the candle that opened at `at`."""
        resting = self._known.get(number)
        reports: list[Fact] = []
        if resting is None or not resting.left or not self.fills_at_close:
            return reports
        stands = resting.stands
        beyond = close < resting.level if stands.falls else close > resting.level
        if stands.rank == MARKET or (stands.rank == LIMIT and beyond):
            self._execute(resting, close, resting.left, at, self._standings["market", stands.side], reports)
        return reports

    def _trigger(self, resting: Resting) -> TriggerReported:
        """A stop-limit order stands as a limit now."""
        self._leave(resting)
        resting.stands = self._standings["limit", resting.stands.side]
        resting.level = resting.asked.limit or NOWHERE_ABOVE
        self._stand(resting)
        return TriggerReported(self._account, resting.number)

    def _execute(
        self, resting: Resting, price: int, quantity: Quantity, at: Time, stands: Standing, reports: list[Fact]
    ) -> None:
        """Fill an order and settle it, or end it where it may not be filled; what is to be said of it joins the reports."""
        asked, wallet = resting.asked, self.wallet
        if asked.reduce_only:
            quantity = Quantity(min(quantity, self._reducible(resting)))
            if quantity <= 0:
                reports.append(self._end(resting, "nothing left to reduce"))
                return
        if stands.slips:
            price = self._slip(stands, price)
        notional = price * quantity * self._factor if self._factor else self._instrument.notional(price, quantity)
        charged = (quantity if stands.in_base else notional) * stands.numerator
        fee, rest = divmod(charged, stands.denominator)
        if rest:
            fee = divide_half_even(charged, stands.denominator)
        if stands.buys:
            paid, bought = (notional, quantity - fee) if stands.in_base else (notional + fee, quantity)
            if stands.pays and not resting.whole and paid > wallet.cash - wallet.locked:
                reports.append(self._reject(resting, price, quantity))
                return
            wallet.cash -= paid
            self.position += bought
        else:
            wallet.cash += notional - fee
            self.position -= quantity
        number = resting.number
        resting.trades += 1
        fill = FillReported(
            self._account, number, self._symbol, f"{number}.{resting.trades}", Price(price), quantity, Fee(fee),
            stands.fee_asset, stands.liquidity, at,
        )  # fmt: skip
        reports.append(fill)
        resting.story += (fill,)
        if quantity == resting.left:
            self._forget(resting)
        else:
            left, whole, ordered = Quantity(resting.left - quantity), resting.whole, asked.quantity
            wallet.locked += whole * left // ordered - whole * resting.left // ordered
            resting.left = left
        if asked.reduce_only or asked.bracket:
            self._reduced(resting, quantity, reports)

    def _reducible(self, resting: Resting) -> int:
        """How much an order that only reduces may fill."""
        held = -self.position if resting.stands.buys else self.position
        return min(held, resting.left - resting.taken)

    def _reduced(self, resting: Resting, quantity: int, reports: list[Fact]) -> None:
        """It is over where nothing is left to reduce; and what stands beside it in its bracket has less to do, or nothing."""
        asked = resting.asked
        if asked.reduce_only and resting.left and self._reducible(resting) <= 0:
            reports.append(self._end(resting, "nothing left to reduce"))
        if not asked.bracket:
            return
        levels = [*self._falling, *self._rising]
        beside = [each for _, _, each in levels if each.asked.bracket == asked.bracket and each is not resting]
        if asked.type in _STOPS:  # one cancels the other, before a limit can be met
            beside.sort(key=attrgetter("number"))
            reports += [self._end(each, "bracket") for each in beside if each.asked.reduce_only]
            return
        for each in beside:
            if each.asked.type in _STOPS:  # it must not sell again what this has, before its owner has heard of it
                each.taken += quantity

    def _reject(self, resting: Resting, price: int, quantity: int) -> RejectReported:
        instrument = self._instrument
        needed = instrument.cash_text(instrument.notional(price, quantity))
        free = instrument.cash_text(self.wallet.cash - self.wallet.locked)
        reason = f"notional={needed} and fee, free={free}"
        report = RejectReported(self._account, resting.number, "INSUFFICIENT_BALANCE", reason)
        resting.story += (report,)
        self._forget(resting)
        return report

    def _end(self, resting: Resting, reason: str) -> CancelReported:
        report = CancelReported(self._account, resting.number, Quantity(resting.asked.quantity - resting.left), reason)
        resting.story += (report,)
        self._forget(resting)
        return report

    def _forget(self, resting: Resting) -> None:
        """The order works no more; what became of it is kept a while for queries."""
        self._leave(resting)
        if resting.whole:
            self.wallet.locked -= resting.whole * resting.left // resting.asked.quantity
        resting.left = NOTHING
        ended = self._ended
        ended.append(resting.number)
        if len(ended) > ENDED_KEPT:
            del self._known[ended.popleft()]

    def _slip(self, stands: Standing, price: int) -> int:
        """Slippage worsens the price and keeps it on the tick: buys ceil, sells floor."""
        numerator, denominator = ratio(self._slippage)
        if stands.buys:
            return ceil_ratio(price, (denominator + numerator, denominator), self._instrument.tick)
        return max(1, floor_ratio(price, (denominator - numerator, denominator), self._instrument.tick))


def carry_out(venue: SimulatedVenue, effect: object) -> Sequence[Fact]:
    """Carry out one effect."""
    if type(effect) is SubmitOrder:
        return (venue.submit(effect),)
    if type(effect) is CancelOrder:
        return (venue.cancel(effect),)
    assert type(effect) is QueryOrder, effect
    return venue.query(effect)


def _trade_fill(resting: Resting, price: int, printed: int) -> tuple[int, Quantity]:
    """(price, quantity) that a printed trade fills of an order; quantity 0 where it does not."""
    level, rank, none = resting.level, resting.stands.rank, Quantity(0)
    if rank == MARKET:
        return price, resting.left
    if resting.stands.falls:
        reached, through = price <= level, price < level
    else:
        reached, through = price >= level, price > level
    if not reached:
        return price, none
    if rank != LIMIT:
        return price, resting.left
    if through:
        return (price if resting.marketable else level), resting.left
    return level, Quantity(min(resting.left, max(0, printed)))
