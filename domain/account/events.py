"""What happens to an account: cash, positions, and the life of its orders.

Order events are fat: a policy or a projection needs nothing but the event. Amounts are quanta of the event's
instrument; cash and quote fees are quanta of its quote asset, base fees are size quanta.
"""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.account.limits import AccountMode, RiskLimits
from domain.market import Instrument
from domain.message import Event
from domain.values import Asset, Cash, Fee, InstrumentId, Price, Quantity, Side, Time

AccountKind = Literal["spot", "margin"]
OrderType = Literal["market", "limit", "stop", "stop_limit"]
Role = Literal["entry", "target", "close", "manual", "aggregate", "stop", "strategy"]
Liquidity = Literal["maker", "taker"]
TradingState = Literal["REDUCING", "HALTED"]
"""Why an account is not ACTIVE. In both nothing raises exposure, and what can only reduce it passes.

REDUCING lets what works and reduces go on; HALTED cancels it too, all but the orders that close.
"""
SessionBegin = Literal["day", "limits"]


class AccountOpened(Event, frozen=True, array_like=True, tag="account.opened.v1"):
    """An account exists. `spot` cannot sell what it does not hold; `margin` may be short, at a leverage of one."""

    account: str
    kind: AccountKind
    mode: AccountMode = "simulated"


class InstrumentListed(Event, frozen=True, array_like=True, tag="account.instrument_listed.v1"):
    """An instrument can be traded on this account.

    Fee rates are fractions of the notional; `slippage` is the fraction of the price that a simulated venue takes of
    market and stop orders.
    """

    account: str
    instrument: Instrument
    maker_fee: Decimal
    taker_fee: Decimal
    slippage: Decimal


class CashDeposited(Event, frozen=True, array_like=True, tag="account.cash_deposited.v1"):
    """A quote asset came in from outside."""

    account: str
    asset: Asset
    amount: Cash


class PositionDeposited(Event, frozen=True, array_like=True, tag="account.position_deposited.v1"):
    """A holding came in from outside, valued at `cost`; it belongs to no group."""

    account: str
    instrument: InstrumentId
    quantity: Quantity
    cost: Cash


class OrderIntended(Event, frozen=True, array_like=True, tag="account.order_intended.v1"):
    """An order is wanted. `order` counts from 1 per account; `reference` is the price that risk was judged at."""

    account: str
    order: int
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


class RiskPassed(Event, frozen=True, array_like=True, tag="account.risk_passed.v1"):
    """Every pre-trade rule let the order pass: the licence to send. `reserved` is the cash it holds back.

    `settings` is the version of the limits that it was held against; `at` the time of sending, where a window asks.
    """

    account: str
    order: int
    instrument: InstrumentId
    notional: Cash
    reserved: Cash
    settings: int = 0
    at: Time = Time(0)


class OrderDenied(Event, frozen=True, array_like=True, tag="account.order_denied.v1"):
    """A pre-trade rule refused the order; it was never sent. `reason` gives the numbers, `settings` the limits' version."""

    account: str
    order: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: InstrumentId
    quantity: Quantity
    code: str
    reason: str
    settings: int = 0


class OrderAccepted(Event, frozen=True, array_like=True, tag="account.order_accepted.v1"):
    """The venue has the order and calls it `venue_order`."""

    account: str
    order: int
    venue_order: str


class OrderRejected(Event, frozen=True, array_like=True, tag="account.order_rejected.v1"):
    """The venue refused the order for good."""

    account: str
    order: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: InstrumentId
    remaining: Quantity
    code: str
    reason: str


class OrderUnknown(Event, frozen=True, array_like=True, tag="account.order_unknown.v1"):
    """What became of a sent order is not known: new exposure on its instrument waits until it is."""

    account: str
    order: int
    instrument: InstrumentId
    reason: str


class OrderTriggered(Event, frozen=True, array_like=True, tag="account.order_triggered.v1"):
    """The stop of a stop-limit order was reached; it rests as a limit now."""

    account: str
    order: int


