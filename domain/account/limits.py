"""The risk limits of an account: every one of them is off until it is set."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.errors import InputError
from domain.values import LARGEST, Asset, InstrumentId, Time, decimal_places

AccountMode = Literal["simulated", "live"]
"""What an account's orders can reach; paper and backtest are one, so that both decide alike."""
Series = Literal["level", "change"]

HUNDRED = Decimal(100)
WINDOW_SECONDS_MAX = 86_400
WINDOW_ORDERS_MAX = 100_000
SAMPLES_MAX = 10_000
SIGMAS_MAX = 100
CORRELATION_PLACES = 6
"""Correlations are counted in millionths."""
REFERENCE_SCALE = 8
"""Prices of a reference index are counted in 10^-8."""


class InstrumentLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for one instrument; `order_quantity_max` is in its base, `exposure_max` in the currency."""

    instrument: InstrumentId
    tradable: bool = True
    order_quantity_max: Decimal | None = None
    exposure_max: Decimal | None = None


class StrategyLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What the bots of one strategy may be exposed to together."""

    strategy: str
    bots: tuple[str, ...]
    exposure_max: Decimal


class Correlation(Struct, frozen=True, forbid_unknown_fields=True):
    """How two instruments move together, from -1 to 1."""

    first: InstrumentId
    second: InstrumentId
    value: Decimal


class Breaker(Struct, frozen=True, forbid_unknown_fields=True):
    """Halts when a reference index leaves its own past.

    The newest value is held against the mean of the `samples` values before it and against `sigmas` of their (population)
    standard deviations. A value is the index's level, or its change since the price before.
    """

    index: str
    samples: int
    sigmas: Decimal = Decimal(3)
    series: Series = "level"


class EventWindow(Struct, frozen=True, forbid_unknown_fields=True):
    """A time, from `start` and before `end`, in which nothing may raise exposure: `name` says why."""

    start: Time
    end: Time
    name: str


class RiskLimits(Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True):
    """The limits of an account, None where there is none. Amounts are in `currency`, percentages of equity in it.

    A session lasts a day, from `session_start_seconds` after midnight UTC; losses count from its first equity.
    """

    currency: Asset | None = None
    modes: tuple[AccountMode, ...] | None = None
    instruments: tuple[InstrumentLimits, ...] = ()
    order_notional_max: Decimal | None = None
    price_collar_pct: Decimal | None = None
    open_orders_max: int | None = None
    orders_max: int | None = None
    orders_window_seconds: int = 60
    duplicate_window_seconds: int | None = None
    bot_exposure_max: Decimal | None = None
    strategies: tuple[StrategyLimits, ...] = ()
    instrument_exposure_max: Decimal | None = None
    account_exposure_max: Decimal | None = None
    leverage_max: Decimal | None = None
    margin_use_max_pct: Decimal | None = None
    margin_rate_pct: Decimal = HUNDRED
    concentration_max_pct: Decimal | None = None
    correlated_exposure_max: Decimal | None = None
    correlations: tuple[Correlation, ...] = ()
    daily_loss_max: Decimal | None = None
    daily_loss_max_pct: Decimal | None = None
    bot_daily_loss_max: Decimal | None = None
    bot_daily_loss_max_pct: Decimal | None = None
    drawdown_max: Decimal | None = None
    drawdown_max_pct: Decimal | None = None
    flatten: bool = False
    session_start_seconds: int = 0
    value_every_seconds: int = 10
    consecutive_losses_max: int | None = None
    cooldown_seconds: int | None = None
    breaker: Breaker | None = None
    event_windows: tuple[EventWindow, ...] = ()

    @property
    def limits_losses(self) -> bool:
        """Whether the account must be valued to know that it may go on."""
        return any(getattr(self, name) is not None for name in LOSSES)

    @property
    def reviews(self) -> bool:
        """Whether there is anything that could stop trading by itself."""
        return self.consecutive_losses_max is not None or bool(self.event_windows) or self.limits_losses

    @property
    def window_seconds(self) -> int:
        """How long a sent order is remembered; 0 where nobody asks."""
        rate = self.orders_window_seconds if self.orders_max is not None else 0
        return max(rate, self.duplicate_window_seconds or 0)


