"""The `dca_signals` backtest told a second time, naively, from its specification alone: it imports nothing of ours.

A spot account in one quote asset, one instrument, the fill rules `candle-v1`, exact fractions, one candle after another.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

CASH_QUANTUM = Fraction(1, 10**8)

FLIPS = (
    "limit_fills_at_limit",
    "limit_must_trade_through",
    "market_fills_at_close",
    "alert_waits_at_open",
    "target_rounds_down",
    "target_of_leg_price",
    "hold_forgets_fee",
    "hold_forgets_orders",
    "exit_leaves_entries",
    "exit_judged_at_alert_price",
    "flat_after_each_fill",
    "flat_is_ignored",
    "refused_may_repeat",
    "fee_rounds_down",
    "oldest_first",
)
"""Rules told wrong on purpose, one at a time: a comparison that does not notice them compares nothing."""


class Candle(NamedTuple):
    """One bar; `open_time` in microseconds since 1970."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class Alert(NamedTuple):
    """One line of the signal file; `at` in microseconds since 1970."""

    at: int
    body: Any


class Terms(NamedTuple):
    """What the command line says about the instrument and the account."""

    symbol: str
    tick: Decimal
    step: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    balance: Decimal


class Fill(NamedTuple):
    """One execution at the open time of its candle."""

    at: int
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal


class Result(NamedTuple):
    """All that a run must agree on; `verdicts` in the order of the lines, `denials` by family in order of time."""

    fills: list[Fill]
    verdicts: list[str]
    cash: Decimal
    position: Decimal
    fees: Decimal
    denials: list[str]


class Told(NamedTuple):
    """A well-formed alert."""

    identity: tuple[str, ...]
    symbol: str
    action: str
    price: Fraction | None


@dataclass
class Order:
    """An order that rests; `price` is its limit, or what a market order was reckoned at."""

    number: int
    side: str
    market: bool
    price: Fraction
    quantity: Fraction
    leg: int | None = None


@dataclass
class Group:
    """A live position group; `held` was bought by its entries and not yet sold."""

    held: Fraction = Fraction(0)
    entered: bool = False
    exiting: bool = False


