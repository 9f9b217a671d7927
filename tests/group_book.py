"""The account and its resting orders at a naive venue, the fill rules `candle-v1`: what the groups' oracle trades on."""

from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle import Candle, Fill, Terms, to_cash, to_decimal


@dataclass
class Order:
    """An order that rests; `price` is its limit or stop, or what a market order was reckoned at.

    `paid` is what a leg whose target this is was bought at.
    """

    side: str
    type: str
    role: str
    price: Fraction
    quantity: Fraction
    pyramid: int = 0
    leg: int = 0
    paid: Fraction = Fraction(0)
    number: int = 0


@dataclass
class Book:
    """Only a spot account looks at its cash; of the denials, those of entries are told."""

    terms: Terms
    spot: bool
    cash: Fraction
    position: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    orders: list[Order] = field(default_factory=list)
    placed: int = 0
    fills: list[Fill] = field(default_factory=list)
    denials: list[str] = field(default_factory=list)

    def place(self, order: Order) -> bool:
        """False where the order was denied."""
        self.placed += 1
        order.number = self.placed
        denial = ""
        if not order.quantity or order.price * order.quantity < Fraction(self.terms.min_notional):
            denial = "precision"
        elif self.spot and order.side == "buy" and self.needs(order) > self.cash - self.held_back():
            denial = "buying_power"
        if denial and order.role == "entry":
            self.denials.append(denial)
        if not denial:
            self.orders.append(order)
        return not denial

    def keep(self, *roles: str) -> None:
        """Cancel all that is not of these roles."""
        self.orders = [order for order in self.orders if order.role in roles]

    def of(self, role: str) -> Order | None:
        return next((order for order in self.orders if order.role == role), None)

    def held_back(self, *, limits_only: bool = False) -> Fraction:
        buys = (order for order in self.orders if order.side == "buy" and not (limits_only and order.type == "market"))
        return sum((self.needs(order) for order in buys), Fraction(0))

    def needs(self, order: Order) -> Fraction:
        return to_cash(order.price * order.quantity) + self.fee(order, order.price)

    def fee(self, order: Order, price: Fraction) -> Fraction:
        rate = self.terms.maker_fee if order.type == "limit" else self.terms.taker_fee
        return to_cash(price * order.quantity * Fraction(rate))

    def met(self, candle: Candle, ranks: tuple[str, ...]) -> list[tuple[Order, Fraction]]:
        """What a candle fills and where, in order."""
        opened = Fraction(candle.open)
        met = [(order, price) for order in self.orders if (price := fill_price(order, candle)) is not None]
        return sorted(met, key=lambda m: (ranks.index(m[0].type), abs(m[1] - opened), m[0].number))

    def settle(self, at: int, order: Order, price: Fraction) -> bool:
        """False where a market order's price turned out to be more than there is."""
        self.orders.remove(order)
        cash, fee = to_cash(price * order.quantity), self.fee(order, price)
        needs_cash = self.spot and order.side == "buy" and order.type == "market"
        if needs_cash and cash + fee > self.cash - self.held_back(limits_only=True):
            self.denials.append("buying_power")
            return False
        sign = 1 if order.side == "buy" else -1
        self.cash -= sign * cash + fee
        self.fees += fee
        self.position += sign * order.quantity
        self.fills.append(Fill(at, order.side, to_decimal(price), to_decimal(order.quantity), to_decimal(fee)))
        return True


def fill_price(order: Order, candle: Candle) -> Fraction | None:
    """A price that the candle reaches from above is met by its low: of a buy limit and of a sell stop."""
    opened = Fraction(candle.open)
    if order.type == "market":
        return opened
    if (order.side == "buy") == (order.type == "limit"):
        return min(order.price, opened) if Fraction(candle.low) <= order.price else None
    return max(order.price, opened) if Fraction(candle.high) >= order.price else None
