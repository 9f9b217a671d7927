"""Limits that make sense, each at its boundary; what does not names its key and what is allowed."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.account.events import RiskLimitsSet
from domain.account.limits import (
    NO_LIMITS,
    Breaker,
    Correlation,
    EventWindow,
    InstrumentLimits,
    RiskLimits,
    StrategyLimits,
    check_limits,
)
from domain.errors import InputError
from domain.message import Record
from domain.values import Time
from infrastructure.event_store.codec import decode, encode
from tests.domain.risk.limited import ETH, limits
from tests.spec import BTC

AMOUNTS = (
    "order_notional_max", "bot_exposure_max", "instrument_exposure_max", "account_exposure_max",
    "correlated_exposure_max", "daily_loss_max", "bot_daily_loss_max", "drawdown_max",
)  # fmt: skip
RATES = ("price_collar_pct", "margin_use_max_pct", "concentration_max_pct", "margin_rate_pct", "leverage_max")
LOSS_RATES = ("daily_loss_max_pct", "bot_daily_loss_max_pct", "drawdown_max_pct")
COUNTS = {
    "open_orders_max": 100_000, "orders_max": 100_000, "orders_window_seconds": 86_400,
    "duplicate_window_seconds": 86_400, "value_every_seconds": 86_400, "consecutive_losses_max": 100_000,
    "cooldown_seconds": 8_640_000,
}  # fmt: skip


def refused(key: str, **changes: Any) -> None:
    with pytest.raises(InputError, match=r"^limits\." + key.replace("[", r"\[").replace("]", r"\]") + " is"):
        check_limits(limits(**changes))


def test_nothing_is_limited_until_it_is_set() -> None:
    assert check_limits(NO_LIMITS) is NO_LIMITS
    assert not NO_LIMITS.limits_losses
    assert not NO_LIMITS.reviews
    assert NO_LIMITS.window_seconds == 0


@pytest.mark.parametrize("name", [*AMOUNTS, *RATES, *LOSS_RATES])
def test_an_amount_is_above_nothing_and_finite(name: str) -> None:
    check_limits(limits(**{name: "0.00000001"}))
    for text in ("0", "-1", "NaN", "Infinity", "1e10", "0.1234567890123456789"):
        refused(name, **{name: text})


@pytest.mark.parametrize("name", [*AMOUNTS, *RATES])
def test_an_amount_has_ten_digits_before_its_point(name: str) -> None:
    check_limits(limits(**{name: "9999999999"}))
    check_limits(limits(**{name: "1e-9"}))
    check_limits(limits(**{name: "123456789.123456789"}))
    refused(name, **{name: "1e-10"})


@pytest.mark.parametrize("name", LOSS_RATES)
def test_more_than_all_cannot_be_lost(name: str) -> None:
    check_limits(limits(**{name: "100"}))
    refused(name, **{name: "100.00000001"})


@pytest.mark.parametrize(("name", "most"), COUNTS.items())
def test_a_count_is_at_least_one_and_bounded(name: str, most: int) -> None:
    for count in (1, most):
        check_limits(limits(**{name: count}))
    for count in (0, -1, most + 1):
        refused(name, **{name: count})


def test_a_session_starts_within_a_day() -> None:
    for seconds in (0, 86_399):
        check_limits(limits(session_start_seconds=seconds))
    for seconds in (-1, 86_400):
        refused("session_start_seconds", session_start_seconds=seconds)
    with pytest.raises(InputError, match="allowed: 0 to 86399"):
        check_limits(limits(session_start_seconds=-1))
    assert limits().value_every_seconds == 10


@pytest.mark.parametrize("name", [*AMOUNTS, *LOSS_RATES, "leverage_max", "margin_use_max_pct", "concentration_max_pct"])
def test_amounts_have_a_currency(name: str) -> None:
    refused(name, currency=None, **{name: "1"})


def test_parts_have_a_currency_where_they_have_an_amount() -> None:
    own = InstrumentLimits(BTC, exposure_max=Decimal(1))
    refused("exposure_max", currency=None, instruments=(own,))
    refused("exposure_max", currency=None, strategies=(StrategyLimits("x", ("dca",), Decimal(1)),))
    check_limits(limits(currency=None, instruments=(InstrumentLimits(BTC),), price_collar_pct="1"))


def test_modes_are_some_or_not_set() -> None:
    refused("modes", modes=())
    check_limits(limits(modes=("live",)))


def test_parts_are_checked_one_by_one() -> None:
    refused("instruments[BTC/USDT].exposure_max", instruments=(InstrumentLimits(BTC, exposure_max=Decimal(0)),))
    refused("instruments[BTC/USDT].order_quantity_max", instruments=(InstrumentLimits(BTC, True, Decimal(0)),))
    refused("instruments", instruments=(InstrumentLimits(BTC), InstrumentLimits(BTC)))
    refused("strategies[x].exposure_max", strategies=(StrategyLimits("x", ("dca",), Decimal(0)),))
    refused("strategies[x].bots", strategies=(StrategyLimits("x", (), Decimal(1)),))
    refused("strategies", strategies=(StrategyLimits("x", ("a",), Decimal(1)), StrategyLimits("x", ("b",), Decimal(1))))


def test_a_correlation_is_of_two_and_at_most_one() -> None:
    for value in ("1", "-1", "0.000001"):
        check_limits(limits(correlations=(Correlation(BTC, ETH, Decimal(value)),)))
    for value in ("1.000001", "-1.000001", "0.0000001", "NaN"):
        refused("correlations[BTC/USDT,ETH/USDT]", correlations=(Correlation(BTC, ETH, Decimal(value)),))
    refused("correlations[BTC/USDT,BTC/USDT]", correlations=(Correlation(BTC, BTC, Decimal(1)),))
    both = (Correlation(BTC, ETH, Decimal(1)), Correlation(ETH, BTC, Decimal(1)))
    refused("correlations", correlations=both)


def test_a_breaker_has_samples_and_a_width() -> None:
    for samples in (2, 10_000):
        check_limits(limits(breaker=Breaker("VIX", samples)))
    for samples in (1, 10_001):
        refused("breaker.samples", breaker=Breaker("VIX", samples))
    check_limits(limits(breaker=Breaker("VIX", 2, Decimal(100))))
    refused("breaker.sigmas", breaker=Breaker("VIX", 2, Decimal("100.1")))
    refused("breaker.sigmas", breaker=Breaker("VIX", 2, Decimal(0)))
    refused("breaker.index", breaker=Breaker("", 2))


def test_an_event_ends_after_it_has_begun() -> None:
    check_limits(limits(event_windows=(EventWindow(Time(0), Time(1), "x"),)))
    check_limits(limits(event_windows=(EventWindow(Time(0), Time(2**63 - 1), "x"),)))
    for start, end in ((1, 1), (-1, 1), (0, 2**63)):
        refused("event_windows[x]", event_windows=(EventWindow(Time(start), Time(end), "x"),))


OWN = InstrumentLimits(BTC, exposure_max=Decimal(1))
SAME = Correlation(BTC, BTC, Decimal(1))
BOTH = (Correlation(ETH, BTC, Decimal(1)), Correlation(BTC, ETH, Decimal(1)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"open_orders_max": 0}, "open_orders_max is 0; allowed: 1 to 100000"),
        ({"session_start_seconds": 86_400}, "session_start_seconds is 86400; allowed: 0 to 86399"),
        ({"modes": ()}, "modes is []; allowed: at least one mode, or none set"),
        ({"currency": None, "leverage_max": "2"}, "leverage_max is 2; allowed: only with a currency"),
        ({"currency": None, "instruments": (OWN,)}, "exposure_max is set; allowed: only with a currency"),
        ({"daily_loss_max_pct": "101"}, "daily_loss_max_pct is 101; allowed: above 0 and at most 100"),
        ({"leverage_max": "-2"}, "leverage_max is -2; allowed: above 0, of at most 18 digits"),
        (
            {"strategies": (StrategyLimits("x", (), Decimal(1)),)},
            "strategies[x].bots is []; allowed: at least one bot",
        ),
        ({"instruments": (OWN, OWN)}, "instruments is BTC/USDT twice; allowed: each once"),
        (
            {"correlations": (Correlation(BTC, ETH, Decimal(2)),)},
            "correlations[BTC/USDT,ETH/USDT] is 2; allowed: -1 to 1, 6 decimal places",
        ),
        ({"correlations": (SAME,)}, "correlations[BTC/USDT,BTC/USDT] is BTC/USDT; allowed: two instruments"),
        ({"correlations": BOTH}, "correlations is BTC/USDT,ETH/USDT twice; allowed: each once"),
        ({"breaker": Breaker("VIX", 1)}, "breaker.samples is 1; allowed: 2 to 10000"),
        ({"breaker": Breaker("VIX", 2, Decimal(101))}, "breaker.sigmas is 101; allowed: above 0 and at most 100"),
        ({"breaker": Breaker("", 2)}, "breaker.index is empty; allowed: the name of an index"),
        (
            {"event_windows": (EventWindow(Time(1), Time(1), "x"),)},
            "event_windows[x] is 1; allowed: after its start",
        ),
    ],
)
def test_a_refusal_names_the_key_what_was_asked_and_what_is_allowed(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_limits(limits(**changes))
    assert str(refusal.value) == f"limits.{says}"


@pytest.mark.parametrize("name", ["daily_loss_max", "bot_daily_loss_max_pct", "drawdown_max"])
def test_limits_on_losses_ask_for_a_review(name: str) -> None:
    assert limits(**{name: "1"}).limits_losses
    assert limits(**{name: "1"}).reviews


def test_other_stops_ask_for_a_review_and_need_no_equity() -> None:
    for set_ in (limits(consecutive_losses_max=1), limits(event_windows=(EventWindow(Time(0), Time(1), "x"),))):
        assert set_.reviews
        assert not set_.limits_losses
    assert not limits(order_notional_max="1", cooldown_seconds=5).reviews


def test_the_longest_window_counts() -> None:
    assert limits(orders_max=1, orders_window_seconds=7).window_seconds == 7
    assert limits(orders_window_seconds=7).window_seconds == 0
    assert limits(duplicate_window_seconds=3).window_seconds == 3
    assert limits(orders_max=1, orders_window_seconds=2, duplicate_window_seconds=3).window_seconds == 3
    assert limits(orders_max=1).window_seconds == 60


@pytest.mark.parametrize("series", ["level", "change"])
@pytest.mark.parametrize("mode", ["simulated", "live"])
def test_limits_are_kept_to_the_last_digit(series: Any, mode: Any) -> None:
    every = limits(
        order_notional_max="100.10", instruments=(InstrumentLimits(BTC, False, Decimal("0.5"), Decimal(9)),),
        correlations=(Correlation(BTC, ETH, Decimal("-0.25")),), breaker=Breaker("VIX", 20, Decimal("2.5"), series),
        strategies=(StrategyLimits("x", ("dca",), Decimal(1)),), modes=(mode,),
        event_windows=(EventWindow(Time(1), Time(2), "FOMC"),),
    )  # fmt: skip
    record: Any = Record(1, 1, Time(0), "user:x", None, (RiskLimitsSet("main", 1, every),))
    assert decode(encode(record)) == record
    text = msgspec.json.encode(every)
    assert b'"order_notional_max":"100.10"' in text
    assert msgspec.json.decode(text, type=RiskLimits) == every
