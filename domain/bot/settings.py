"""A bot's group settings: how a signal becomes legs, and how they end."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.errors import InputError

Entry = Literal["market", "limit"]
WhenFlat = Literal["keep", "cancel"]
TakeProfit = Literal["per_leg", "aggregate", "hybrid"]

HUNDRED = Decimal(100)
PYRAMIDS_MAX = 100
MINUTES_MAX = 60 * 24 * 366


class LegSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One leg: its distance from the entry price, its share of the capital, its take-profit distance; all percent.

    Where the group has one aggregate target only, a leg needs none.
    """

    gap_pct: Decimal
    weight_pct: Decimal
    take_profit_pct: Decimal | None = None


class GroupSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a position group; `capital` is in the quote currency, per pyramid; percentages are of the price.

    A group ends by its targets, by the aggregate target, by a stop, by the time limit, or by an exit signal. `reverse`:
    a signal against the live group closes it and then opens the other way. Entries that rest are given up after
    `leg_expiry_minutes`, or when the price has gone `cancel_beyond_pct` past the entry in the group's favour.
    """

    capital: Decimal
    legs: tuple[LegSettings, ...]
    entry: Entry = "market"
    max_pyramids: int = 1
    when_flat: WhenFlat = "keep"
    take_profit: TakeProfit = "per_leg"
    aggregate_take_profit_pct: Decimal | None = None
    stop_loss_pct: Decimal | None = None
    trailing_stop_pct: Decimal | None = None
    break_even_after_first_target: bool = False
    time_limit_minutes: int | None = None
    leg_expiry_minutes: int | None = None
    cancel_beyond_pct: Decimal | None = None
    reverse: bool = False


def check_settings(settings: GroupSettings) -> GroupSettings:
    """Return the settings if they make sense, else raise InputError naming the key and what is allowed."""
    _require(
        _finite(settings.capital) and settings.capital > 0, "capital", settings.capital, "above 0, of at most 20 digits"
    )
    pyramids = settings.max_pyramids
    _require(1 <= pyramids <= PYRAMIDS_MAX, "max_pyramids", pyramids, f"1 to {PYRAMIDS_MAX}")
    _check_legs(settings)
    _check_ends(settings)
    return settings


def _check_legs(settings: GroupSettings) -> None:
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
        target = f"legs[{index}].take_profit_pct"
        if settings.take_profit == "aggregate":
            _require_percent(target, leg.take_profit_pct)
        else:
            _require(leg.take_profit_pct is not None, target, "missing", _PERCENT)
            _require_percent(target, leg.take_profit_pct)
    total = sum((leg.weight_pct for leg in settings.legs), Decimal(0))
    _require(total == HUNDRED, "legs weight_pct", f"sum {total}", "a sum of exactly 100")


def _check_ends(settings: GroupSettings) -> None:
    for key in ("aggregate_take_profit_pct", "stop_loss_pct", "trailing_stop_pct", "cancel_beyond_pct"):
        _require_percent(key, getattr(settings, key))
    for key in ("time_limit_minutes", "leg_expiry_minutes"):
        minutes = getattr(settings, key)
        _require(minutes is None or 1 <= minutes <= MINUTES_MAX, key, minutes, f"1 to {MINUTES_MAX}")
    aggregate = settings.aggregate_take_profit_pct
    if settings.take_profit == "per_leg":
        _require(aggregate is None, "aggregate_take_profit_pct", aggregate, "nothing where take_profit is per_leg")
    else:
        _require(aggregate is not None, "aggregate_take_profit_pct", "missing", _PERCENT)


_PERCENT = "above 0 and below 100"


def _require_percent(key: str, percent: Decimal | None) -> None:
    _require(percent is None or (_finite(percent) and 0 < percent < HUNDRED), key, percent, _PERCENT)


def _finite(number: Decimal) -> bool:
    return number.is_finite() and abs(number.adjusted()) < 20 and len(number.as_tuple().digits) <= 20  # noqa: PLR2004


def _require(holds: bool, key: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise InputError(f"group.{key} is {value}; allowed: {allowed}")