@dataclass
class Oracle:
    """The account, its one group and the book of its resting orders."""

    terms: Terms
    settings: dict[str, Any]
    flip: str = ""
    cash: Fraction = Fraction(0)
    position: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    last_close: Fraction | None = None
    group: Group | None = None
    book: list[Order] = field(default_factory=list)
    orders: int = 0
    was_flat: bool = False
    seen: set[tuple[str, ...]] = field(default_factory=set)
    fills: list[Fill] = field(default_factory=list)
    denials: list[str] = field(default_factory=list)

    # --- alerts ------------------------------------------------------------------------------------------------------

    def hear(self, body: Any) -> str:
        told = read_alert(body)
        if told is None:
            return "malformed"
        if told.identity in self.seen:
            return "duplicate"
        accepted = told.symbol == self.terms.symbol and self.obey(told)
        if accepted or self.flip != "refused_may_repeat":
            self.seen.add(told.identity)
        return "accepted" if accepted else "refused"

    def obey(self, told: Told) -> bool:
        if told.action == "buy":
            entry = self.last_close if told.price is None else told.price
            if self.group is not None or entry is None:
                return False
            self.open_group(entry)
            return True
        if self.group is None:
            return False
        if not self.group.exiting:
            self.exit_group(self.group, told.price)
        return True

    def open_group(self, entry: Fraction) -> None:
        self.group = Group()
        capital = Fraction(self.settings["capital"])
        for index, leg in enumerate(self.settings["legs"]):
            price = floor(entry * (1 + Fraction(leg["gap_pct"]) / 100), self.terms.tick)
            share = capital * Fraction(leg["weight_pct"]) / 100
            quantity = floor(share / price, self.terms.step) if price > 0 else Fraction(0)
            market = index == 0 and self.settings["entry"] == "market"
            self.place("buy", price, quantity, market=market, leg=index)
        self.close_if_done()

    def exit_group(self, group: Group, price: Fraction | None) -> None:
        leaves_entries = self.flip == "exit_leaves_entries"
        self.book = [order for order in self.book if order.side == "buy" and leaves_entries]
        group.exiting = True
        if group.held:
            reference = self.last_close
            if self.flip == "exit_judged_at_alert_price" and price is not None:
                reference = price
            assert reference is not None  # something was bought, so a candle has passed
            if not self.place("sell", reference, group.held, market=True):
                group.held = Fraction(0)  # too small to sell: written off, the account keeps it
        self.close_if_done()

    def close_if_done(self) -> None:
        if self.group is not None and not self.group.held and not self.book:
            self.group = None

    # --- orders ------------------------------------------------------------------------------------------------------

    def place(self, side: str, price: Fraction, quantity: Fraction, *, market: bool, leg: int | None = None) -> bool:
        """False where the order was denied."""
        self.orders += 1
        order = Order(self.orders, side, market, price, quantity, leg)
        notional = price * quantity
        if not quantity or notional < Fraction(self.terms.min_notional):
            self.denials.append("precision")
            return False
        if side == "buy" and self.needs(order) > self.cash - self.held_back():
            self.denials.append("buying_power")
            return False
        self.book.append(order)
        return True

    def held_back(self, *, limits_only: bool = False) -> Fraction:
        if self.flip == "hold_forgets_orders":
            return Fraction(0)
        buys = (order for order in self.book if order.side == "buy" and not (limits_only and order.market))
        return sum((self.needs(order) for order in buys), Fraction(0))

    def needs(self, order: Order) -> Fraction:
        notional = to_cash(order.price * order.quantity)
        return notional if self.flip == "hold_forgets_fee" else notional + self.fee(order, order.price)

    def fee(self, order: Order, price: Fraction) -> Fraction:
        rate = Fraction(self.terms.taker_fee if order.market else self.terms.maker_fee)
        exact = price * order.quantity * rate
        return exact // CASH_QUANTUM * CASH_QUANTUM if self.flip == "fee_rounds_down" else to_cash(exact)

    # --- candles -----------------------------------------------------------------------------------------------------

    def play(self, candle: Candle) -> None:
        """All fills of the candle first, then what the group makes of them."""
        opened = Fraction(candle.open)
        met = [(order, price) for order in self.book if (price := self.fill_price(order, candle)) is not None]
        oldest_first = self.flip == "oldest_first"
        met.sort(key=lambda m: (not m[0].market, 0 if oldest_first else abs(m[1] - opened), m[0].number))
        self.was_flat = False
        filled = [(order, price) for order, price in met if self.fill(candle.open_time, order, price)]
        self.last_close = Fraction(candle.close)
        for order, price in filled:
            if order.leg is not None:
                self.place_target(order, price)
        flat = self.group is not None and self.group.entered and not self.group.held
        if self.flip == "flat_after_each_fill":
            flat |= self.was_flat
        if flat and self.settings["when_flat"] == "cancel" and self.flip != "flat_is_ignored":
            self.book = [order for order in self.book if order.side == "sell"]
        self.close_if_done()

    def fill_price(self, order: Order, candle: Candle) -> Fraction | None:
        opened, low, high = Fraction(candle.open), Fraction(candle.low), Fraction(candle.high)
        if order.market:
            return Fraction(candle.close) if self.flip == "market_fills_at_close" else opened
        if self.flip == "limit_must_trade_through" and order.price in (low, high):
            return None
        if order.side == "buy" and low <= order.price:
            return order.price if self.flip == "limit_fills_at_limit" else min(order.price, opened)
        if order.side == "sell" and high >= order.price:
            return order.price if self.flip == "limit_fills_at_limit" else max(order.price, opened)
        return None

    def fill(self, at: int, order: Order, price: Fraction) -> bool:
        """False where a market order's price turned out to be more than there is."""
        assert self.group is not None
        self.book.remove(order)
        cash, fee = to_cash(price * order.quantity), self.fee(order, price)
        if order.side == "buy" and order.market and cash + fee > self.cash - self.held_back(limits_only=True):
            self.denials.append("buying_power")
            return False
        sign = 1 if order.side == "buy" else -1
        self.cash -= sign * cash + fee
        self.fees += fee
        self.position += sign * order.quantity
        self.group.held += sign * order.quantity
        self.group.entered = True
        self.fills.append(Fill(at, order.side, to_decimal(price), to_decimal(order.quantity), to_decimal(fee)))
        self.was_flat |= not self.group.held
        return True

    def place_target(self, entry: Order, price: Fraction) -> None:
        assert entry.leg is not None
        paid = entry.price if self.flip == "target_of_leg_price" else price
        target = paid * (1 + Fraction(self.settings["legs"][entry.leg]["take_profit_pct"]) / 100)
        rounded = floor if self.flip == "target_rounds_down" else ceil
        self.place("sell", rounded(target, self.terms.tick), entry.quantity, market=False)


