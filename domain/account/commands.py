"""What an account is asked to do, and what venues report to it."""

from decimal import Decimal

from domain.account.events import AccountKind, Liquidity, OrderType, Role, TradingState
from domain.account.limits import AccountMode, RiskLimits
from domain.market import Instrument
from domain.message import Command, Fact
from domain.values import Asset, Cash, Fee, InstrumentId, Price, Quantity, Side, Time


class OpenAccount(Command, frozen=True, array_like=True):
    """Open an account."""

    account: str
    kind: AccountKind = "spot"
    mode: AccountMode = "simulated"


class ListInstrument(Command, frozen=True, array_like=True):
    """Make an instrument tradable; fee rates are fractions of the notional."""

    account: str
    instrument: Instrument
    maker_fee: Decimal
    taker_fee: Decimal
    slippage: Decimal = Decimal(0)


class DepositCash(Command, frozen=True, array_like=True):
    """Bring in a quote asset."""

    account: str
    asset: Asset
    amount: Cash


class DepositPosition(Command, frozen=True, array_like=True):
    """Bring in a holding of an instrument's base asset, valued at `cost`."""

    account: str
    instrument: InstrumentId
    quantity: Quantity
    cost: Cash


class PlaceOrder(Command, frozen=True, array_like=True):
    """Judge an order and, if it passes, send it. `reference` is the price to judge a market order at."""

    account: str
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
    reference: Price
    reduce_only: bool


class CancelOrders(Command, frozen=True, array_like=True):
    """Cancel what works for a group in these roles; of these legs only, where they are named."""

    account: str
    bot: str
    group: int
    roles: tuple[Role, ...]
    reason: str
    legs: tuple[int, ...] | None = None


class CancelOrderById(Command, frozen=True, array_like=True):
    """Cancel one order by hand."""

    account: str
    order: int
    reason: str


class HaltTrading(Command, frozen=True, array_like=True):
    """Let nothing raise exposure: of one bot where `bot` names it, else of the account.

    HALTED kills: all that works is cancelled but what closes. REDUCING cancels only what would raise exposure.
    """

    account: str
    bot: str
    reason: str
    state: TradingState = "HALTED"


class ResumeTrading(Command, frozen=True, array_like=True):
    """End a halt, said by its number; one that a person made (code KILL) needs none."""

    account: str
    bot: str
    halt: int = 0


class SetRiskLimits(Command, frozen=True, array_like=True):
    """Put limits in force, all of them at once."""

    account: str
    limits: RiskLimits


class ReviewRisk(Command, frozen=True, array_like=True):
    """Hold the account against its limits on losses at the last prices seen. It says nothing where nothing is wrong."""

    account: str


class RecordReference(Command, frozen=True, array_like=True):
    """A price of the index that the volatility breaker watches, in quanta of 10^-8."""

    account: str
    index: str
    price: int


class ValueAccount(Command, frozen=True, array_like=True):
    """Put a value on the account at the last prices seen."""

    account: str
    marks: dict[InstrumentId, Price]


class AcceptReported(Fact, frozen=True, array_like=True):
    """The venue has the order."""

    account: str
    order: int
    venue_order: str


class RejectReported(Fact, frozen=True, array_like=True):
    """The venue refused the order, or never had it, for good."""

    account: str
    order: int
    code: str
    reason: str


class UnknownReported(Fact, frozen=True, array_like=True):
    """The order was sent and no definite answer came."""

    account: str
    order: int
    reason: str


class TriggerReported(Fact, frozen=True, array_like=True):
    """A stop-limit order rests as a limit now."""

    account: str
    order: int


class FillReported(Fact, frozen=True, array_like=True):
    """One trade of an order."""

    account: str
    order: int
    instrument: InstrumentId
    trade: str
    price: Price
    quantity: Quantity
    fee: Fee
    fee_asset: Asset
    liquidity: Liquidity
    venue_at: Time


class CancelReported(Fact, frozen=True, array_like=True):
    """The venue ended the order, with `filled` filled by its count."""

    account: str
    order: int
    filled: Quantity
    reason: str


class CancelRejectReported(Fact, frozen=True, array_like=True):
    """The venue would not cancel."""

    account: str
    order: int
    reason: str
