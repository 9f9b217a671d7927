"""Exposure: what an account, a bot, a strategy or an instrument could come to hold, and the limits on it.

Exposure is counted at its worst: what is held at the last price, and every open order that could add to it at its own
price, on the side on which that is more. Everything is in cash quanta of the limits' currency.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache

from domain.account.events import OrderIntended
from domain.account.limits import CORRELATION_PLACES, Correlation
from domain.account.state import AccountState, Order
from domain.decider import Now
from domain.risk.limits import Limited, cash_text, in_quanta, of_instrument
from domain.risk.worth import Denial, Worth
from domain.values import POWERS, Asset, InstrumentId, Price, ratio

Marks = Mapping[InstrumentId, Price]


def equity(state: AccountState, marks: Marks, currency: Asset) -> int | None:
    """Cash and positions in the currency; None where a holding has no price, or one in another currency."""
    worth = state.cash.get(currency, 0)
    for name, position in state.positions.items():
        if position:
            instrument = state.listings[name].instrument
            if name not in marks or instrument.quote != currency:
                return None
            worth += instrument.notional(marks[name], position)
    return worth


def unvalued(state: AccountState, marks: Marks, currency: Asset | None) -> Denial | None:
    """Why `equity` is not known."""
    held = [name for name, position in state.positions.items() if position]
    unknown = next((name for name in held if name not in marks), None)
    if unknown is not None:
        return "MARK_UNKNOWN", f"instrument={unknown}"
    return _foreign(state, held, currency)


def _foreign(state: AccountState, names: Iterable[InstrumentId], currency: Asset | None) -> Denial | None:
    for name in names:
        quote = state.listings[name].instrument.quote
        if quote != currency:
            return "CURRENCY_DIFFERENT", f"held={name}, quote={quote}, currency={currency}"
    return None


def results(state: AccountState, marks: Marks, currency: Asset) -> dict[str, int]:
    """What each bot has made so far, fees included; call it where `equity` is known."""
    made: dict[str, int] = {}
    for (bot, name), book in state.books.items():
        instrument = state.listings[name].instrument
        if bot and instrument.quote == currency:
            held = instrument.notional(marks[name], book.quantity) if book.quantity else 0
            made[bot] = made.get(bot, 0) + book.cash + held
    return made


def exposures(
    state: AccountState, marks: Marks, order: OrderIntended, notional: int, bots: Collection[str] | None = None
) -> dict[InstrumentId, int]:
    """Signed worst case by instrument with this order: of the account, or of these bots alone.

    Raises KeyError where there is no price to count with, so that the order is denied.
    """
    held: dict[InstrumentId, int] = {}
    if bots is None:
        held.update(state.positions)
    else:
        for (bot, name), book in state.books.items():
            if bot in bots:
                held[name] = held.get(name, 0) + book.quantity
    high: dict[InstrumentId, int] = {}
    for name, quantity in held.items():
        if quantity:
            high[name] = state.listings[name].instrument.notional(marks[name], quantity)
    low = dict(high)
    for open_ in state.orders.values():
        if (bots is None or open_.bot in bots) and not state.closes(open_.side, reduce_only=open_.reduce_only):
            _add(high, low, open_.instrument, open_.side, _open_notional(state, marks, open_))
    if bots is None or order.bot in bots:
        _add(high, low, order.instrument, order.side, notional)
    return {name: high[name] if abs(high[name]) >= abs(low[name]) else low[name] for name in high}


def _add(high: dict[InstrumentId, int], low: dict[InstrumentId, int], name: InstrumentId, side: str, cash: int) -> None:
    buys = side == "buy"
    high[name] = high.get(name, 0) + (cash if buys else 0)
    low[name] = low.get(name, 0) - (0 if buys else cash)


def _open_notional(state: AccountState, marks: Marks, order: Order) -> int:
    price = order.limit if order.limit is not None else order.stop
    instrument = state.listings[order.instrument].instrument
    return instrument.notional(marks[order.instrument] if price is None else price, order.quantity - order.filled)


def priced(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """All that is held has a price, and all that is held or open is in the limits' currency: else nothing adds up."""
    currency = state.limits.currency
    denial = unvalued(state, worth.now.marks, currency)
    return denial or _foreign(state, (open_.instrument for open_ in state.orders.values()), currency)