def backtest(
    candles: list[Candle], alerts: list[Alert], settings: dict[str, Any], terms: Terms, flip: str = ""
) -> Result:
    """`settings` as in the TOML file; `flip` names one rule of FLIPS to tell wrong."""
    assert flip in ("", *FLIPS)
    oracle = Oracle(terms, settings["group"], flip, cash=Fraction(terms.balance))
    verdicts: dict[int, str] = {}
    waiting = sorted(range(len(alerts)), key=lambda line: (alerts[line].at, line))
    for candle in candles:
        until = candle.open_time - (1 if flip == "alert_waits_at_open" else 0)
        while waiting and alerts[waiting[0]].at <= until:
            line = waiting.pop(0)
            verdicts[line] = oracle.hear(alerts[line].body)
        oracle.play(candle)
    for line in waiting:
        verdicts[line] = oracle.hear(alerts[line].body)
    return Result(
        oracle.fills,
        [verdicts[line] for line in range(len(alerts))],
        to_decimal(oracle.cash),
        to_decimal(oracle.position),
        to_decimal(oracle.fees),
        oracle.denials,
    )


def read_alert(body: Any) -> Told | None:
    """None where the body is malformed."""
    if isinstance(body, str):
        try:
            body = json.loads(body, parse_float=Decimal)
        except ValueError:
            return None
    if not isinstance(body, dict):
        return None
    action, symbol, time, price = (body.get(key) for key in ("action", "symbol", "time", "price"))
    if action not in ("buy", "sell", "exit") or not isinstance(symbol, str) or not symbol or not isinstance(time, str):
        return None
    if isinstance(price, bool | float):
        return None
    try:
        moment = datetime.fromisoformat(time)
        amount = None if price is None else Decimal(price)
    except (ValueError, TypeError, InvalidOperation):
        return None
    if moment.tzinfo is None or (amount is not None and (not amount.is_finite() or amount <= 0)):
        return None
    composed = ("composed", symbol, str(moment.timestamp()), str(body.get("order_id", "")), action)
    identity = ("id", str(body["id"])) if body.get("id") else composed
    return Told(identity, symbol, action, None if amount is None else Fraction(amount))


def floor(value: Fraction, grid: Decimal) -> Fraction:
    return value // Fraction(grid) * Fraction(grid)


def ceil(value: Fraction, grid: Decimal) -> Fraction:
    return -floor(-value, grid)


def to_cash(value: Fraction) -> Fraction:
    """Half-even to the cash quantum: what `round` does to a fraction."""
    return round(value / CASH_QUANTUM) * CASH_QUANTUM


def to_decimal(value: Fraction) -> Decimal:
    """Exact: every amount here is a multiple of a power of ten."""
    with localcontext(prec=80):
        decimal = Decimal(value.numerator) / Decimal(value.denominator)
    assert Fraction(decimal) == value
    return decimal
