"""Pre-trade rules, in the order in which they are asked; the first that objects denies the order.

A rule returns a denial (code, reason with the numbers) or None. A rule that fails to run denies.
"""

from collections.abc import Callable

from msgspec import Struct

from domain.account.events import OrderDenied, OrderIntended, RiskPassed
from domain.account.state import AccountState, Listing
from domain.values import LARGEST, Cash, divide_half_even, ratio


class Worth(Struct, frozen=True):
    """An order in cash quanta, by its listing: its notional at the price it is judged at, and what it holds back."""

    listing: Listing
    notional: Cash
    held_back: Cash


Denial = tuple[str, str]
Rule = Callable[[AccountState, Worth, OrderIntended], Denial | None]

SMALL = frozenset({"QUANTITY_BELOW_STEP", "NOTIONAL_BELOW_MINIMUM"})
"""The codes that say an order is too small ever to be placed."""


def judge(state: AccountState, order: OrderIntended) -> RiskPassed | OrderDenied:
    """Ask every rule; the verdict is part of the decision that intends the order."""
    listing = state.listings.get(order.instrument)
    if listing is None:
        return _denied(order, ("INSTRUMENT_UNKNOWN", f"instrument={order.instrument}"))
    asked: Callable[..., object] = worth_of
    try:
        worth = worth_of(state, listing, order)
        for rule in RULES:
            asked = rule
            denial = rule(state, worth, order)
            if denial is not None:
                return _denied(order, denial)
    except Exception as error:  # noqa: BLE001  (whatever went wrong, an order that was not judged is not sent)
        return _denied(order, ("RISK_CHECK_FAILED", f"rule={asked.__name__}, error={error}"))
    return RiskPassed(order.account, order.order, order.instrument, worth.notional, worth.held_back)


def price_at_risk(order: OrderIntended) -> int:
    """The price an order is judged at, in price quanta: its limit, else its stop, else the reference."""
    if order.limit is not None:
        return order.limit
    return order.stop if order.stop is not None else order.reference


def worth_of(state: AccountState, listing: Listing, order: OrderIntended) -> Worth:
    """What opens exposure holds back its notional and fee, what closes it nothing.

    A resting limit pays the maker's fee, anything else the taker's; a fee in the base asset holds back no cash.
    """
    instrument = listing.instrument
    notional = instrument.notional(price_at_risk(order), order.quantity)
    if state.closes(order.side, reduce_only=order.reduce_only):
        return Worth(listing, notional, Cash(0))
    if instrument.fee_asset == "base" and order.side == "buy":
        return Worth(listing, notional, notional)
    rate = listing.maker_fee if order.type == "limit" else listing.taker_fee
    numerator, denominator = ratio(rate)
    return Worth(listing, notional, Cash(notional + divide_half_even(notional * numerator, denominator)))


def on_step(_state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The quantity is a positive multiple of the step."""
    instrument = worth.listing.instrument
    if order.quantity < instrument.step:
        size, step = instrument.size_text(order.quantity), instrument.size_text(instrument.step)
        return "QUANTITY_BELOW_STEP", f"quantity={size}, step={step}"
    if order.quantity % instrument.step:
        size, step = instrument.size_text(order.quantity), instrument.size_text(instrument.step)
        return "QUANTITY_OFF_STEP", f"quantity={size}, step={step}"
    return None


def on_tick(_state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """Every price the order names is a positive multiple of the tick."""
    instrument = worth.listing.instrument
    for name, price in (("limit", order.limit), ("stop", order.stop)):
        if price is not None and (price <= 0 or price % instrument.tick):
            text = f"{name}={instrument.price_text(price)}, tick={instrument.price_text(instrument.tick)}"
            return "PRICE_OFF_TICK", text
    if order.type != "market" and order.limit is None and order.stop is None:
        return "PRICE_MISSING", f"type={order.type}"
    return None


def above_minimum(_state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The notional reaches the venue's minimum."""
    instrument = worth.listing.instrument
    notional = worth.notional
    if notional > LARGEST:
        return "NOTIONAL_TOO_LARGE", f"notional={instrument.cash_text(notional)}"
    if notional < instrument.minimum_notional:
        minimum = instrument.cash_text(instrument.minimum_notional)
        return "NOTIONAL_BELOW_MINIMUM", f"notional={instrument.cash_text(notional)}, minimum={minimum}"
    return None


def not_halted(state: AccountState, _worth: Worth, order: OrderIntended) -> Denial | None:
    """While trading is halted nothing raises exposure; what reduces it passes."""
    if not state.halted:
        return None
    scope = next((scope for scope in ("", order.bot) if scope in state.halted), None)
    if scope is None or state.closes(order.side, reduce_only=order.reduce_only):
        return None
    return "TRADING_HALTED", f"scope={scope or 'account'}"


def nothing_unknown(state: AccountState, _worth: Worth, order: OrderIntended) -> Denial | None:
    """No new exposure on an instrument while an order of it is UNKNOWN."""
    if state.unknown.get(order.instrument) and not state.reduces(order.instrument, order.side):
        return "ORDER_UNKNOWN", f"instrument={order.instrument}, orders={state.unknown[order.instrument]}"
    return None


def reduces_only(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """A reduce-only order, or any sale on a spot account, takes no more than what is held and free."""
    if not state.closes(order.side, reduce_only=order.reduce_only):
        return None
    free = state.free_position(order.instrument) if state.reduces(order.instrument, order.side) else 0
    if order.quantity > free:
        size = worth.listing.instrument.size_text
        return "POSITION_INSUFFICIENT", f"quantity={size(order.quantity)}, free={size(free)}"
    return None


def affordable(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The cash that the order would hold back is there."""
    if not worth.held_back:
        return None
    free = state.buying_power(worth.listing.instrument.quote)
    if worth.held_back > free:
        cash = worth.listing.instrument.cash_text
        return "BALANCE_INSUFFICIENT", f"needed={cash(worth.held_back)}, free={cash(free)}"
    return None


RULES: tuple[Rule, ...] = (not_halted, on_step, on_tick, above_minimum, nothing_unknown, reduces_only, affordable)


def _denied(order: OrderIntended, denial: Denial) -> OrderDenied:
    code, reason = denial
    return OrderDenied(
        order.account, order.order, order.bot, order.group, order.leg, order.role, order.instrument, order.quantity,
        code, reason,
    )  # fmt: skip
