"""What a strategy's decimal parameters are in an instrument's quanta."""

from decimal import Decimal
from functools import lru_cache

from domain.errors import AmountError, InputError
from domain.market import Instrument
from domain.values import POWERS, Cash, Price, Quantity, exact_quanta, floor_to, ratio


def quantity_for(instrument: Instrument, notional: Decimal, price: int) -> Quantity:
    """floor_step(notional / price): `notional` in the quote asset, `price` in price quanta; exact, 0 where too little."""
    numerator, denominator = ratio(notional)
    scale = POWERS[instrument.price_scale + instrument.size_scale]
    return Quantity(floor_to(numerator * scale // (denominator * price), instrument.step))


@lru_cache(maxsize=256)
def size_of(instrument: Instrument, quantity: Decimal) -> Quantity:
    """A quantity of the base asset; raises InputError where it is no multiple of the step."""
    size = _exact(quantity, instrument.size_scale, "quantity")
    if size % instrument.step:
        step = instrument.size_text(instrument.step)
        raise InputError(f"parameter quantity is {quantity}; allowed: a multiple of the step {step}")
    return Quantity(size)


def price_of(instrument: Instrument, price: Decimal) -> Price:
    """A price in quanta; raises InputError where it needs more decimal places than the instrument has."""
    return Price(_exact(price, instrument.price_scale, "price"))


def cash_of(instrument: Instrument, amount: Decimal) -> Cash:
    """An amount of the quote asset in quanta."""
    return Cash(_exact(amount, instrument.quote_scale, "amount"))


def _exact(value: Decimal, scale: int, what: str) -> int:
    try:
        return exact_quanta(value, scale)
    except AmountError as error:
        raise InputError(f"parameter {what} is {value}: {error}") from None
