"""Pre-trade rules, in the order in which they are asked; the first that objects denies the order.

A rule returns a denial (code, reason with the numbers) or None. A rule that fails to run denies. The rules here always
stand; those of `limits` and `exposure` are asked where the account's settings ask for them.
"""

from collections.abc import Callable
from functools import lru_cache

from domain.account.events import OrderDenied, OrderIntended, RiskPassed
from domain.account.limits import RiskLimits
from domain.account.state import AccountState
from domain.decider import Now
from domain.market import Instrument
from domain.risk.exposure import EXPOSURE_RULES
from domain.risk.limits import CLOSING_RULES, ORDER_RULES
from domain.risk.worth import Denial, Rule, Worth, worth_of
from domain.values import LARGEST, Time

SMALL = frozenset({"QUANTITY_BELOW_STEP", "NOTIONAL_BELOW_MINIMUM"})
"""The codes that say an order is too small ever to be placed."""


def judge(state: AccountState, order: OrderIntended, now: Now) -> RiskPassed | OrderDenied:
    """Ask every rule; the verdict is part of the decision that intends the order."""
    listing = state.listings.get(order.instrument)
    if listing is None:
        return _denied(state, order, ("INSTRUMENT_UNKNOWN", f"instrument={order.instrument}"))
    rule: Callable[..., object] = worth_of
    try:
        worth = worth_of(state, listing, order, now)
        rules = RULES
        if state.limits_version:
            rule = active_rules
            rules = active_rules(state.limits, worth.closes)
        for rule in rules:
            if (denial := rule(state, worth, order)) is not None:
                return _denied(state, order, denial)
    except Exception as error:  # noqa: BLE001  (whatever went wrong, an order that was not judged is not sent)
        return _denied(state, order, ("RISK_CHECK_FAILED", f"rule={rule.__name__}, error={error}"))
    if not state.limits_version:
        return RiskPassed(order.account, order.order, order.instrument, worth.notional, worth.held_back)
    at = now.at if state.limits.window_seconds else Time(0)
    return RiskPassed(
        order.account, order.order, order.instrument, worth.notional, worth.held_back, state.limits_version, at
    )


def well_formed(_state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """Quantity and prices are positive multiples of step and tick, and the notional reaches the venue's minimum."""
    instrument, quantity = worth.listing.instrument, order.quantity
    if quantity < instrument.step or quantity % instrument.step:
        return _off_step(instrument, quantity)
    limit, stop = order.limit, order.stop
    if limit is not None and (limit <= 0 or limit % instrument.tick):
        return _off_tick("limit", limit, instrument)
    if stop is not None and (stop <= 0 or stop % instrument.tick):
        return _off_tick("stop", stop, instrument)
    if limit is None and stop is None and order.type != "market":
        return "PRICE_MISSING", f"type={order.type}"
    if not instrument.minimum_notional <= worth.notional <= LARGEST:
        return _out_of_bounds(instrument, worth.notional)
    return None


def _off_step(instrument: Instrument, quantity: int) -> Denial:
    code = "QUANTITY_BELOW_STEP" if quantity < instrument.step else "QUANTITY_OFF_STEP"
    return code, f"quantity={instrument.size_text(quantity)}, step={instrument.size_text(instrument.step)}"


def _off_tick(name: str, price: int, instrument: Instrument) -> Denial:
    return "PRICE_OFF_TICK", f"{name}={instrument.price_text(price)}, tick={instrument.price_text(instrument.tick)}"


def _out_of_bounds(instrument: Instrument, notional: int) -> Denial:
    said = f"notional={instrument.cash_text(notional)}"
    if notional > LARGEST:
        return "NOTIONAL_TOO_LARGE", said
    return "NOTIONAL_BELOW_MINIMUM", f"{said}, minimum={instrument.cash_text(instrument.minimum_notional)}"


def not_halted(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """While trading is halted, or only reducing, nothing raises exposure; what can only reduce it passes."""
    if not state.halted:
        return None
    scope = next((scope for scope in ("", order.bot) if scope in state.halted), None)
    if scope is None or worth.closes:
        return None
    halt = state.halted[scope]
    code = "TRADING_HALTED" if halt.state == "HALTED" else "TRADING_REDUCING"
    return code, f"scope={scope or 'account'}, halt={halt.number}, because={halt.code}"


def nothing_unknown(state: AccountState, _worth: Worth, order: OrderIntended) -> Denial | None:
    """No new exposure on an instrument while an order of it is UNKNOWN."""
    if state.unknown.get(order.instrument) and not state.reduces(order.instrument, order.side):
        return "ORDER_UNKNOWN", f"instrument={order.instrument}, orders={state.unknown[order.instrument]}"
    return None


def within_means(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """What closes takes no more than is held and free; for what opens, the cash that it would hold back is there."""
    if worth.closes:
        return _beyond_position(state, worth, order)
    needed = worth.held_back
    free = state.buying_power(worth.listing.instrument.quote)
    if needed <= free or not needed:
        return None
    cash = worth.listing.instrument.cash_text
    return "BALANCE_INSUFFICIENT", f"needed={cash(needed)}, free={cash(free)}"


def _beyond_position(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """A reduce-only order, or any sale on a spot account, takes no more than what is held and free.

    A group's stop covers what its targets hold back: the venue cancels them when it fills.
    """
    name, free = order.instrument, 0
    held = state.positions.get(name, 0)
    if order.side == "buy":
        held = -held
    if held > 0:
        free = held if order.role == "stop" else held - state.held_back.get(name, 0)
    if order.quantity <= free:
        return None
    size = worth.listing.instrument.size_text
    return "POSITION_INSUFFICIENT", f"quantity={size(order.quantity)}, free={size(max(0, free))}"


RULES: tuple[Rule, ...] = (not_halted, well_formed, nothing_unknown, within_means)


@lru_cache(maxsize=256)
def active_rules(limits: RiskLimits, closes: bool) -> tuple[Rule, ...]:  # noqa: FBT001  (the cache's key)
    """What is asked under these limits: of an order that closes, only what does not keep anybody from getting out."""
    limited = CLOSING_RULES if closes else (*ORDER_RULES, *EXPOSURE_RULES)
    asked = tuple(rule for wanted, rule in limited if wanted(limits))
    return (*RULES[:-1], *asked, *RULES[-1:])


def _denied(state: AccountState, order: OrderIntended, denial: Denial) -> OrderDenied:
    code, reason = denial
    return OrderDenied(
        order.account, order.order, order.bot, order.group, order.leg, order.role, order.instrument, order.quantity,
        code, reason, state.limits_version,
    )  # fmt: skip
