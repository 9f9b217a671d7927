"""Amounts are integers: text and Decimal become quanta here and nowhere else.

A quantum is a power of ten, 10^-scale. An instrument fixes the scales of its price and size, an asset that of its
cash; so a price off the grid cannot be represented, and sums and comparisons are exact.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal, NewType

from domain.errors import AmountError, InputError

Time = NewType("Time", int)
"""Microseconds since 1970-01-01 UTC."""
Price = NewType("Price", int)
"""Price quanta of one instrument."""
Quantity = NewType("Quantity", int)
"""Size quanta of one instrument; signed where it is a position."""
Cash = NewType("Cash", int)
"""Cash quanta of one asset."""
Fee = NewType("Fee", int)
"""Quanta of the fee's own asset: size quanta where that is the instrument's base, else cash quanta."""
Asset = NewType("Asset", str)
InstrumentId = NewType("InstrumentId", str)
"""The symbol as traders write it, `BTC/USDT`."""

Side = Literal["buy", "sell"]
Direction = Literal["long", "short"]

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000
"""Microseconds."""
LARGEST = 2**63 - 1
SCALE_MAX = 18
POWERS = tuple(10**n for n in range(2 * SCALE_MAX + 1))
_EXPONENT_MAX = 40
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?")
_PAISA_ASSETS = frozenset({"INR"})


def cash_scale(asset: str) -> int:
    """Decimal places of an asset's cash quantum: 10^-2 for rupees, 10^-8 for everything else."""
    return 2 if asset in _PAISA_ASSETS else 8


def parse_decimal(value: str | int | Decimal) -> Decimal:
    """Read a finite decimal number of sane size; raises AmountError for anything else (NaN, `1e999`, words)."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise AmountError(f"{value[:_EXPONENT_MAX]!r} is not a finite decimal number")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        raise AmountError(f"{value!r} is not a decimal number") from None
    if not number.is_finite():
        raise AmountError(f"{value!r} is not a finite number")
    if number and not -_EXPONENT_MAX <= number.adjusted() <= _EXPONENT_MAX:
        raise AmountError(f"{value!r} is out of range")
    if len(number.as_tuple().digits) > _EXPONENT_MAX:
        raise AmountError(f"{value!r} has more than {_EXPONENT_MAX} digits")
    return number


def decimal_places(number: Decimal) -> int:
    """How many decimal places a number needs, without trailing zeros: 0 for `100`, 2 for `0.010`."""
    numerator_scale = -int(number.normalize().as_tuple().exponent)
    return max(0, numerator_scale)


def checked(quanta: int, what: object) -> int:
    """Return the amount if it fits 64 bits, as it must on the wire; `what` names it in the error."""
    if -LARGEST <= quanta <= LARGEST:
        return quanta
    raise AmountError(f"{what} does not fit 64 bits")


def exact_quanta(value: str | int | Decimal, scale: int) -> int:
    """Turn a decimal into quanta of 10^-scale; raises AmountError where that would lose a digit."""
    number = parse_decimal(value)
    numerator, denominator = number.as_integer_ratio()
    quanta, rest = divmod(numerator * POWERS[scale], denominator)
    if rest:
        raise AmountError(f"{value} has more than {scale} decimal places")
    return checked(quanta, value)


def floor_quanta(value: str | int | Decimal, scale: int) -> int:
    """Turn a decimal into quanta of 10^-scale, towards minus infinity."""
    numerator, denominator = parse_decimal(value).as_integer_ratio()
    return checked(numerator * POWERS[scale] // denominator, value)


def decimal_text(quanta: int, scale: int) -> str:
    """Write quanta as decimal text without an exponent or trailing zeros: (462500, 2) is `4625`."""
    if scale == 0:
        return str(quanta)
    sign = "-" if quanta < 0 else ""
    whole, part = divmod(abs(quanta), POWERS[scale])
    digits = f"{part:0{scale}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def floor_to(quanta: int, grid: int) -> int:
    """Largest multiple of `grid` not above `quanta`."""
    return quanta - quanta % grid


def divide_half_even(numerator: int, denominator: int) -> int:
    """Integer quotient, ties to even; the one rounding of a fill's cash and fee. The denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


@lru_cache(maxsize=4096)
def ratio(rate: Decimal) -> tuple[int, int]:
    """A rate as an exact fraction (numerator, denominator)."""
    return rate.as_integer_ratio()


@lru_cache(maxsize=4096)
def growth(percent: Decimal) -> tuple[int, int]:
    """1 + percent/100 as an exact fraction (numerator, denominator)."""
    numerator, denominator = percent.as_integer_ratio()
    return 100 * denominator + numerator, 100 * denominator


def floor_ratio(quanta: int, factor: tuple[int, int], grid: int) -> int:
    """quanta x factor, floored to a multiple of `grid`; exact."""
    return quanta * factor[0] // (factor[1] * grid) * grid


def ceil_ratio(quanta: int, factor: tuple[int, int], grid: int) -> int:
    """quanta x factor, ceiled to a multiple of `grid`; exact."""
    return -(-quanta * factor[0] // (factor[1] * grid)) * grid


def opposite(side: Side) -> Side:
    """The side that closes what `side` opened."""
    return "sell" if side == "buy" else "buy"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
TIME_END = Time((datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND)
"""The first time that is too late to be meant."""


def parse_time(text: str) -> Time:
    """Read an ISO 8601 time that says its offset (`Z`, `+00:00`); raises InputError for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise InputError(f"{text!r} does not say that it is UTC (write 2022-01-01T00:00:00Z)")
    at = (moment - _EPOCH) // _MICROSECOND
    if not 0 <= at < TIME_END:
        raise InputError(f"{text!r} is not between 1970-01-01T00:00:00Z and 2200-01-01T00:00:00Z")
    return Time(at)


def time_text(at: int) -> str:
    """A time as ISO 8601 UTC, with the fraction only where there is one: `2022-01-01T00:05:00Z`."""
    moment = _EPOCH + at * _MICROSECOND
    return moment.isoformat().removesuffix("+00:00") + "Z"
