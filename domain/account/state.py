"""The account's state: what `decide` reads and `evolve` keeps."""

from collections import OrderedDict, deque
from decimal import Decimal
from typing import Literal

from msgspec import Struct, field

from domain.account.events import AccountKind, OrderType, Role, TradingState
from domain.account.limits import NO_LIMITS, AccountMode, RiskLimits
from domain.market import Instrument
from domain.values import Asset, Cash, InstrumentId, Price, Quantity, Side, Time

Status = Literal["INITIALIZED", "SUBMITTED", "ACCEPTED", "PARTIALLY_FILLED", "PENDING_CANCEL", "UNKNOWN", "ENDED"]

ENDED_KEPT = 1024
"""How many ended orders an account remembers, to know a repeated fill from a late one."""


class Listing(Struct, frozen=True):
    """A tradable instrument with what trading it costs the account.

    `factor` makes cash quanta of price x quantity; 0 where these must be rounded.
    """

    instrument: Instrument
    maker_fee: Decimal
    taker_fee: Decimal
    slippage: Decimal
    factor: int = 0

    def notional(self, price: int, quantity: int) -> Cash:
        """As `Instrument.notional`."""
        return Cash(price * quantity * self.factor) if self.factor else self.instrument.notional(price, quantity)


class Order(Struct, frozen=True, gc=False):
    """An order of the account, from its intent to its end.

    `reserved` is the cash and `held_back` the quantity it keeps from other orders; `venue_filled` is what the venue
    says was filled when it ended the order, where that is more than has been reported.
    """

    id: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: InstrumentId
    side: Side
    type: OrderType
    quantity: Quantity
    limit: Price | None
    stop: Price | None
    reduce_only: bool
    status: Status = "INITIALIZED"
    filled: int = 0
    reserved: int = 0
    held_back: int = 0
    cancel_wanted: bool = False
    triggered: bool = False
    venue_order: str | None = None
    venue_filled: int | None = None
    ended_as: str = ""
    trades: tuple[str, ...] = ()

    @property
    def bracket(self) -> str:
        """What a group's stop, its targets and a close of a part have in common: where the stop fills, the rest goes."""
        closes = self.reduce_only and self.role in {"stop", "target", "aggregate", "close"}
        return f"{self.bot}/{self.group}" if closes and self.bot else ""


class Halt(Struct, frozen=True):
    """Why nothing may raise exposure, and the number that ends it."""

    number: int
    state: TradingState
    code: str


class Book(Struct, frozen=True, gc=False):
    """What a bot has of an instrument: its fills' sum, their cash flow so far, and what that was when it was last flat."""

    quantity: int = 0
    cash: int = 0
    cash_flat: int = 0


class Session(Struct, frozen=True):
    """What losses count from: the account's equity, and the bots' results, in cash quanta of the limits' currency."""

    at: Time
    equity: int
    bots: dict[str, int]


Sent = tuple[Time, InstrumentId, Side, OrderType, int, Price | None, Price | None, str]
"""A sent order: (at, instrument, side, type, quantity, limit, stop, bot)."""


class AccountState(Struct):
    """Cash, positions and open orders. Its collections change through the folds only.

    `reserved` is cash held back by open orders, `held_back` the part of a position held back by orders that reduce
    it, `short_basis` the proceeds of what is short, `unknown` how many orders of an instrument are UNKNOWN.
    `halted` names the bots that may not raise exposure, "" the whole account. `stirred` says that something moved since
    the last valuation. `watched` says that the limits may stop trading by themselves. `books` are by bot ("" is nobody) and instrument; `losses` counts a bot's losing round trips in a
    row, `lost_at` is when it last made one. `peak` is the highest equity seen when the account was valued. `sent` are
    orders within the limits' windows, `references` the last prices of the breaker's index.
    """

    account: str = ""
    kind: AccountKind = "spot"
    mode: AccountMode = "simulated"
    listings: dict[InstrumentId, Listing] = field(default_factory=dict)
    cash: dict[Asset, int] = field(default_factory=dict)
    reserved: dict[Asset, int] = field(default_factory=dict)
    positions: dict[InstrumentId, int] = field(default_factory=dict)
    held_back: dict[InstrumentId, int] = field(default_factory=dict)
    short_basis: dict[InstrumentId, int] = field(default_factory=dict)
    unknown: dict[InstrumentId, int] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    ended: OrderedDict[int, Order] = field(default_factory=OrderedDict)
    halted: dict[str, Halt] = field(default_factory=dict)
    halts: int = 0
    orders_placed: int = 0
    stirred: bool = False
    limits: RiskLimits = NO_LIMITS
    limits_version: int = 0
    watched: bool = False
    books: dict[tuple[str, InstrumentId], Book] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    lost_at: dict[str, Time] = field(default_factory=dict)
    session: Session | None = None
    peak: int | None = None
    sent: deque[Sent] = field(default_factory=deque)
    references: tuple[int, ...] = ()

    def reduces(self, instrument: InstrumentId, side: Side) -> bool:
        """Whether an order on this side would make the position smaller."""
        position = self.positions.get(instrument, 0)
        return position > 0 if side == "sell" else position < 0

    def closes(self, side: Side, *, reduce_only: bool) -> bool:
        """Whether an order can only make the position smaller: reduce-only, or any sale on a spot account."""
        return reduce_only or (side == "sell" and self.kind == "spot")

    def buying_power(self, quote: Asset) -> int:
        """Cash quanta of the quote asset that a new order may use.

        Cash less what orders hold back, and less twice the proceeds of what is short: once because they are owed, once
        as the position's own weight.
        """
        free = self.cash.get(quote, 0) - self.reserved.get(quote, 0)
        if self.short_basis:
            for instrument, basis in self.short_basis.items():
                if self.listings[instrument].instrument.quote == quote:
                    free -= 2 * basis
        return free
