"""Columns of numbers, as text, float, integer or Decimal, become quanta exactly; this is where floats end."""

import re
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from domain.errors import AmountError, InputError
from domain.values import LARGEST, POWERS, SCALE_MAX, parse_decimal
from infrastructure.market_data.columns_file import Integers

_PLAIN = r"^-?[0-9]+(\.[0-9]+)?$"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_FLOAT_SCALE_MAX = 12
# Below 2^51 quanta, x * 10^s misses an integer by less than a half and neighbouring decimals are different floats; so the
# one that gives x back is the shortest decimal that prints as x.
_FLOAT_EXACT = float(2**51)
_SHOWN = 40


class RowError(InputError):
    """A row, counted from 0, is not what it must be; the reader of the file knows its name."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(what)
        self.row = row
        self.what = what


class Amounts(NamedTuple):
    """Quanta of 10^-scale, the smallest scale that has room for every digit."""

    quanta: Integers
    scale: int


def exact_amounts(column: pl.Series) -> Amounts:
    """Read a column of decimal numbers; raises RowError at the first that is none."""
    check_present(column)
    if column.dtype.is_float():
        return _from_floats(column)
    if column.dtype.is_integer():
        return Amounts(_fitting(column, column.cast(pl.Int64, strict=False)), 0)
    if column.dtype.is_decimal() or column.dtype in (pl.String, pl.Categorical, pl.Enum):
        return _from_text(column.cast(pl.String))
    raise InputError(f"column {column.name} has the type {column.dtype}; allowed are text, numbers and Decimal")


def rescale(name: str, amounts: Amounts, scale: int) -> Integers:
    """Quanta of a finer scale; raises RowError at the first that does not fit 64 bits."""
    if scale == amounts.scale:
        return amounts.quanta
    factor = POWERS[scale - amounts.scale]
    limit = LARGEST // factor
    beyond = (amounts.quanta > limit) | (amounts.quanta < -limit)
    if beyond.any():
        raise RowError(int(beyond.argmax()), f"{name} does not fit 64 bits with {scale} decimal places")
    quanta: Integers = amounts.quanta * factor
    return quanta


def check_present(column: pl.Series) -> None:
    """Raise RowError at the first row without a value."""
    if column.null_count():
        raise RowError(first_true(column.is_null()), f"{column.name} is missing")


def first_true(mask: pl.Series) -> int:
    """The first row of a mask that has one."""
    row = mask.arg_max()
    assert row is not None
    return row


def _from_text(column: pl.Series) -> Amounts:
    text = column.str.strip_chars()
    odd = (~text.str.contains(_PLAIN)).arg_true()
    if len(odd):
        text = text.scatter(odd, [_plain(row, column.name, text[row]) for row in odd])
    halves = text.str.split_exact(".", 1).struct.unnest()
    whole, part = halves["field_0"], halves["field_1"].fill_null("").str.strip_chars_end("0")
    places = part.str.len_bytes()
    scale = int(places.to_numpy().max())
    if scale > SCALE_MAX:
        row = first_true(places > SCALE_MAX)
        raise RowError(row, f"{column.name} {_shown(column[row])} has more than {SCALE_MAX} decimal places")
    return Amounts(_fitting(column, (whole + part.str.pad_end(scale, "0")).cast(pl.Int64, strict=False)), scale)


def _plain(row: int, name: str, text: str) -> str:
    """Digits, point, digits, for text such as `1e-7`, `+3` or `5.`."""
    if not _NUMBER.fullmatch(text):
        kind = "finite" if _NOT_FINITE.fullmatch(text) else "decimal"
        raise RowError(row, f"{name} {_shown(text)} is not a {kind} number" if text else f"{name} is missing")
    try:
        return format(parse_decimal(text), "f")
    except AmountError as error:
        raise RowError(row, f"{name} {error}") from None


def _from_floats(column: pl.Series) -> Amounts:
    values: NDArray[np.float64] = column.to_numpy()
    finite = np.isfinite(values)
    if not finite.all():
        row = int(finite.argmin())
        raise RowError(row, f"{column.name} {column[row]} is not a finite number")
    if column.dtype == pl.Float64:
        for scale in range(_FLOAT_SCALE_MAX + 1):
            power = float(POWERS[scale])
            quanta = np.rint(values * power)
            if np.abs(quanta).max() >= _FLOAT_EXACT:
                break
            if (quanta / power == values).all():
                return Amounts(quanta.astype(np.int64), scale)
    # Single precision, very large or with many places: through the text that each float prints as.
    return _from_text(pl.Series(column.name, values.astype(str).tolist()))


def _fitting(column: pl.Series, quanta: pl.Series) -> Integers:
    if quanta.null_count():
        row = first_true(quanta.is_null())
        raise RowError(row, f"{column.name} {_shown(column[row])} does not fit 64 bits")
    array: Integers = quanta.rechunk().to_numpy()
    return array


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
