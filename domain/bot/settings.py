"""A bot's group settings: how a signal becomes legs, and how they end."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, get_args

from msgspec import UNSET, Struct, UnsetType, structs

from domain.errors import InputError

Entry = Literal["market", "limit"]
WhenFlat = Literal["keep", "cancel"]
TakeProfit = Literal["per_leg", "aggregate", "hybrid"]

HUNDRED = Decimal(100)
PYRAMIDS_MAX = 100
EQUITY_PCT_MAX = Decimal(10_000)
"""A pyramid of a hundred times the equity: more than any margin account lends."""
MINUTES_MAX = 60 * 24 * 366


class LegSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One leg: its distance from the entry price, its share of the capital, its take-profit distance; all percent.

    Where the group has one aggregate target only, a leg needs none.
    """

    gap_pct: Decimal
    weight_pct: Decimal
    take_profit_pct: Decimal | None = None


SizedBy = Literal["capital_pct_of_equity", "risk_pct_of_equity", "risk_amount"]


class Sizing(Struct, frozen=True, array_like=True):
    """What a pyramid's capital is counted from: a percent of the equity, or what may be lost at the stop."""

    by: SizedBy
    size: Decimal


class GroupTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a position group; `capital` is in the quote currency, per pyramid; percentages are of the price.

    A group ends by its targets, by the aggregate target, by a stop, by the time limit, or by an exit signal. `reverse`:
    a signal against the live group closes it and then opens the other way. Entries that rest are given up after
    `leg_expiry_minutes`, or when the price has gone `cancel_beyond_pct` past the entry in the group's favour.
    """

    capital: Decimal | None
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


class GroupSettings(GroupTerms, frozen=True, forbid_unknown_fields=True):
    """Settings as the log has them: either `capital` or a `sizing`; with both, `capital` is what the sizing came to.

    A sizing that is not there is not written, so that the bytes of a fixed capital are what they were without it.
    """

    sizing: Sizing | UnsetType = UNSET


class GroupForm(GroupTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings as people write them: one of the keys in SIZES says how much a pyramid may cost."""

    capital: Decimal | None = None
    capital_pct_of_equity: Decimal | None = None
    risk_pct_of_equity: Decimal | None = None
    risk_amount: Decimal | None = None


SIZES = ("capital", *get_args(SizedBy))
_ONE_SIZE = f"exactly one of {', '.join(SIZES)}"


def settings_of(form: GroupForm) -> GroupSettings:
    """Read a form; raises InputError as `check_settings` does."""
    fields = structs.asdict(form)
    given = {key: size for key in SIZES if (size := fields.pop(key)) is not None}
    for second in list(given)[1:]:
        _require(False, second, f"set beside {next(iter(given))}", _ONE_SIZE)  # noqa: FBT003
    capital = given.pop("capital", None)
    sizings = [Sizing(by, size) for by, size in given.items()]
    return check_settings(GroupSettings(capital, sizing=sizings[0] if sizings else UNSET, **fields))


def form_of(settings: GroupSettings) -> GroupForm:
    """The form that says the same."""
    fields = structs.asdict(settings)
    sizing = fields.pop("sizing")
    return GroupForm(**fields | ({} if sizing is UNSET else {sizing.by: sizing.size}))


def check_settings(settings: GroupSettings) -> GroupSettings:
    """Return the settings if they make sense, else raise InputError naming the key and what is allowed."""
    _check_size(settings)
    pyramids = settings.max_pyramids
    _require(1 <= pyramids <= PYRAMIDS_MAX, "max_pyramids", pyramids, f"1 to {PYRAMIDS_MAX}")
    _check_legs(settings)
    _check_ends(settings)
    return settings


def _check_size(settings: GroupSettings) -> None:
    sizing, capital = settings.sizing, settings.capital
    if sizing is UNSET:
        _require(capital is not None, "capital", "missing", _ONE_SIZE)
        _require_size("capital", capital)
        return
    _require(capital is None, sizing.by, "set beside capital", _ONE_SIZE)
    _require_size(sizing.by, sizing.size)
    by_risk = sizing.by != "capital_pct_of_equity"
    _require(
        settings.stop_loss_pct is not None or not by_risk, "stop_loss_pct", "missing", f"{_PERCENT}, with {sizing.by}"
    )


def _require_size(key: str, size: Decimal | None) -> None:
    most = _SIZE_MAX.get(key)
    right = size is not None and _finite(size) and size > 0 and (most is None or size <= most)
    _require(right, key, size, "above 0, of at most 20 digits" if most is None else f"above 0 and at most {most}")


_SIZE_MAX: Mapping[str, Decimal] = {"capital_pct_of_equity": EQUITY_PCT_MAX, "risk_pct_of_equity": HUNDRED}


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
