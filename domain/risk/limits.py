"""Limits on single orders and on how they follow each other; each is asked only where it is set.

Of an order that closes only its mode and its price are asked: a limit must not keep anybody from getting out.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from domain.account.events import OrderIntended
from domain.account.limits import InstrumentLimits, RiskLimits
from domain.account.state import AccountState
from domain.risk.worth import Denial, Rule, Worth, price_at_risk
from domain.values import SECOND, Asset, InstrumentId, cash_scale, decimal_text, floor_quanta, ratio

Wanted = Callable[[RiskLimits], object]
Limited = tuple[Wanted, Rule]
"""Whether a rule is asked under these limits, and the rule."""


@lru_cache(maxsize=4096)
def quanta(amount: Decimal, scale: int) -> int:
    """An amount of the limits in quanta; a finer one counts as the next below."""
    return floor_quanta(amount, scale)


def in_quanta(amount: Decimal | None, currency: Asset | None) -> int:
    """A set amount of the currency in its cash quanta."""
    assert amount is not None, "a limit that is not set is not asked"
    assert currency is not None, "amounts have a currency"
    return quanta(amount, cash_scale(currency))


def cash_text(cash: int, currency: Asset | None) -> str:
    """An amount of the currency as text."""
    return decimal_text(cash, cash_scale(currency or ""))


def of_instrument(limits: RiskLimits, instrument: InstrumentId) -> InstrumentLimits | None:
    return next((each for each in limits.instruments if each.instrument == instrument), None)


def in_mode(state: AccountState, _worth: Worth, order: OrderIntended) -> Denial | None:
    """The account's mode is one in which orders may be sent."""
    modes = state.limits.modes or ()
    if state.mode in modes:
        return None
    return "MODE_NOT_ALLOWED", f"mode={state.mode}, allowed={'|'.join(modes)}"


def tradable(state: AccountState, _worth: Worth, order: OrderIntended) -> Denial | None:
    """The instrument is not taken out of trading."""
    own = of_instrument(state.limits, order.instrument)
    if own is None or own.tradable:
        return None
    return "INSTRUMENT_NOT_TRADABLE", f"instrument={order.instrument}"


def in_currency(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """What the limits count in is what the order is paid in: anything else could not be compared."""
    quote, currency = worth.listing.instrument.quote, state.limits.currency
    if quote == currency:
        return None
    return "CURRENCY_DIFFERENT", f"quote={quote}, currency={currency}"


def within_notional(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    most = in_quanta(state.limits.order_notional_max, state.limits.currency)
    if worth.notional <= most:
        return None
    text = worth.listing.instrument.cash_text
    return "ORDER_NOTIONAL", f"notional={text(worth.notional)}, limit={text(most)}"


def within_quantity(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    own = of_instrument(state.limits, order.instrument)
    if own is None or own.order_quantity_max is None:
        return None
    instrument = worth.listing.instrument
    most = quanta(own.order_quantity_max, instrument.size_scale)
    if order.quantity <= most:
        return None
    return "ORDER_QUANTITY", f"quantity={instrument.size_text(order.quantity)}, limit={instrument.size_text(most)}"


def near_mark(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The price is within so many percent of the last one, on either side.

    A closing order at the market names no price and passes; so does any closing order while no price is known.
    """
    named = order.limit is not None or order.stop is not None
    mark = worth.now.marks.get(order.instrument)
    if worth.closes and (mark is None or not named):
        return None
    if mark is None:
        return "MARK_UNKNOWN", f"instrument={order.instrument}"
    collar = state.limits.price_collar_pct
    assert collar is not None, "a limit that is not set is not asked"
    numerator, denominator = ratio(collar)
    price = price_at_risk(order)
    if abs(price - mark) * 100 * denominator <= numerator * mark:
        return None
    text = worth.listing.instrument.price_text
    return "PRICE_COLLAR", f"price={text(price)}, mark={text(mark)}, limit={collar:f}%"


def few_open(state: AccountState, _worth: Worth, order: OrderIntended) -> Denial | None:
    most = state.limits.open_orders_max
    assert most is not None, "a limit that is not set is not asked"
    count = len(state.orders)
    return None if count < most else ("OPEN_ORDERS", f"open={count}, limit={most}")


def within_rate(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """Fewer orders than the limit were sent within the window that ends now."""
    most, seconds = state.limits.orders_max, state.limits.orders_window_seconds
    assert most is not None, "a limit that is not set is not asked"
    begin = worth.now.at - seconds * SECOND
    count = sum(sent[0] > begin for sent in state.sent)
    return None if count < most else ("ORDER_RATE", f"sent={count}, limit={most}, seconds={seconds}")


def not_again(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The same order was not sent within the window: instrument, side, type, quantity, prices and bot."""
    seconds = state.limits.duplicate_window_seconds
    assert seconds is not None, "a limit that is not set is not asked"
    begin = worth.now.at - seconds * SECOND
    key = (order.instrument, order.side, order.type, order.quantity, order.limit, order.stop, order.bot)
    last = next((sent[0] for sent in reversed(state.sent) if sent[0] > begin and sent[1:] == key), None)
    if last is None:
        return None
    return "ORDER_DUPLICATE", f"microseconds={worth.now.at - last}, limit={seconds * SECOND}"


def cooled_down(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The bot's last loss is long enough ago."""
    seconds, lost = state.limits.cooldown_seconds, state.lost_at.get(order.bot)
    assert seconds is not None, "a limit that is not set is not asked"
    if lost is None or worth.now.at - lost >= seconds * SECOND:
        return None
    return "COOLDOWN", f"bot={order.bot}, microseconds={worth.now.at - lost}, limit={seconds * SECOND}"


def outside_events(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """No event of the calendar is on."""
    at = worth.now.at
    window = next((each for each in state.limits.event_windows if each.start <= at < each.end), None)
    if window is None:
        return None
    return "EVENT_WINDOW", f"event={window.name}, at={at}, start={window.start}, end={window.end}"


def valued(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """Where losses are limited, it is known what they count from."""
    if state.session is not None:
        return None
    return "EQUITY_UNKNOWN", f"currency={state.limits.currency}"


_MODE: Limited = (lambda limits: limits.modes is not None, in_mode)
_COLLAR: Limited = (lambda limits: limits.price_collar_pct is not None, near_mark)

ORDER_RULES: tuple[Limited, ...] = (
    _MODE,
    (lambda limits: any(not each.tradable for each in limits.instruments), tradable),
    (lambda limits: limits.event_windows, outside_events),
    (lambda limits: limits.cooldown_seconds is not None, cooled_down),
    (lambda limits: limits.limits_losses, valued),
    (lambda limits: limits.currency is not None, in_currency),
    (lambda limits: limits.order_notional_max is not None, within_notional),
    (lambda limits: any(each.order_quantity_max is not None for each in limits.instruments), within_quantity),
    _COLLAR,
    (lambda limits: limits.open_orders_max is not None, few_open),
    (lambda limits: limits.orders_max is not None, within_rate),
    (lambda limits: limits.duplicate_window_seconds is not None, not_again),
)
CLOSING_RULES: tuple[Limited, ...] = (_MODE, _COLLAR)
