"""Each limit on orders at its boundary, one unit to either side, with its numbers in the verdict."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from domain.account.commands import SetRiskLimits
from domain.account.events import OrderDenied, OrderIntended
from domain.account.limits import EventWindow, InstrumentLimits
from domain.decider import Now
from domain.risk import pre_trade
from domain.risk.exposure import EXPOSURE_RULES
from domain.risk.limits import CLOSING_RULES, ORDER_RULES
from domain.values import Time
from tests.domain.risk.limited import ETH, MARKS, SECOND, judged, limited, limits, listed, trade, verdict
from tests.spec import BTC, fill, opened_account, order

PASSED = "passed"


def test_a_verdict_names_the_settings_that_it_was_held_against() -> None:
    account = opened_account()
    passed = judged(account)
    assert (passed.settings, passed.at) == (0, 0)
    account.when(SetRiskLimits("main", limits(order_notional_max="100")))
    assert judged(account).settings == 1
    account.when(SetRiskLimits("main", limits(order_notional_max="99")))
    denied = judged(account)
    assert isinstance(denied, OrderDenied)
    assert denied.settings == 2


# 0.001 at 0.01 is the smallest step of the notional: 0.00001 USDT.
@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(999, PASSED), (1000, PASSED), (1001, "ORDER_NOTIONAL: notional=100.1, limit=100")],
)
def test_the_notional_of_an_order_is_capped(quantity: int, expected: str) -> None:
    assert verdict(limited(order_notional_max="100"), quantity=quantity) == expected


@pytest.mark.parametrize(("cap", "expected"), [("100.00000000", True), ("99.99999999", False), ("100.00000001", True)])
def test_a_cap_is_counted_to_the_last_quantum(cap: str, expected: bool) -> None:
    assert (verdict(limited(order_notional_max=cap)) == PASSED) is expected


def test_a_cap_finer_than_a_quantum_counts_as_the_next_below() -> None:
    assert verdict(limited(order_notional_max="99.999999999")).startswith("ORDER_NOTIONAL")


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(499, PASSED), (500, PASSED), (501, "ORDER_QUANTITY: quantity=0.501, limit=0.5")],
)
def test_the_quantity_of_an_order_is_capped_by_instrument(quantity: int, expected: str) -> None:
    own = (InstrumentLimits(BTC, order_quantity_max=Decimal("0.5")),)
    assert verdict(limited(instruments=own), quantity=quantity) == expected
    assert verdict(limited(instruments=own), quantity=quantity, instrument=ETH) == PASSED


def test_an_instrument_taken_out_of_trading_opens_nothing_and_closes_what_is_held() -> None:
    account = limited()
    trade(account)
    account.when(SetRiskLimits("main", limits(instruments=(InstrumentLimits(BTC, tradable=False),))))
    assert verdict(account) == "INSTRUMENT_NOT_TRADABLE: instrument=BTC/USDT"
    assert verdict(account, instrument=ETH) == PASSED
    assert verdict(account, side="sell") == PASSED


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("simulated", PASSED), ("live", "MODE_NOT_ALLOWED: mode=live, allowed=simulated")],
)
def test_an_account_trades_in_the_modes_it_may(mode: str, expected: str) -> None:
    assert verdict(limited(mode=mode, modes=("simulated",))) == expected
    assert verdict(limited(mode=mode, modes=("simulated", "live"))) == PASSED
    assert verdict(limited(mode=mode)) == PASSED


def test_what_the_account_may_not_trade_in_its_mode_it_may_not_close_either() -> None:
    account = limited(mode="live")
    trade(account)
    account.when(SetRiskLimits("main", limits(modes=("simulated",))))
    assert verdict(account, side="sell").startswith("MODE_NOT_ALLOWED")


# Two percent of 100.00 is 2.00.
@pytest.mark.parametrize("type_", ["limit", "stop"])
@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (9799, "PRICE_COLLAR: price=97.99, mark=100, limit=2%"),
        (9800, PASSED),
        (9801, PASSED),
        (10199, PASSED),
        (10200, PASSED),
        (10201, "PRICE_COLLAR: price=102.01, mark=100, limit=2%"),
    ],
)
def test_a_price_stays_near_the_last_one(type_: str, price: int, expected: str) -> None:
    prices = {"limit": price} if type_ == "limit" else {"limit": None, "stop": price}
    assert verdict(limited(price_collar_pct="2"), type=type_, **prices) == expected


def test_a_collar_is_exact_where_its_percent_is_a_fraction() -> None:
    account = limited(price_collar_pct="0.015")
    assert verdict(account, limit=10001) == PASSED
    assert verdict(account, limit=10002) == "PRICE_COLLAR: price=100.02, mark=100, limit=0.015%"


def test_an_opening_order_at_the_market_is_held_to_the_collar_by_its_reference() -> None:
    account = limited(price_collar_pct="2")
    assert verdict(account, type="market", reference=10200) == PASSED
    assert verdict(account, type="market", reference=10201).startswith("PRICE_COLLAR")


def test_without_a_last_price_a_collar_lets_nothing_open() -> None:
    assert verdict(limited(price_collar_pct="2"), marks={ETH: 10000}) == "MARK_UNKNOWN: instrument=BTC/USDT"


def test_a_collar_keeps_nobody_from_closing_at_the_market() -> None:
    account = limited(price_collar_pct="2")
    trade(account)
    assert verdict(account, side="sell", limit=9799, quantity=100).startswith("PRICE_COLLAR")
    assert verdict(account, side="sell", limit=9799, quantity=100, marks={}) == PASSED
    assert verdict(account, side="sell", type="market", reference=5000, quantity=100) == PASSED


def test_only_so_many_orders_are_open() -> None:
    account = limited(open_orders_max=2)
    assert [verdict(account) for _ in range(3)] == [PASSED, PASSED, "OPEN_ORDERS: open=2, limit=2"]
    account.when(fill(1, "t1", 1000))
    assert verdict(account) == PASSED


def test_only_so_many_orders_are_sent_within_a_window() -> None:
    account = limited(orders_max=2, orders_window_seconds=10)
    start = 5 * SECOND
    assert verdict(account, start) == PASSED
    assert verdict(account, start + SECOND) == PASSED
    last = start + 10 * SECOND
    assert verdict(account, last - 1) == "ORDER_RATE: sent=2, limit=2, seconds=10"
    assert verdict(account, last) == PASSED
    assert verdict(account, last + 1) == "ORDER_RATE: sent=2, limit=2, seconds=10"
    assert len(account.state.sent) == 2


def test_what_was_denied_was_not_sent_and_what_closes_counts_but_passes() -> None:
    account = limited(orders_max=2, orders_window_seconds=10)
    assert verdict(account, SECOND, quantity=1) == "NOTIONAL_BELOW_MINIMUM: notional=0.1, minimum=5"
    trade(account, at=SECOND)
    assert verdict(account, SECOND, side="sell", quantity=500) == PASSED
    assert verdict(account, SECOND).startswith("ORDER_RATE: sent=2")
    assert verdict(account, SECOND, side="sell", quantity=500) == PASSED


def test_the_time_of_sending_is_recorded_where_a_window_asks_for_it() -> None:
    assert judged(limited(orders_max=2), 7).at == 7
    assert judged(limited(duplicate_window_seconds=2), 7).at == 7
    assert judged(limited(order_notional_max="1000"), 7).at == 0


def test_the_same_order_again_waits_for_the_window() -> None:
    account = limited(duplicate_window_seconds=3)
    at = 10 * SECOND
    assert verdict(account, at) == PASSED
    assert verdict(account, at) == "ORDER_DUPLICATE: microseconds=0, limit=3000000"
    assert verdict(account, at + 3 * SECOND - 1) == "ORDER_DUPLICATE: microseconds=2999999, limit=3000000"
    assert verdict(account, at + 3 * SECOND) == PASSED
    assert verdict(account, at + 6 * SECOND - 1).startswith("ORDER_DUPLICATE")


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 10001}, {"quantity": 1001}, {"bot": "other"}, {"instrument": ETH}, {"type": "market"},
        {"type": "stop_limit", "stop": 10000}, {"side": "sell", "reduce_only": False},
    ],
)  # fmt: skip
def test_an_order_that_differs_is_no_repetition(change: dict[str, Any]) -> None:
    account = limited(kind="margin", duplicate_window_seconds=3)
    assert verdict(account, SECOND) == PASSED
    assert verdict(account, SECOND, **change) == PASSED


def test_the_longest_window_is_remembered() -> None:
    account = limited(orders_max=9, orders_window_seconds=1, duplicate_window_seconds=5)
    verdict(account, SECOND)
    verdict(account, 3 * SECOND, limit=9999)
    assert verdict(account, 4 * SECOND).startswith("ORDER_DUPLICATE")
    assert len(account.state.sent) == 2


def test_after_a_loss_its_bot_waits() -> None:
    account = limited(cooldown_seconds=60)
    trade(account, at=SECOND)
    trade(account, 9999, at=2 * SECOND, side="sell")
    at = 2 * SECOND
    expected = "COOLDOWN: bot=dca, microseconds=59999999, limit=60000000"
    assert verdict(account, at + 60 * SECOND - 1) == expected
    assert verdict(account, at + 60 * SECOND - 1, bot="other") == PASSED
    assert verdict(account, at + 60 * SECOND) == PASSED


@pytest.mark.parametrize("price", [10000, 10001])
def test_after_no_loss_nobody_waits(price: int) -> None:
    account = limited(cooldown_seconds=60)
    trade(account)
    trade(account, price, side="sell")
    assert verdict(account, 1) == PASSED


@pytest.mark.parametrize(
    ("at", "expected"),
    [(99, PASSED), (100, "EVENT_WINDOW: event=FOMC, at=100, start=100, end=200"), (199, "E"), (200, PASSED)],
)
def test_during_an_event_nothing_opens(at: int, expected: str) -> None:
    account = limited(event_windows=(EventWindow(100, 200, "FOMC"), EventWindow(300, 400, "CPI")))  # type: ignore[arg-type]
    assert verdict(account, at)[: len(expected)] == expected
    trade(account)
    assert verdict(account, 150, side="sell") == PASSED


def test_what_is_paid_in_another_currency_cannot_be_held_against_the_limits() -> None:
    account = limited(currency="EUR", order_notional_max="1000")
    assert verdict(account) == "CURRENCY_DIFFERENT: quote=USDT, currency=EUR"


def test_without_a_currency_what_needs_none_is_held_against_its_limit() -> None:
    account = limited(currency=None, open_orders_max=1)
    assert verdict(account) == PASSED
    assert verdict(account).startswith("OPEN_ORDERS")


def test_what_closes_passes_whatever_is_limited() -> None:
    account = limited()
    trade(account)
    trade(account, instrument=ETH)
    tight = limits(
        order_notional_max="1", open_orders_max=1, orders_max=1, duplicate_window_seconds=5, bot_exposure_max="1",
        account_exposure_max="1", instrument_exposure_max="1", leverage_max="0.001", margin_use_max_pct="0.001",
        concentration_max_pct="0.001", correlated_exposure_max="0.1", cooldown_seconds=9, daily_loss_max="1",
        instruments=(InstrumentLimits(BTC, False, Decimal("0.001"), Decimal("0.01")),),
    )  # fmt: skip
    account.when(SetRiskLimits("main", tight), marks=MARKS)
    assert verdict(account, side="sell", quantity=400) == PASSED
    assert verdict(account, side="sell", quantity=400) == PASSED
    assert verdict(account, side="sell", quantity=201) == "POSITION_INSUFFICIENT: quantity=0.201, free=0.2"


def test_nothing_is_asked_that_is_not_set() -> None:
    first, last = pre_trade.RULES[:-1], pre_trade.RULES[-1:]
    (in_currency,) = (rule for _, rule in ORDER_RULES if rule.__name__ == "in_currency")
    assert pre_trade.active_rules(limits(currency=None), False) == pre_trade.RULES
    assert pre_trade.active_rules(limits(), False) == (*first, in_currency, *last)
    assert pre_trade.active_rules(limits(daily_loss_max="5"), True) == pre_trade.RULES


def test_where_it_cannot_be_told_what_is_limited_nothing_passes() -> None:
    account = limited()
    intended = account.when(order(), marks=MARKS)[0]
    assert isinstance(intended, OrderIntended)
    account.state.limits = limits(instruments=5)
    denied = pre_trade.judge(account.state, intended, Now(Time(0), MARKS))
    assert isinstance(denied, OrderDenied)
    assert denied.code == "RISK_CHECK_FAILED"
    assert denied.reason.startswith("rule=active_rules, error=")


def test_a_collar_stands_where_the_fee_is_in_the_base_asset_too() -> None:
    account = limited(price_collar_pct="2")
    listing = account.state.listings[ETH]
    account.state.listings[ETH] = structs.replace(listing, instrument=listed("ETH/USDT", fee_asset="base"))
    assert verdict(account, instrument=ETH, limit=10200) == PASSED
    assert verdict(account, instrument=ETH, limit=10201) == "PRICE_COLLAR: price=102.01, mark=100, limit=2%"


class Nameless:
    """Limits of an instrument that has no name."""

    tradable = False
    order_quantity_max = None
    exposure_max = None


NAN = Decimal("NaN")
BROKEN: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("in_mode", {"modes": 5}, ""),
    ("tradable", {"instruments": (Nameless(),)}, ""),
    ("outside_events", {"event_windows": (None,)}, ""),
    ("cooled_down", {"cooldown_seconds": 5}, "lost_at"),
    ("within_notional", {"order_notional_max": NAN}, ""),
    ("within_quantity", {"instruments": (InstrumentLimits(BTC, order_quantity_max=NAN),)}, ""),
    ("near_mark", {"price_collar_pct": NAN}, ""),
    ("few_open", {"open_orders_max": 5}, "orders"),
    ("within_rate", {"orders_max": 5}, "sent"),
    ("not_again", {"duplicate_window_seconds": 5}, "sent"),
    ("priced", {"account_exposure_max": "500"}, "positions"),
    ("within_bot", {"bot_exposure_max": "500"}, "books"),
    ("within_strategy", {"strategies": (None,)}, ""),
    ("within_instrument", {"instruments": (InstrumentLimits(BTC, exposure_max=NAN),)}, ""),
    ("within_account", {"account_exposure_max": NAN}, ""),
    ("within_leverage", {"leverage_max": 5}, "cash"),
    ("within_margin", {"margin_use_max_pct": 5}, "cash"),
    ("within_concentration", {"concentration_max_pct": 5}, "cash"),
    ("within_correlation", {"correlated_exposure_max": NAN}, ""),
)


@pytest.mark.parametrize(("rule", "changes", "lost"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_limit_that_fails_to_run_denies(rule: str, changes: dict[str, Any], lost: str) -> None:
    """What the rule reads is no limit at all, or a part of the state that it reads is lost."""
    account = limited()
    intended = account.when(order(), marks=MARKS)[0]
    assert isinstance(intended, OrderIntended)
    account.state.limits = limits(**changes)
    if lost:
        setattr(account.state, lost, None)
    denied = pre_trade.judge(account.state, intended, Now(Time(0), MARKS))
    assert isinstance(denied, OrderDenied)
    assert denied.code == "RISK_CHECK_FAILED"
    assert denied.reason.startswith(f"rule={rule}, error=")


def test_every_limit_is_shown_to_deny_where_it_fails() -> None:
    """Two read only what every order has: the session, and the instrument's quote."""
    rules = {rule.__name__ for _, rule in (*ORDER_RULES, *CLOSING_RULES, *EXPOSURE_RULES)}
    assert {name for name, _, _ in BROKEN} == rules - {"valued", "in_currency"}
