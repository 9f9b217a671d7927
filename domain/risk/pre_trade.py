"""Pre-trade rules, in the order in which they are asked; the first that objects denies the order.

A rule returns a denial (code, reason with the numbers) or None. A rule that fails to run denies.
"""

from collections.abc import Callable

from domain.account.events import OrderDenied, OrderIntended, RiskPassed
from domain.account.state import AccountState, Listing
from domain.values import LARGEST, Cash, divide_half_even, ratio

Denial = tuple[str, str]
Rule = Callable[[AccountState, Listing, OrderIntended], Denial | None]

SMALL = frozenset({"QUANTITY_BELOW_STEP", "NOTIONAL_BELOW_MINIMUM"})
"""The codes that say an order is too small ever to be placed."""


def judge(state: AccountState, order: OrderIntended) -> RiskPassed | OrderDenied:
    """Ask every rule; the verdict is part of the decision that intends the order."""
    listing = state.listings.get(order.instrument)
    if listing is None:
        return _denied(order, ("INSTRUMENT_UNKNOWN", f"instrument={order.instrument}"))
    for rule in RULES:
        try:
            denial = rule(state, listing, order)
        except Exception as error:  # noqa: BLE001  (whatever went wrong, an order that was not judged is not sent)
            return _denied(order, ("RISK_CHECK_FAILED", f"rule={rule.__name__}, error={error}"))
        if denial is not None:
            return _denied(order, denial)
    notional = listing.instrument.notional(price_at_risk(order), order.quantity)
    return RiskPassed(order.account, order.order, order.instrument, notional, Cash(cash_needed(state, listing, order)))


def price_at_risk(order: OrderIntended) -> int:
    """The price an order is judged at, in price quanta: its limit, else its stop, else the reference."""
    if order.limit is not None:
        return order.limit
    return order.stop if order.stop is not None else order.reference


def cash_needed(state: AccountState, listing: Listing, order: OrderIntended) -> int:
    """Cash quanta an order holds back: notional and fee of what opens exposure, nothing for what closes it.

    A resting limit pays the maker's fee, anything else the taker's; a fee in the base asset holds back no cash.
    """
    instrument = listing.instrument
    if state.closes(order.side, reduce_only=order.reduce_only):
        return 0
    notional = instrument.notional(price_at_risk(order), order.quantity)
    if instrument.fee_asset == "base" and order.side == "buy":
        return notional
    rate = listing.maker_fee if order.type == "limit" else listing.taker_fee
    numerator, denominator = ratio(rate)
    return notional + divide_half_even(notional * numerator, denominator)


def on_step(_state: AccountState, listing: Listing, order: OrderIntended) -> Denial | None:
    """The quantity is a positive multiple of the step."""
    instrument = listing.instrument
    if order.quantity < instrument.step:
        size, step = instrument.size_text(order.quantity), instrument.size_text(instrument.step)
        return "QUANTITY_BELOW_STEP", f"quantity={size}, step={step}"
    if order.quantity % instrument.step:
        size, step = instrument.size_text(order.quantity), instrument.size_text(instrument.step)
        return "QUANTITY_OFF_STEP", f"quantity={size}, step={step}"
    return None


def on_tick(_state: AccountState, listing: Listing, order: OrderIntended) -> Denial | None:
    """Every price the order names is a positive multiple of the tick."""
    instrument = listing.instrument
    for name, price in (("limit", order.limit), ("stop", order.stop)):
        if price is not None and (price <= 0 or price % instrument.tick):
            text = f"{name}={instrument.price_text(price)}, tick={instrument.price_text(instrument.tick)}"
            return "PRICE_OFF_TICK", text
    if order.type != "market" and order.limit is None and order.stop is None:
        return "PRICE_MISSING", f"type={order.type}"
    return None


def above_minimum(_state: AccountState, listing: Listing, order: OrderIntended) -> Denial | None:
    """The notional reaches the venue's minimum."""
    instrument = listing.instrument
    notional = instrument.notional(price_at_risk(order), order.quantity)
    if notional > LARGEST:
        return "NOTIONAL_TOO_LARGE", f"notional={instrument.cash_text(notional)}"
    if notional < instrument.minimum_notional:
        minimum = instrument.cash_text(instrument.minimum_notional)
        return "NOTIONAL_BELOW_MINIMUM", f"notional={instrument.cash_text(notional)}, minimum={minimum}"
    return None


def not_halted(state: AccountState, _listing: Listing, order: OrderIntended) -> Denial | None:
    """While trading is halted nothing raises exposure; what reduces it passes."""
    scope = next((scope for scope in ("", order.bot) if scope in state.halted), None)
    if scope is None or state.closes(order.side, reduce_only=order.reduce_only):
        return None
    return "TRADING_HALTED", f"scope={scope or 'account'}"


def nothing_unknown(state: AccountState, _listing: Listing, order: OrderIntended) -> Denial | None:
    """No new exposure on an instrument while an order of it is UNKNOWN."""
    if state.unknown.get(order.instrument) and not state.reduces(order.instrument, order.side):
        return "ORDER_UNKNOWN", f"instrument={order.instrument}, orders={state.unknown[order.instrument]}"
    return None


def reduces_only(state: AccountState, listing: Listing, order: OrderIntended) -> Denial | None:
    """A reduce-only order, or any sale on a spot account, takes no more than what is held and free."""
    if not state.closes(order.side, reduce_only=order.reduce_only):
        return None
    free = state.free_position(order.instrument) if state.reduces(order.instrument, order.side) else 0
    if order.quantity > free:
        size = listing.instrument.size_text
        return "POSITION_INSUFFICIENT", f"quantity={size(order.quantity)}, free={size(free)}"
    return None


def affordable(state: AccountState, listing: Listing, order: OrderIntended) -> Denial | None:
    """The cash that the order would hold back is there."""
    needed = cash_needed(state, listing, order)
    if not needed:
        return None
    free = state.buying_power(listing.instrument.quote)
    if needed > free:
        cash = listing.instrument.cash_text
        return "BALANCE_INSUFFICIENT", f"needed={cash(needed)}, free={cash(free)}"
    return None


RULES: tuple[Rule, ...] = (not_halted, on_step, on_tick, above_minimum, nothing_unknown, reduces_only, affordable)


def _denied(order: OrderIntended, denial: Denial) -> OrderDenied:
    code, reason = denial
    return OrderDenied(
        order.account, order.order, order.bot, order.group, order.leg, order.role, order.instrument, order.quantity,
        code, reason,
    )  # fmt: skip