def within_bot(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    exposure = _gross(exposures(state, worth.now.marks, order, worth.notional, (order.bot,)))
    return _within(state, "EXPOSURE_BOT", f"bot={order.bot}, ", exposure, state.limits.bot_exposure_max)


def within_strategy(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    for strategy in state.limits.strategies:
        if order.bot in strategy.bots:
            exposure = _gross(exposures(state, worth.now.marks, order, worth.notional, strategy.bots))
            named = f"strategy={strategy.strategy}, "
            denial = _within(state, "EXPOSURE_STRATEGY", named, exposure, strategy.exposure_max)
            if denial is not None:
                return denial
    return None


def within_instrument(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The instrument's own limit where it has one, else that of every instrument."""
    own = of_instrument(state.limits, order.instrument)
    most = state.limits.instrument_exposure_max if own is None or own.exposure_max is None else own.exposure_max
    if most is None:
        return None
    exposure = abs(exposures(state, worth.now.marks, order, worth.notional)[order.instrument])
    return _within(state, "EXPOSURE_INSTRUMENT", f"instrument={order.instrument}, ", exposure, most)


def within_account(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    exposure = _gross(exposures(state, worth.now.marks, order, worth.notional))
    return _within(state, "EXPOSURE_ACCOUNT", "", exposure, state.limits.account_exposure_max)


def within_leverage(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """Exposure is at most so many times the equity."""
    most = _set(state.limits.leverage_max)
    exposure, own = _gross(exposures(state, worth.now.marks, order, worth.notional)), _equity(state, worth.now)
    numerator, denominator = ratio(most)
    if exposure * denominator <= numerator * own:
        return None
    return "LEVERAGE", f"{_pair(state, exposure, own)}, limit={most:f}"


def within_margin(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The margin, `margin_rate_pct` of the exposure, is at most so many percent of the equity."""
    most, rate = _set(state.limits.margin_use_max_pct), state.limits.margin_rate_pct
    exposure, own = _gross(exposures(state, worth.now.marks, order, worth.notional)), _equity(state, worth.now)
    (top, bottom), (rate_top, rate_bottom) = ratio(most), ratio(rate)
    if exposure * rate_top * bottom <= top * own * rate_bottom:
        return None
    return "MARGIN_USE", f"{_pair(state, exposure, own)}, rate={rate:f}%, limit={most:f}%"


def within_concentration(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """One instrument is at most so many percent of the equity."""
    most = _set(state.limits.concentration_max_pct)
    exposure = abs(exposures(state, worth.now.marks, order, worth.notional)[order.instrument])
    own = _equity(state, worth.now)
    numerator, denominator = ratio(most)
    if exposure * 100 * denominator <= numerator * own:
        return None
    return "CONCENTRATION", f"instrument={order.instrument}, {_pair(state, exposure, own)}, limit={most:f}%"


def within_correlation(state: AccountState, worth: Worth, order: OrderIntended) -> Denial | None:
    """The root of the sum of correlation x exposure x exposure over all pairs; squares are compared, so it is exact.

    A pair whose correlation is not set counts as moving together at its worst.
    """
    most = in_quanta(state.limits.correlated_exposure_max, state.limits.currency)
    found = list(exposures(state, worth.now.marks, order, worth.notional).items())
    known = _matrix(state.limits.correlations)
    one = POWERS[CORRELATION_PLACES]
    square = 0
    for at, (name, exposure) in enumerate(found):
        square += exposure * exposure * one
        for other, opposite in found[:at]:
            together = exposure * opposite
            rho = known.get((name, other))
            square += 2 * (abs(together) * one if rho is None else together * rho)
    if square <= most * most * one:
        return None
    currency = state.limits.currency
    parts = "+".join(f"{name}:{cash_text(exposure, currency)}" for name, exposure in found)
    return "EXPOSURE_CORRELATED", f"exposure={parts}, limit={cash_text(most, currency)}"


@lru_cache(maxsize=64)
def _matrix(correlations: tuple[Correlation, ...]) -> dict[tuple[InstrumentId, InstrumentId], int]:
    """Millionths, by both orders of a pair."""
    found = {}
    for pair in correlations:
        value = int(pair.value.scaleb(CORRELATION_PLACES))
        found[pair.first, pair.second] = found[pair.second, pair.first] = value
    return found


def _gross(found: Mapping[InstrumentId, int]) -> int:
    return sum(map(abs, found.values()))


def _set(limit: Decimal | None) -> Decimal:
    assert limit is not None, "a limit that is not set is not asked"
    return limit


def _equity(state: AccountState, now: Now) -> int:
    """Raises where it is not known, so that the order is denied."""
    currency = state.limits.currency
    assert currency is not None, "amounts have a currency"
    own = equity(state, now.marks, currency)
    assert own is not None, "the equity is not known"
    return own


def _within(state: AccountState, code: str, named: str, exposure: int, limit: Decimal | None) -> Denial | None:
    currency = state.limits.currency
    most = in_quanta(limit, currency)
    if exposure <= most:
        return None
    return code, f"{named}exposure={cash_text(exposure, currency)}, limit={cash_text(most, currency)}"


def _pair(state: AccountState, exposure: int, own: int) -> str:
    currency = state.limits.currency
    return f"exposure={cash_text(exposure, currency)}, equity={cash_text(own, currency)}"


EXPOSURE_RULES: tuple[Limited, ...] = (
    (
        lambda limits: any(
            limit is not None
            for limit in (
                limits.bot_exposure_max, limits.instrument_exposure_max, limits.account_exposure_max,
                limits.leverage_max, limits.margin_use_max_pct, limits.concentration_max_pct,
                limits.correlated_exposure_max, limits.strategies or None,
                *(each.exposure_max for each in limits.instruments),
            )
        ),
        priced,
    ),
    (lambda limits: limits.bot_exposure_max is not None, within_bot),
    (lambda limits: limits.strategies, within_strategy),
    (
        lambda limits: (
            limits.instrument_exposure_max is not None
            or any(each.exposure_max is not None for each in limits.instruments)
        ),
        within_instrument,
    ),
    (lambda limits: limits.account_exposure_max is not None, within_account),
    (lambda limits: limits.leverage_max is not None, within_leverage),
    (lambda limits: limits.margin_use_max_pct is not None, within_margin),
    (lambda limits: limits.concentration_max_pct is not None, within_concentration),
    (lambda limits: limits.correlated_exposure_max is not None, within_correlation),
)  # fmt: skip
