"""Each pre-trade rule at its boundary, one quantum to either side; and a rule that breaks denies."""

from typing import Any

import pytest
from msgspec import structs

from domain.account.commands import SetRiskLimits, UnknownReported
from domain.account.events import OrderDenied, RiskPassed
from domain.account.limits import NO_LIMITS, RiskLimits
from domain.risk import pre_trade
from tests.spec import BTC, Story, fill, instrument, opened_account, order


def verdict(story: Story, **changes: Any) -> str:
    """The code of the denial, `passed` where there is none."""
    judged = story.when(order(**changes))[-1]
    if isinstance(judged, OrderDenied):
        return judged.code
    assert isinstance(judged, RiskPassed)
    return "passed"


def test_an_instrument_that_is_not_listed_is_denied() -> None:
    assert verdict(opened_account(), instrument="ETH/USDT") == "INSTRUMENT_UNKNOWN"


def test_a_quantity_off_the_step_is_denied_with_its_numbers() -> None:
    listed = instrument(step="0.005")
    account = opened_account(listed=listed)
    assert (listed.size_scale, listed.step) == (3, 5)
    denied = account.when(order(quantity=1004))[-1]
    assert isinstance(denied, OrderDenied)
    assert (denied.code, denied.reason) == ("QUANTITY_OFF_STEP", "quantity=1.004, step=0.005")
    assert verdict(account, quantity=1005) == "passed"
    assert verdict(account, quantity=4) == "QUANTITY_BELOW_STEP"


@pytest.mark.parametrize(("limit", "expected"), [(10004, "PRICE_OFF_TICK"), (10005, "passed"), (0, "PRICE_OFF_TICK")])
def test_a_price_is_a_positive_multiple_of_the_tick(limit: int, expected: str) -> None:
    assert verdict(opened_account(listed=instrument(tick="0.05")), limit=limit) == expected


@pytest.mark.parametrize("type_", ["limit", "stop"])
def test_a_price_off_the_tick_is_denied_with_its_numbers(type_: str) -> None:
    prices = {"limit": None, "stop": None, type_: 10004}
    denied = opened_account(listed=instrument(tick="0.05")).when(order(type=type_, **prices))[-1]
    assert isinstance(denied, OrderDenied)
    assert (denied.code, denied.reason) == ("PRICE_OFF_TICK", f"{type_}=100.04, tick=0.05")


def test_the_smallest_price_is_one_tick() -> None:
    assert verdict(opened_account(listed=instrument(minimum="0")), limit=1) == "passed"


@pytest.mark.parametrize("type_", ["limit", "stop"])
def test_only_an_order_at_the_market_names_no_price(type_: str) -> None:
    denied = opened_account().when(order(type=type_, limit=None))[-1]
    assert isinstance(denied, OrderDenied)
    assert (denied.code, denied.reason) == ("PRICE_MISSING", f"type={type_}")


@pytest.mark.parametrize(("quantity", "expected"), [(49, "NOTIONAL_BELOW_MINIMUM"), (50, "passed"), (51, "passed")])
def test_the_notional_reaches_the_minimum(quantity: int, expected: str) -> None:
    assert verdict(opened_account(), quantity=quantity) == expected


def test_a_notional_below_the_minimum_says_both_numbers() -> None:
    denied = opened_account().when(order(quantity=42))[-1]
    assert isinstance(denied, OrderDenied)
    assert denied.reason == "notional=4.2, minimum=5"


def test_a_notional_of_64_bits_is_the_largest() -> None:
    """2^63 - 1 is 60247241209 x 153092023; beyond it nothing could be written down."""
    account = opened_account(listed=instrument(tick="0.0001", step="0.0001", minimum="0"))
    largest: dict[str, Any] = {"limit": 60_247_241_209, "quantity": 153_092_023}
    assert verdict(account, **largest) == "BALANCE_INSUFFICIENT"
    denied = account.when(order(**{**largest, "quantity": 153_092_024}))[-1]
    assert isinstance(denied, OrderDenied)
    assert (denied.code, denied.reason) == ("NOTIONAL_TOO_LARGE", "notional=92233720971.02017016")


def test_a_denial_says_whose_order_it_was() -> None:
    denied = opened_account().when(order(quantity=42, bot="dca", group=7, leg=2, role="target"))[-1]
    expected: Any = ("main", 1, "dca", 7, 2, "target", BTC, 42, "NOTIONAL_BELOW_MINIMUM", "notional=4.2, minimum=5", 0)
    assert denied == OrderDenied(*expected)


# 1.000 at 100.00 costs 100 and a maker's fee of 0.02, or a taker's of 0.1.
@pytest.mark.parametrize(
    ("cash", "kind", "expected"),
    [
        ("100.01999999", "limit", "BALANCE_INSUFFICIENT"),
        ("100.02", "limit", "passed"),
        ("100.09999999", "market", "BALANCE_INSUFFICIENT"),
        ("100.1", "market", "passed"),
    ],
)
def test_what_cannot_be_afforded_with_its_fee_is_denied(cash: str, kind: str, expected: str) -> None:
    assert verdict(opened_account(cash=cash), type=kind) == expected


@pytest.mark.parametrize(("cash", "expected"), [("99.99999999", "BALANCE_INSUFFICIENT"), ("100", "passed")])
def test_a_fee_in_the_base_asset_holds_back_no_cash(cash: str, expected: str) -> None:
    listed = instrument(fee_asset="base")
    size = 10**listed.size_scale
    assert verdict(opened_account(cash=cash, listed=listed), type="market", quantity=size) == expected
    short = opened_account(cash=cash, listed=listed, kind="margin")
    assert verdict(short, type="market", side="sell", quantity=size) == "BALANCE_INSUFFICIENT", (
        "a sale has its fee in cash"
    )


