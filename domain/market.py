"""What decisions are made on: instruments and the market's observations of them."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.errors import AmountError, InputError
from domain.values import (
    POWERS,
    SCALE_MAX,
    Asset,
    Cash,
    InstrumentId,
    Price,
    Quantity,
    Time,
    cash_scale,
    checked,
    decimal_places,
    decimal_text,
    divide_half_even,
    exact_quanta,
)

FeeAsset = Literal["quote", "base"]


class Instrument(Struct, frozen=True, array_like=True):
    """A tradable pair and its grids. `tick` and `step` are in quanta; quanta never change for an id."""

    id: InstrumentId
    base: Asset
    quote: Asset
    price_scale: int
    size_scale: int
    quote_scale: int
    tick: Price
    step: Quantity
    minimum_notional: Cash
    fee_asset: FeeAsset = "quote"

    @property
    def factor(self) -> int:
        """What makes cash quanta of price x quantity; 0 where these are finer than a quantum."""
        exponent = self.quote_scale - self.price_scale - self.size_scale
        return POWERS[exponent] if exponent >= 0 else 0

    def notional(self, price: int, quantity: int) -> Cash:
        """price x quantity in cash quanta of the quote asset, half-even where the product is finer than a quantum."""
        if factor := self.factor:
            return Cash(price * quantity * factor)
        return Cash(divide_half_even(price * quantity, POWERS[self.price_scale + self.size_scale - self.quote_scale]))

    def whole_steps(self, quantity: int) -> Quantity:
        """A quantity as the venue takes it: what does not make up a step is left out."""
        return Quantity(quantity - quantity % self.step)

    def price_text(self, price: int) -> str:
        """A price as decimal text."""
        return decimal_text(price, self.price_scale)

    def size_text(self, quantity: int) -> str:
        """A quantity as decimal text."""
        return decimal_text(quantity, self.size_scale)

    def cash_text(self, cash: int) -> str:
        """An amount of the quote asset as decimal text."""
        return decimal_text(cash, self.quote_scale)


def make_instrument(
    symbol: str,
    tick: Decimal,
    step: Decimal,
    minimum_notional: Decimal,
    *,
    price_scale: int = 0,
    fee_asset: FeeAsset = "quote",
) -> Instrument:
    """Build an instrument from `BASE/QUOTE` and decimal grids.

    Scales are as fine as the grids ask, or finer: `price_scale` where observed prices need it; and a fee taken in the
    base asset needs that asset's own cash quantum. Raises InputError with the argument's name.
    """
    base, slash, quote = symbol.partition("/")
    if not (slash and base.isalnum() and quote.isalnum()):
        raise InputError(f"instrument {symbol!r} is not BASE/QUOTE, such as BTC/USDT")
    if base == quote:
        raise InputError(f"instrument {symbol!r} must be of two assets")
    for name, grid in (("tick", tick), ("step", step)):
        if grid <= 0:
            raise InputError(f"{name} {grid} must be above 0")
    if minimum_notional < 0:
        raise InputError(f"minimum notional {minimum_notional} must not be below 0")
    price_places = max(decimal_places(tick), price_scale)
    size_places = max(decimal_places(step), cash_scale(base) if fee_asset == "base" else 0)
    if max(price_places, size_places) > SCALE_MAX:
        raise AmountError(f"tick and step may have at most {SCALE_MAX} decimal places")
    return Instrument(
        id=InstrumentId(symbol),
        base=Asset(base),
        quote=Asset(quote),
        price_scale=price_places,
        size_scale=size_places,
        quote_scale=cash_scale(quote),
        tick=Price(exact_quanta(tick, price_places)),
        step=Quantity(exact_quanta(step, size_places)),
        minimum_notional=Cash(exact_quanta(minimum_notional, cash_scale(quote))),
        fee_asset=fee_asset,
    )


class Candle(Struct, frozen=True, array_like=True):
    """Prices over one interval from `open_time` on, in price quanta; volume in size quanta of its tape."""

    open_time: Time
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Quantity


class Trade(Struct, frozen=True, array_like=True):
    """One print of the market."""

    at: Time
    price: Price
    quantity: Quantity


def check_amount(quanta: int, what: str) -> int:
    """Refuse an amount that is not positive or does not fit 64 bits."""
    if quanta <= 0:
        raise AmountError(f"{what} must be above 0")
    return checked(quanta, what)