LOSSES = (
    "daily_loss_max", "daily_loss_max_pct", "bot_daily_loss_max", "bot_daily_loss_max_pct", "drawdown_max",
    "drawdown_max_pct",
)  # fmt: skip
_AMOUNTS = (
    "order_notional_max", "bot_exposure_max", "instrument_exposure_max", "account_exposure_max",
    "correlated_exposure_max", "daily_loss_max", "bot_daily_loss_max", "drawdown_max",
)  # fmt: skip
_PERCENTAGES = ("price_collar_pct", "margin_use_max_pct", "concentration_max_pct", "margin_rate_pct", "leverage_max")
_LOSS_PERCENTAGES = ("daily_loss_max_pct", "bot_daily_loss_max_pct", "drawdown_max_pct")
_COUNTS = (
    ("open_orders_max", WINDOW_ORDERS_MAX), ("orders_max", WINDOW_ORDERS_MAX), ("orders_window_seconds", WINDOW_SECONDS_MAX),
    ("duplicate_window_seconds", WINDOW_SECONDS_MAX), ("value_every_seconds", WINDOW_SECONDS_MAX),
    ("consecutive_losses_max", WINDOW_ORDERS_MAX), ("cooldown_seconds", 100 * WINDOW_SECONDS_MAX),
)  # fmt: skip
_IN_CURRENCY = (*_AMOUNTS, *_LOSS_PERCENTAGES, "leverage_max", "margin_use_max_pct", "concentration_max_pct")

NO_LIMITS = RiskLimits()


def check_limits(limits: RiskLimits) -> RiskLimits:
    """Return the limits if they make sense, else raise InputError naming the key and what is allowed."""
    for name in (*_AMOUNTS, *_PERCENTAGES):
        _positive(name, getattr(limits, name))
    for name in _LOSS_PERCENTAGES:
        _positive(name, getattr(limits, name), HUNDRED)
    for name, most in _COUNTS:
        count = getattr(limits, name)
        _require(count is None or 0 < count <= most, name, count, f"1 to {most}")
    start = limits.session_start_seconds
    _require(0 <= start < WINDOW_SECONDS_MAX, "session_start_seconds", start, f"0 to {WINDOW_SECONDS_MAX - 1}")
    _require(limits.modes != (), "modes", "[]", "at least one mode, or none set")
    _check_parts(limits)
    for name in _IN_CURRENCY:
        given = getattr(limits, name)
        _require(given is None or limits.currency is not None, name, given, "only with a currency")
    parts = limits.strategies or any(each.exposure_max is not None for each in limits.instruments)
    _require(not parts or limits.currency is not None, "exposure_max", "set", "only with a currency")
    return limits


def _check_parts(limits: RiskLimits) -> None:
    for each in limits.instruments:
        _positive(f"instruments[{each.instrument}].order_quantity_max", each.order_quantity_max)
        _positive(f"instruments[{each.instrument}].exposure_max", each.exposure_max)
    _once("instruments", [each.instrument for each in limits.instruments])
    for strategy in limits.strategies:
        _positive(f"strategies[{strategy.strategy}].exposure_max", strategy.exposure_max)
        _require(bool(strategy.bots), f"strategies[{strategy.strategy}].bots", "[]", "at least one bot")
    _once("strategies", [each.strategy for each in limits.strategies])
    for pair in limits.correlations:
        name = f"correlations[{pair.first},{pair.second}]"
        exact = pair.value.is_finite() and decimal_places(pair.value) <= CORRELATION_PLACES
        _require(exact and abs(pair.value) <= 1, name, pair.value, f"-1 to 1, {CORRELATION_PLACES} decimal places")
        _require(pair.first != pair.second, name, pair.first, "two instruments")
    _once("correlations", [",".join(sorted((pair.first, pair.second))) for pair in limits.correlations])
    breaker = limits.breaker
    if breaker is not None:
        _require(1 < breaker.samples <= SAMPLES_MAX, "breaker.samples", breaker.samples, f"2 to {SAMPLES_MAX}")
        _positive("breaker.sigmas", breaker.sigmas, Decimal(SIGMAS_MAX))
        _require(bool(breaker.index), "breaker.index", "empty", "the name of an index")
    for window in limits.event_windows:
        _require(
            0 <= window.start < window.end <= LARGEST, f"event_windows[{window.name}]", window.end, "after its start"
        )


def _once(key: str, names: Sequence[str]) -> None:
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    _require(twice is None, key, f"{twice} twice", "each once")


def _positive(key: str, number: Decimal | None, most: Decimal | None = None) -> None:
    if number is None:
        return
    sane = number.is_finite() and abs(number.adjusted()) < 10 and len(number.as_tuple().digits) <= 18  # noqa: PLR2004
    allowed = "above 0, of at most 18 digits" if most is None else f"above 0 and at most {most}"
    _require(sane and number > 0 and (most is None or number <= most), key, number, allowed)


def _require(holds: bool, key: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise InputError(f"limits.{key} is {value}; allowed: {allowed}")
