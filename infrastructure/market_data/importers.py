"""Candle files become tapes: every row checked, nothing rounded, nothing half-imported."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from domain.errors import InputError
from domain.values import decimal_text, time_text
from infrastructure.market_data.amounts import Amounts, RowError, exact_amounts, rescale
from infrastructure.market_data.checks import Check, amount_text, positive, raise_first, read_column, refuse_first
from infrastructure.market_data.columns_file import Integers
from infrastructure.market_data.parquet import UNREADABLE, header_of, unreadable
from infrastructure.market_data.raw_file import read_bytes
from infrastructure.market_data.sources import Source, is_parquet, read_csv, read_parquet
from infrastructure.market_data.tape import COLUMNS, Tape, make_tape
from infrastructure.market_data.times import exact_times

PRICES = ("open", "high", "low", "close")
_SECOND = 1_000_000
_SECONDS_UNTIL = 10**14
"""Epoch seconds taken for milliseconds all fall before March 1973."""


def read_candles(path: Path, interval: int = 0, instrument: str = "") -> Tape:
    """Read a candle file; `interval` in microseconds is needed only where a single candle cannot tell it.

    Raises InputError naming file, row and what is wrong.
    """
    return candles_from(path, read_bytes(path), interval, instrument)


def candles_from(path: Path, raw: bytes, interval: int = 0, instrument: str = "") -> Tape:
    """The same from bytes already read; `path` tells their kind and is named in errors."""
    return tape_of(_source(path, raw), interval, instrument)


def tape_of(source: Source, interval: int = 0, instrument: str = "") -> Tape:
    """The tape of a table with these columns, every row of which is checked."""
    times, prices, volume = _columns(source)
    scale = max(price.scale for price in prices)
    try:
        quanta = [rescale(name, price, scale) for name, price in zip(PRICES, prices, strict=True)]
    except RowError as error:
        raise source.error(error.row, error.what) from None
    refuse_first(source, [*_order(times), *_prices(quanta, scale), *_volume(volume)])
    columns = dict(zip(COLUMNS, (times, *quanta, volume.quanta), strict=True))
    return make_tape(columns, scale, volume.scale, _interval(source, times, interval), instrument)


def _source(path: Path, raw: bytes) -> Source:
    if not is_parquet(path):
        return read_csv(path, raw, COLUMNS)
    try:
        is_tape = header_of(raw) is not None
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if is_tape:
        raise InputError(
            f"{path} is a stored tape, whose amounts are quanta; import what truetape market export writes"
        )
    return read_parquet(path, raw, COLUMNS)


def _columns(source: Source) -> tuple[Integers, list[Amounts], Amounts]:
    """Times, prices, volumes; or the error of the earliest row that any of them has."""
    errors: list[RowError] = []
    times = read_column(source, COLUMNS[0], exact_times, errors)
    *prices, volume = [read_column(source, name, exact_amounts, errors) for name in COLUMNS[1:]]
    raise_first(source, errors)
    assert times is not None
    assert volume is not None
    return times, [price for price in prices if price is not None], volume


def _order(times: Integers) -> Iterator[Check]:
    def describe(row: int) -> str:
        at, before = int(times[row]), int(times[row - 1])
        # Up to the first offender the times ascend.
        same = int(np.searchsorted(times[:row], at))
        if times[same] == at:
            return f"open_time {time_text(at)} is a duplicate of row {same + 1}"
        return f"open_time {time_text(at)} is out of order, after {time_text(before)}"

    yield np.diff(times, prepend=times[0] - 1) <= 0, describe


def _prices(quanta: list[Integers], scale: int) -> Iterator[Check]:
    opens, highs, lows, closes = quanta
    for name, column in zip(PRICES, quanta, strict=True):
        yield positive(name, column, scale)
    yield (
        highs < lows,
        lambda row: f"high {amount_text(highs, row, scale)} is below low {amount_text(lows, row, scale)}",
    )
    yield _within("open", opens, lows, highs, scale)
    yield _within("close", closes, lows, highs, scale)


def _within(name: str, column: Integers, lows: Integers, highs: Integers, scale: int) -> Check:
    def describe(row: int) -> str:
        price, low, high = (amount_text(each, row, scale) for each in (column, lows, highs))
        return f"{name} {price} is not between low {low} and high {high}"

    return (column < lows) | (column > highs), describe


def _volume(volume: Amounts) -> Iterator[Check]:
    quanta, scale = volume
    yield quanta < 0, lambda row: f"volume {amount_text(quanta, row, scale)} is below 0"


def _interval(source: Source, times: Integers, given: int) -> int:
    """The most common step between open times, of which every step is a multiple; 0 where there is none to see."""
    if len(times) == 1:
        return given
    steps = np.diff(times)
    values, counts = np.unique(steps, return_counts=True)
    interval = given or int(values[counts.argmax()])
    if times[-1] < _SECONDS_UNTIL and interval % _SECOND:
        raise source.error(0, "open_time is neither milliseconds nor microseconds: in epoch seconds, or no time")
    odd = steps % interval != 0
    if odd.any():
        row = int(odd.argmax()) + 1
        raise source.error(
            row,
            f"open_time {time_text(int(times[row]))} is {_seconds(int(steps[row - 1]))} s after the row before, "
            f"no multiple of the interval of {_seconds(interval)} s",
        )
    return interval


def _seconds(duration: int) -> str:
    return decimal_text(duration, 6)