class OrderFilled(Event, frozen=True, array_like=True, tag="account.order_filled.v1"):
    """One fill.

    `cash` moved between quote and base, `received` is the position's change without its sign (`quantity` less a fee in
    the base asset), `remaining` is what is still to fill.
    """

    account: str
    order: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: InstrumentId
    side: Side
    price: Price
    quantity: Quantity
    cash: Cash
    received: Quantity
    fee: Fee
    fee_asset: Asset
    liquidity: Liquidity
    trade: str
    venue_at: Time
    remaining: Quantity


class Overfilled(Event, frozen=True, array_like=True, tag="account.overfilled.v1"):
    """The venue filled more than was ordered, by `excess`; follows the fill that did it."""

    account: str
    order: int
    instrument: InstrumentId
    excess: Quantity


class FillUnmatched(Event, frozen=True, array_like=True, tag="account.fill_unmatched.v1"):
    """The venue reports a fill of an order that ended too long ago to tell a repeat from a new one: not applied."""

    account: str
    order: int
    instrument: InstrumentId
    trade: str
    price: Price
    quantity: Quantity


class CancelRequested(Event, frozen=True, array_like=True, tag="account.cancel_requested.v1"):
    """A working order should go; it may still fill until the venue has answered."""

    account: str
    order: int
    reason: str


class CancelRejected(Event, frozen=True, array_like=True, tag="account.cancel_rejected.v1"):
    """The venue would not cancel; the order's own reports say what became of it."""

    account: str
    order: int
    reason: str


class OrderCanceled(Event, frozen=True, array_like=True, tag="account.order_canceled.v1"):
    """The order ended with `remaining` unfilled, and the filled quantities agree with the venue's."""

    account: str
    order: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: InstrumentId
    remaining: Quantity
    reason: str


class FillsMissing(Event, frozen=True, array_like=True, tag="account.fills_missing.v1"):
    """The venue ended the order with more filled than has been reported; it stays open until the fills arrive."""

    account: str
    order: int
    instrument: InstrumentId
    filled: Quantity
    reported: Quantity
    reason: str


class Holding(Struct, frozen=True, array_like=True):
    """What a bot, or "" nobody, holds when it is to be closed, on the step grid, and the last price of it."""

    bot: str
    instrument: InstrumentId
    quantity: Quantity
    mark: Price


class TradingHalted(Event, frozen=True, array_like=True, tag="account.trading_halted.v1"):
    """No order may raise exposure until trading is resumed: on the account, or of one bot where `bot` names it.

    `number` counts the halts of the account: who resumes says it. `flatten` is what must be closed because of it.
    """

    account: str
    bot: str
    reason: str
    state: TradingState = "HALTED"
    code: str = "KILL"
    number: int = 0
    flatten: tuple[Holding, ...] = ()


class TradingResumed(Event, frozen=True, array_like=True, tag="account.trading_resumed.v1"):
    """A halt is over. Losses count anew from `worth`: the account's equity, or the bot's result; None where unknown."""

    account: str
    bot: str
    number: int = 0
    worth: Cash | None = None


class RiskCommandRefused(Event, frozen=True, array_like=True, tag="account.risk_command_refused.v1"):
    """Somebody asked for limits that make no sense, or to resume without saying which halt."""

    account: str
    bot: str
    command: str
    code: str
    reason: str


class RiskLimitsSet(Event, frozen=True, array_like=True, tag="account.risk_limits_set.v1"):
    """These limits are in force from here on; versions count from 1."""

    account: str
    version: int
    limits: RiskLimits


class SessionStarted(Event, frozen=True, array_like=True, tag="account.session_started.v1"):
    """Losses count from here until `ends`: the account's equity, and each bot's result so far, in the limits' currency."""

    account: str
    at: Time
    because: SessionBegin
    equity: Cash
    bots: tuple[tuple[str, Cash], ...]
    ends: Time


class ReferencePriced(Event, frozen=True, array_like=True, tag="account.reference_priced.v1"):
    """A reference index stood at `price`, in quanta of 10^-8."""

    account: str
    index: str
    price: int


class AccountValued(Event, frozen=True, array_like=True, tag="account.valued.v1"):
    """Positions at the last prices seen, at a day's end or the tape's: (instrument, price) and equity per asset."""

    account: str
    marks: tuple[tuple[InstrumentId, Price], ...]
    equity: tuple[tuple[Asset, Cash], ...]
