"""Monthly returns in rows of years."""

from collections.abc import Mapping

from msgspec import Struct

Change = float | None


class Year(Struct, frozen=True):
    """A year's returns as fractions: of its twelve months, None where there is none, and of all of them together."""

    year: int
    months: tuple[Change, ...]
    total: Change


def years_of(months: Mapping[str, Change]) -> list[Year]:
    """Years of returns by month, `2022-01`. A year with a month whose return is not defined has no total."""
    years = sorted({int(month[:4]) for month in months})
    return [
        Year(year, tuple(months.get(f"{year:04}-{month:02}") for month in range(1, 13)), _total(year, months))
        for year in years
    ]


def _total(year: int, months: Mapping[str, Change]) -> Change:
    growth = 1.0
    for month, change in months.items():
        if int(month[:4]) == year:
            if change is None:
                return None
            growth *= 1 + change
    return growth - 1
