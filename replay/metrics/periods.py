"""What a curve made in each UTC day, ISO week and month."""

from datetime import date
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.values import DAY, decimal_text
from replay.metrics.curve import Curve
from replay.metrics.statistics import Floats, Integers, simple_returns

PeriodName = Literal["day", "week", "month"]
_DAYS_BEFORE_MONDAY = 3  # 1970-01-01 was a Thursday
_DAYS_A_WEEK = 7


class PeriodReturn(Struct, frozen=True):
    """A period (`2022-01-31`, `2022-W05`, `2022-01`), its profit, and its return, None of an equity that was not above 0."""

    period: str
    profit: str
    change: float | None


def day_ends(times: Integers) -> NDArray[np.intp]:
    """The row of the last time of each UTC day that has one; midnight ends the day before it."""
    days = np.arange((times[0] - 1) // DAY, (times[-1] - 1) // DAY + 1)
    # A day without any ends where the one before it does.
    return np.unique(np.searchsorted(times, (days + 1) * DAY, side="right") - 1)


def day_returns(curve: Curve) -> Floats:
    """The return of each UTC day with a candle, from the initial equity on; none where an equity was not above zero."""
    values = sampled(curve.equity, curve.initial, day_ends(curve.times))
    return simple_returns(values) if values.min() > 0 else np.empty(0, np.float64)


def sampled(values: Integers, first: int, rows: NDArray[np.intp]) -> Integers:
    """The first value, and then those of the rows."""
    return np.concatenate((np.array([first], np.int64), values[rows]))


def period_returns(curve: Curve, name: PeriodName) -> list[PeriodReturn]:
    """What each period with a candle made; the first and the last may be parts."""
    ends = day_ends(curve.times)
    days = (curve.times[ends] - 1) // DAY
    numbers = _numbers(days, name)
    last = np.append(np.flatnonzero(np.diff(numbers)), len(numbers) - 1)
    values = sampled(curve.equity, curve.initial, ends[last]).tolist()
    return [
        PeriodReturn(
            _label(day, name),
            decimal_text(after - before, curve.cash_scale),
            (after - before) / before if before > 0 else None,
        )
        for day, before, after in zip(days[last].tolist(), values, values[1:], strict=False)
    ]


def _numbers(days: Integers, name: PeriodName) -> Integers:
    """What tells the periods of days apart."""
    if name == "day":
        return days
    if name == "week":
        return (days + _DAYS_BEFORE_MONDAY) // _DAYS_A_WEEK
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _label(day: int, name: PeriodName) -> str:
    on = date.fromordinal(date(1970, 1, 1).toordinal() + day)
    if name == "day":
        return on.isoformat()
    if name == "month":
        return f"{on:%Y-%m}"
    year, week, _weekday = on.isocalendar()
    return f"{year}-W{week:02d}"
