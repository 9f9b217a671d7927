"""Settings of an account's risk offset, and what they may be."""

from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, structs

from domain.errors import InputError

TimerStart = Literal["last_pyramid", "legs_submitted", "legs_filled"]

WAIT_MINUTES_MAX = 525_600
"""A year."""
EVALUATE_SECONDS_MAX = 86_400
DIGITS_MAX = 20


class OffsetSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """When a group is a loser, and how it is paid for.

    A loss is beyond `loss_threshold_pct` below it, not at it. The wait starts with the last pyramid, when the legs are
    submitted (the same instant: all legs of a pyramid are), or when no entry works any more; where
    `reset_on_replacement`, anew when a signal that waits to add to the group is replaced. `cost_margin_pct` of the
    worth of whatever is to be closed, loser and winners, must be paid for too: fees, slippage and the price's way.
    """

    enabled: bool = True
    loss_threshold_pct: Decimal = Decimal(-5)
    require_full_pyramids: bool = True
    post_full_wait_minutes: int = 60
    timer_start: TimerStart = "last_pyramid"
    reset_on_replacement: bool = False
    minimum_age_minutes: int | None = None
    evaluate_seconds: int = 60
    cost_margin_pct: Decimal = Decimal("0.2")


_RANGES = {
    "post_full_wait_minutes": (0, WAIT_MINUTES_MAX),
    "minimum_age_minutes": (1, WAIT_MINUTES_MAX),
    "evaluate_seconds": (1, EVALUATE_SECONDS_MAX),
}
_HUNDRED = Decimal(100)


def check_settings(settings: OffsetSettings) -> OffsetSettings:
    """Return the settings if they make sense, else raise InputError naming the key and what is allowed."""
    given: dict[str, Any] = structs.asdict(settings)
    for key, (least, most) in _RANGES.items():
        value = given[key]
        if value is not None and not least <= value <= most:
            raise InputError(f"offset.{key} is {value}; allowed: {least} to {most}")
    threshold, margin = settings.loss_threshold_pct, settings.cost_margin_pct
    if not (_short(threshold) and -_HUNDRED < threshold < 0):
        raise InputError(f"offset.loss_threshold_pct is {threshold}; allowed: above -100 and below 0")
    if not (_short(margin) and 0 <= margin < _HUNDRED):
        raise InputError(f"offset.cost_margin_pct is {margin}; allowed: 0 to below 100")
    return settings


def _short(number: Decimal) -> bool:
    return number.is_finite() and abs(number.adjusted()) < DIGITS_MAX and len(number.as_tuple().digits) <= DIGITS_MAX
