"""Columns of times, as text, epoch or datetime, become microseconds since 1970 UTC exactly."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from domain.errors import InputError
from infrastructure.market_data.amounts import RowError, check_present, first_true
from infrastructure.market_data.columns_file import Integers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST = 0
LAST = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND

# Milliseconds of the year 5138, microseconds of March 1973: nothing in between is both.
_MICROSECONDS_FROM = 10**14
_EPOCH = r"^-?[0-9]+$"
# What `fromisoformat` reads without dropping a digit.
_ISO = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
# The most common shape, which is read as a column.
_WHOLE_UTC = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](Z|[+]00:00)?$"
# Microseconds in one, ones in a microsecond.
_UNITS = {"days": (86_400_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}


def exact_times(column: pl.Series) -> Integers:
    """Read a column of times; naive ones are UTC. Raises RowError at the first that is no time from 1970 to 2200."""
    check_present(column)
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        times = _from_datetimes(column, dtype.time_unit)
    elif dtype == pl.Date:
        times = _from_datetimes(column, "days")
    elif dtype.is_integer():
        times = _from_epoch(column, column)
    elif dtype.is_float():
        times = _from_epoch(column, _whole(column))
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        times = _from_text(column.cast(pl.String).str.strip_chars())
    else:
        raise InputError(f"column {column.name} has the type {dtype}; allowed are text, epoch numbers and datetimes")
    outside = (times < FIRST) | (times >= LAST)
    if outside.any():
        row = int(outside.argmax())
        # A datetime this far out has no text, so what is shown is its number.
        shown = column.to_physical() if dtype.is_temporal() else column
        raise RowError(row, f"{column.name} {shown[row]} is not from 1970 to 2200 as milliseconds or microseconds")
    return times


def _from_datetimes(column: pl.Series, unit: str) -> Integers:
    physical: Integers = column.to_physical().cast(pl.Int64).to_numpy()
    factor, divisor = _UNITS[unit]
    if (inexact := physical % divisor != 0).any():
        raise RowError(int(inexact.argmax()), f"{column.name} is finer than a microsecond")
    # Out of range stays out of range without overflow.
    limit = 2 * LAST
    return np.clip(physical // divisor, -limit // factor, limit // factor) * factor


def _from_epoch(column: pl.Series, numbers: pl.Series) -> Integers:
    values = numbers.cast(pl.Int64, strict=False)
    if values.null_count():
        raise RowError(row := first_true(values.is_null()), f"{column.name} {column[row]} is out of range")
    times: Integers = values.to_numpy()
    in_milliseconds = (times < _MICROSECONDS_FROM) & (times > -_MICROSECONDS_FROM)
    return np.where(in_milliseconds, times * 1_000, times)


def _whole(column: pl.Series) -> pl.Series:
    """Epoch floats that are integers, as tools with missing values write them."""
    broken = ~(column.is_finite() & (column == column.floor()) & (column.abs() < float(2**53)))
    if broken.any():
        raise RowError(row := first_true(broken), f"{column.name} {column[row]} is not a whole number")
    return column


def _from_text(text: pl.Series) -> Integers:
    epoch = text.str.contains(_EPOCH)
    if epoch.all():
        return _from_epoch(text, text)
    iso = text.str.contains(_ISO)
    if not (known := iso | epoch).all():
        row = first_true(~known)
        what = f"{text.name} {text[row][:40]!r} is no time: ISO 8601, or epoch milliseconds or microseconds"
        raise RowError(row, what if text[row] else f"{text.name} is missing")
    times = _from_epoch(text, text.set(iso, "0"))
    whole = text.set(~text.str.contains(_WHOLE_UTC), None).str.head(19).str.replace("T", " ", literal=True)
    moments = whole.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    times = np.where(moments.is_not_null().to_numpy(), moments.to_physical().fill_null(0).to_numpy(), times)
    for row in (iso & moments.is_null()).arg_true():
        times[row] = _from_iso(row, text.name, text[row])
    return times


def _from_iso(row: int, name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - EPOCH) // MICROSECOND
    except (ValueError, OverflowError) as error:
        raise RowError(row, f"{name} {text!r} is no time: {error}") from None
