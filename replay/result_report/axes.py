"""Axes: where their ticks stand and what is written at them."""

from datetime import UTC, datetime, timedelta
from math import ceil, floor, isfinite, log10

import numpy as np
from msgspec import Struct

from domain.values import DAY, MINUTE, SECOND
from replay.result_report.report import Floats, Integers

HOUR = 60 * MINUTE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = (
    *(SECOND * count for count in (1, 5, 15)),
    *(MINUTE * count for count in (1, 5, 15)),
    *(HOUR * count for count in (1, 2, 3, 6, 12)),
    *(DAY * count for count in (1, 2, 4, 7, 14)),
)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
_MONTHS_OF_A_YEAR = 12
_ROUND = (1, 2, 5, 10)


class Scale(Struct, frozen=True):
    """A straight line from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, values: Integers | Floats) -> Floats:
        """The pixels of values."""
        return self.start + (values.astype(np.float64) - self.low) * ((self.end - self.start) / (self.high - self.low))

    def of(self, value: float) -> float:
        """The pixel of one value."""
        return self.start + (value - self.low) * ((self.end - self.start) / (self.high - self.low))


def value_scale(values: Floats, start: float, end: float, count: int = 5) -> tuple[Scale, list[float]]:
    """A scale on which all values fit between round ends, and its ticks, about so many."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if not (isfinite(low) and isfinite(high)):
        low, high = 0.0, 1.0
    if high - low <= abs(high) * 1e-12:
        pad = abs(high) * 0.01 or 1.0
        low, high = low - pad, high + pad
    step = round_step((high - low) / count)
    first, last = floor(low / step), ceil(high / step)
    ticks = [tick * step for tick in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], start, end), ticks


def round_step(least: float) -> float:
    """The least of 1, 2 or 5 times a power of ten that is not below."""
    power: float = 10.0 ** floor(log10(least))
    return next(power * factor for factor in _ROUND if power * factor >= least * (1 - 1e-9))


def number_text(value: float, step: float) -> str:
    """A tick as text, with as many places as its step needs."""
    places = max(0, -floor(log10(step) + 1e-9))
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def time_ticks(start: int, end: int, count: int = 9) -> list[tuple[int, str]]:
    """Round times between two, at most about so many, with what is written at them."""
    least = max(1, end - start) / count
    for step in _STEPS:
        if step >= least:
            form = "%H:%M:%S" if step < MINUTE else "%H:%M" if step < DAY else "%Y-%m-%d"
            first = -(-start // step)
            return [(tick * step, _text(tick * step, form)) for tick in range(first, end // step + 1)]
    months = least / (365.25 / 12 * DAY)
    step = next((each for each in _MONTH_STEPS if each >= months), _MONTH_STEPS[-1])
    return _month_ticks(start, end, step)


def _month_ticks(start: int, end: int, step: int) -> list[tuple[int, str]]:
    first, last = (int(np.datetime64(at, "us").astype("datetime64[M]").astype(int)) for at in (start, end))
    found = []
    for month in range(-(-first // step) * step, last + 1, step):
        at = int(np.datetime64(month, "M").astype("datetime64[us]").astype(int))
        if at >= start:
            found.append((at, _text(at, "%Y" if step % _MONTHS_OF_A_YEAR == 0 else "%Y-%m")))
    return found


def day_and_time(at: int) -> str:
    """A time as a reader wants it, to the minute."""
    return _text(at, "%Y-%m-%d %H:%M")


def _text(at: int, form: str) -> str:
    return (_EPOCH + timedelta(microseconds=at)).strftime(form)
