"""A bot's group settings: how a signal becomes legs."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.errors import InputError

Entry = Literal["market", "limit"]
WhenFlat = Literal["keep", "cancel"]

HUNDRED = Decimal(100)


class LegSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One leg: its distance from the entry price, its share of the capital, its take-profit distance; all percent."""

    gap_pct: Decimal
    weight_pct: Decimal
    take_profit_pct: Decimal


class GroupSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a position group; `capital` is in the quote currency, per pyramid."""

    capital: Decimal
    legs: tuple[LegSettings, ...]
    entry: Entry = "market"
    max_pyramids: int = 1
    when_flat: WhenFlat = "keep"


def check_settings(settings: GroupSettings) -> GroupSettings:
    """Return the settings if they make sense, else raise InputError naming the key and what is allowed."""
    _require(
        _finite(settings.capital) and settings.capital > 0, "capital", settings.capital, "above 0, of at most 20 digits"
    )
    _require(settings.max_pyramids == 1, "max_pyramids", settings.max_pyramids, "1")
    _require(bool(settings.legs), "legs", "[]", "at least one leg")
    for index, leg in enumerate(settings.legs):
        _require(
            _finite(leg.gap_pct) and -HUNDRED < leg.gap_pct < HUNDRED,
            f"legs[{index}].gap_pct",
            leg.gap_pct,
            "above -100 and below 100",
        )
        _require(
            _finite(leg.weight_pct) and 0 < leg.weight_pct <= HUNDRED,
            f"legs[{index}].weight_pct",
            leg.weight_pct,
            "above 0 and at most 100",
        )
        _require(
            _finite(leg.take_profit_pct) and 0 < leg.take_profit_pct < HUNDRED,
            f"legs[{index}].take_profit_pct",
            leg.take_profit_pct,
            "above 0 and below 100",
        )
    total = sum((leg.weight_pct for leg in settings.legs), Decimal(0))
    _require(total == HUNDRED, "legs weight_pct", f"sum {total}", "a sum of exactly 100")
    return settings


def _finite(number: Decimal) -> bool:
    return number.is_finite() and abs(number.adjusted()) < 20 and len(number.as_tuple().digits) <= 20  # noqa: PLR2004


def _require(holds: bool, key: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise InputError(f"group.{key} is {value}; allowed: {allowed}")