def test_open_orders_hold_cash_back() -> None:
    account = opened_account(cash="200.04")
    assert [verdict(account) for _ in range(3)] == ["passed", "passed", "BALANCE_INSUFFICIENT"]


@pytest.mark.parametrize(("quantity", "expected"), [(1000, "passed"), (1001, "POSITION_INSUFFICIENT")])
def test_a_spot_sale_takes_no_more_than_is_held(quantity: int, expected: str) -> None:
    assert verdict(opened_account(position=1000), side="sell", quantity=quantity) == expected


def test_what_closes_needs_no_cash_and_holds_none_back() -> None:
    passed = opened_account(cash="0", position=1000).when(order(side="sell"))[-1]
    assert isinstance(passed, RiskPassed)
    assert (passed.notional, passed.reserved) == (100 * 10**8, 0)


def test_open_sales_hold_the_position_back() -> None:
    account = opened_account(position=1000)
    assert verdict(account, side="sell", quantity=600) == "passed"
    assert verdict(account, side="sell", quantity=401) == "POSITION_INSUFFICIENT"
    assert verdict(account, side="sell", quantity=400) == "passed"


def test_a_groups_stop_covers_what_its_targets_hold_back_and_no_more_than_is_held() -> None:
    account = opened_account(position=1000)
    assert verdict(account, side="sell", role="target", quantity=1000, reduce_only=True) == "passed"
    stop: dict[str, Any] = {"side": "sell", "role": "stop", "type": "stop", "limit": None, "stop": 9000}
    assert verdict(account, **stop, quantity=1001, reduce_only=True) == "POSITION_INSUFFICIENT"
    assert verdict(account, **stop, quantity=1000, reduce_only=True) == "passed"
    assert verdict(account, side="sell", role="target", quantity=100, reduce_only=True) == "POSITION_INSUFFICIENT"


def test_where_nothing_is_held_not_even_a_step_is_reduced() -> None:
    account = opened_account(kind="margin", listed=instrument(minimum="0"))
    assert verdict(account, side="sell", quantity=1, reduce_only=True) == "POSITION_INSUFFICIENT"


def test_reduce_only_never_opens() -> None:
    assert verdict(opened_account(), reduce_only=True) == "POSITION_INSUFFICIENT"
    assert verdict(opened_account(kind="margin"), side="sell", reduce_only=True) == "POSITION_INSUFFICIENT"


def test_a_margin_account_may_be_short_up_to_its_cash() -> None:
    assert verdict(opened_account(cash="100.02", kind="margin"), side="sell") == "passed"
    assert verdict(opened_account(cash="100.01", kind="margin"), side="sell") == "BALANCE_INSUFFICIENT"


@pytest.mark.parametrize(("quantity", "expected"), [(498, "passed"), (500, "BALANCE_INSUFFICIENT")])
def test_what_is_short_weighs_as_much_as_its_proceeds(quantity: int, expected: str) -> None:
    account = opened_account(cash="150", kind="margin")
    account.when(order(side="sell"))
    account.when(fill(1, "t1", 1000))
    # 250 in cash, of which 100 are owed and 100 stand behind the short: 50 are left, less the fee.
    assert verdict(account, side="sell", quantity=quantity) == expected


def test_covering_a_short_frees_what_stood_behind_it() -> None:
    account = opened_account(cash="100.02", kind="margin")
    account.when(order(side="sell"))
    account.when(fill(1, "t1", 1000))
    assert verdict(account, side="sell", quantity=100) == "BALANCE_INSUFFICIENT"
    account.when(order(side="buy", reduce_only=True, quantity=500))
    account.when(fill(3, "t2", 500))
    assert account.state.short_basis[BTC] == 50 * 10**8
    assert verdict(account, side="sell", quantity=500) == "passed"


def test_an_unknown_order_freezes_new_exposure_on_its_instrument_but_not_its_reduction() -> None:
    account = opened_account(position=1000)
    account.when(order())
    account.when(UnknownReported("main", 1, "timeout"))
    assert verdict(account) == "ORDER_UNKNOWN"
    assert verdict(account, side="sell", quantity=100) == "passed"


@pytest.mark.parametrize("none", [NO_LIMITS, RiskLimits()])
def test_where_all_limits_were_taken_back_a_verdict_still_names_their_version(none: RiskLimits) -> None:
    """An equal value must do what the constant does, or a core restored from its log would write other bytes."""
    account = opened_account()
    account.when(SetRiskLimits("main", RiskLimits(open_orders_max=1)))
    account.when(SetRiskLimits("main", none))
    judged = account.when(order())[-1]
    assert isinstance(judged, RiskPassed)
    assert judged.settings == account.state.limits_version == 2


def test_a_rule_that_fails_to_run_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(pre_trade, "RULES", (broken, *pre_trade.RULES))
    denied = opened_account().when(order())[-1]
    assert isinstance(denied, OrderDenied)
    assert (denied.code, denied.reason) == ("RISK_CHECK_FAILED", "rule=broken, error=out of order")


def test_an_order_that_cannot_be_valued_is_denied() -> None:
    account = opened_account()
    account.state.listings[BTC] = structs.replace(account.state.listings[BTC], maker_fee=None)
    denied = account.when(order())[-1]
    assert isinstance(denied, OrderDenied)
    assert denied.code == "RISK_CHECK_FAILED"
    assert denied.reason.startswith("rule=worth_of, error=")


def test_a_denied_order_leaves_nothing_behind() -> None:
    account = opened_account(cash="1")
    assert verdict(account) == "BALANCE_INSUFFICIENT"
    assert account.state.orders == {}
    assert account.state.reserved.get("USDT", 0) == 0
    assert account.state.held_back.get(BTC, 0) == 0
