"""Exposure at its worst, and each limit on it at its boundary, one quantum to either side."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account.commands import CancelReported, SetRiskLimits
from domain.account.events import CashDeposited, PositionDeposited
from domain.account.limits import Correlation, InstrumentLimits, StrategyLimits
from domain.risk.exposure import equity, results
from tests.domain.risk.limited import CENT, ETH, MARKS, SHARE, in_rupees, limited, limits, trade, verdict
from tests.spec import BTC, USDT, Story, fill, order

PASSED = "passed"


def code(story: Story, **changes: Any) -> str:
    return verdict(story, **changes).partition(":")[0]


# An order of 1.000 at 100.00 is 100 USDT; a step of 0.001 is 0.1 USDT.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bot_exposure_max", "EXPOSURE_BOT: bot=dca, exposure=100.1, limit=100"),
        ("instrument_exposure_max", "EXPOSURE_INSTRUMENT: instrument=BTC/USDT, exposure=100.1, limit=100"),
        ("account_exposure_max", "EXPOSURE_ACCOUNT: exposure=100.1, limit=100"),
        ("correlated_exposure_max", "EXPOSURE_CORRELATED: exposure=BTC/USDT:100.1, limit=100"),
    ],
)
def test_the_first_order_is_held_to_each_limit_on_exposure(name: str, expected: str) -> None:
    assert verdict(limited(**{name: "100"}), quantity=999) == PASSED
    assert verdict(limited(**{name: "100"}), quantity=1000) == PASSED
    assert verdict(limited(**{name: "100"}), quantity=1001) == expected
    assert verdict(limited(**{name: "99.99999999"}), quantity=1000) != PASSED


@pytest.mark.parametrize("name", ["bot_exposure_max", "instrument_exposure_max", "account_exposure_max"])
def test_what_is_held_and_what_is_open_count_with_the_order(name: str) -> None:
    account = limited(**{name: "300"})
    trade(account)
    assert verdict(account) == PASSED
    assert verdict(account, quantity=1001) != PASSED
    assert verdict(account, quantity=1000) == PASSED
    assert verdict(account, quantity=50) != PASSED


def test_an_open_order_counts_what_is_left_of_it_at_its_own_price() -> None:
    account = limited(account_exposure_max="200")
    assert verdict(account, limit=9000) == PASSED
    assert code(account, quantity=1101) == "EXPOSURE_ACCOUNT"
    account.when(fill(1, "t1", 600, 9000))
    # 0.600 are held at 100, 0.400 are open at 90: 96.
    assert code(account, quantity=1041) == "EXPOSURE_ACCOUNT"
    assert verdict(account, quantity=1040) == PASSED


def test_an_open_stop_counts_at_its_stop_and_an_open_market_order_at_the_last_price() -> None:
    account = limited(account_exposure_max="300")
    assert verdict(account, type="stop", limit=None, stop=11000) == PASSED
    assert verdict(account, type="market", reference=9000) == PASSED
    assert code(account, quantity=901) == "EXPOSURE_ACCOUNT"
    assert verdict(account, quantity=900) == PASSED


def test_an_order_that_has_ended_counts_no_more() -> None:
    account = limited(account_exposure_max="100")
    assert verdict(account) == PASSED
    assert code(account) == "EXPOSURE_ACCOUNT"
    account.when(CancelReported("main", 1, 0, "done"))  # type: ignore[arg-type]
    assert verdict(account) == PASSED


def test_what_is_held_counts_at_the_last_price() -> None:
    account = limited(account_exposure_max="200")
    trade(account)
    marks = {BTC: 15000}
    assert verdict(account, marks=marks, quantity=500) == PASSED
    account = limited(account_exposure_max="200")
    trade(account)
    assert code(account, marks=marks, quantity=501) == "EXPOSURE_ACCOUNT"


def test_open_orders_that_close_add_nothing() -> None:
    account = limited(kind="margin", account_exposure_max="200")
    trade(account)
    assert verdict(account, side="sell", reduce_only=True, quantity=900, limit=11000) == PASSED
    assert verdict(account) == PASSED


@pytest.mark.parametrize(("kind", "reduce_only"), [("spot", False), ("margin", True)])
def test_a_bot_that_sells_what_another_holds_is_not_exposed_by_it(kind: str, reduce_only: bool) -> None:
    account = limited(kind=kind, bot_exposure_max="100")
    trade(account)
    assert verdict(account, bot="other", side="sell", reduce_only=reduce_only, limit=11000) == PASSED
    assert verdict(account, bot="other", instrument=ETH, quantity=1000) == PASSED
    assert code(account, bot="other", instrument=ETH, quantity=50) == "EXPOSURE_BOT"


def test_exposure_is_that_of_the_side_on_which_it_is_more() -> None:
    account = limited(kind="margin", account_exposure_max="200")
    trade(account)
    assert verdict(account, side="sell", quantity=3000) == PASSED  # 1 held, 3 sold: short of 2
    assert verdict(account, side="sell", quantity=50) == "EXPOSURE_ACCOUNT: exposure=205, limit=200"
    assert verdict(account, side="buy", quantity=1000) == PASSED
    assert verdict(account, side="buy", quantity=50) == "EXPOSURE_ACCOUNT: exposure=205, limit=200"


def test_a_short_is_an_exposure() -> None:
    account = limited(kind="margin", account_exposure_max="200")
    trade(account, side="sell")
    assert code(account, side="sell", quantity=1001) == "EXPOSURE_ACCOUNT"
    assert verdict(account, side="sell", quantity=1000) == PASSED


def test_an_account_is_exposed_to_every_instrument_and_an_instrument_to_itself() -> None:
    account = limited(account_exposure_max="200", instrument_exposure_max="150")
    trade(account)
    assert code(account, instrument=ETH, quantity=1001) == "EXPOSURE_ACCOUNT"
    assert code(account, quantity=501) == "EXPOSURE_INSTRUMENT"
    assert verdict(account, instrument=ETH, quantity=1000) == PASSED


def test_an_instrument_has_its_own_limit_or_that_of_all() -> None:
    own = (InstrumentLimits(BTC, exposure_max=Decimal(50)),)
    account = limited(instrument_exposure_max="150", instruments=own)
    assert verdict(account, quantity=501) == "EXPOSURE_INSTRUMENT: instrument=BTC/USDT, exposure=50.1, limit=50"
    assert verdict(account, quantity=500) == PASSED
    assert verdict(account, instrument=ETH, quantity=1500) == PASSED
    assert code(account, instrument=ETH, quantity=50) == "EXPOSURE_INSTRUMENT"
    assert verdict(limited(instruments=own), instrument=ETH, quantity=5000) == PASSED


def test_a_bot_is_held_to_what_it_holds_itself() -> None:
    account = limited(bot_exposure_max="100")
    trade(account)
    trade(account, bot="other", instrument=ETH)
    assert code(account, quantity=50) == "EXPOSURE_BOT"
    assert code(account, bot="other", quantity=50) == "EXPOSURE_BOT"
    assert verdict(account, bot="third") == PASSED
    trade(account, side="sell", quantity=500)
    assert verdict(account, quantity=500) == PASSED


def test_the_bots_of_a_strategy_are_held_together() -> None:
    trend = StrategyLimits("trend", ("dca", "other"), Decimal(200))
    grid = StrategyLimits("grid", ("grid",), Decimal(50))
    account = limited(strategies=(grid, trend))
    trade(account)
    expected = "EXPOSURE_STRATEGY: strategy=trend, exposure=200.1, limit=200"
    assert verdict(account, bot="other", instrument=ETH, quantity=1001) == expected
    assert verdict(account, bot="other", instrument=ETH, quantity=1000) == PASSED
    assert code(account, bot="grid", quantity=501) == "EXPOSURE_STRATEGY"
    assert verdict(account, bot="grid", quantity=500) == PASSED
    assert verdict(account, bot="free", quantity=9000) == PASSED


def test_two_bots_of_a_strategy_count_together_on_one_instrument() -> None:
    account = limited(strategies=(StrategyLimits("trend", ("dca", "other"), Decimal(300)),))
    trade(account)
    trade(account, bot="other")
    assert code(account, quantity=1001) == "EXPOSURE_STRATEGY"
    assert verdict(account, quantity=1000) == PASSED


# Equity of 1,000: a leverage of 1.5 is an exposure of 1,500.
@pytest.mark.parametrize(
    ("name", "most", "expected"),
    [
        ("leverage_max", "0.5", "LEVERAGE: exposure=500.1, equity=1000, limit=0.5"),
        ("margin_use_max_pct", "50", "MARGIN_USE: exposure=500.1, equity=1000, rate=100%, limit=50%"),
        ("concentration_max_pct", "50", "CONCENTRATION: instrument=BTC/USDT, exposure=500.1, equity=1000, limit=50%"),
    ],
)
def test_exposure_is_held_against_the_equity(name: str, most: str, expected: str) -> None:
    assert verdict(limited(cash="1000", **{name: most}), quantity=4999) == PASSED
    assert verdict(limited(cash="1000", **{name: most}), quantity=5000) == PASSED
    assert verdict(limited(cash="1000", **{name: most}), quantity=5001) == expected
    held = limited(cash="1000", **{name: most})
    trade(held, quantity=4000)
    # A fall from 100 to 90 leaves 960 of equity and 360 of exposure: 120 are left, of 480.
    assert verdict(held, marks={BTC: 9000}, quantity=1201, limit=10000) != PASSED
    assert verdict(held, marks={BTC: 9000}, quantity=1200, limit=10000) == PASSED


@pytest.mark.parametrize(("quantity", "expected"), [(13999, PASSED), (14000, PASSED), (14001, "LEVERAGE")])
def test_leverage_is_exact_where_it_is_a_fraction(quantity: int, expected: str) -> None:
    account = limited(cash="1000", kind="margin", leverage_max="1.4")
    assert code(account, quantity=quantity).replace("BALANCE_INSUFFICIENT", PASSED) == expected


@pytest.mark.parametrize("name", ["margin_use_max_pct", "concentration_max_pct"])
def test_a_share_of_the_equity_is_exact_where_its_percent_is_a_fraction(name: str) -> None:
    assert verdict(limited(cash="1000", **{name: "50.05"}), quantity=5005) == PASSED
    assert verdict(limited(cash="1000", **{name: "50.05"}), quantity=5006) != PASSED


# A share is at 100.00 rupees; a rupee has a hundred quanta, not the 10^8 of other assets.
@pytest.mark.parametrize(
    ("name", "most", "expected"),
    [
        ("order_notional_max", "100", "ORDER_NOTIONAL: notional=200, limit=100"),
        ("bot_exposure_max", "100", "EXPOSURE_BOT: bot=dca, exposure=200, limit=100"),
        ("correlated_exposure_max", "100", "EXPOSURE_CORRELATED: exposure=SHARE/INR:200, limit=100"),
        ("leverage_max", "0.1", "LEVERAGE: exposure=200, equity=1000, limit=0.1"),
    ],
)
def test_amounts_are_counted_and_told_in_the_quanta_of_their_currency(name: str, most: str, expected: str) -> None:
    marks = {SHARE: 10000}
    assert verdict(in_rupees(**{name: most}), marks=marks, instrument=SHARE, quantity=1) == PASSED
    assert verdict(in_rupees(**{name: most}), marks=marks, instrument=SHARE, quantity=2) == expected


def test_a_margin_rate_says_how_much_of_the_exposure_is_margin() -> None:
    account = limited(cash="1000", margin_use_max_pct="40", margin_rate_pct="62.5")
    assert verdict(account, quantity=6401) == "MARGIN_USE: exposure=640.1, equity=1000, rate=62.5%, limit=40%"
    assert verdict(account, quantity=6400) == PASSED


def test_leverage_and_margin_are_of_all_and_concentration_of_one_instrument() -> None:
    every = {"leverage_max": "0.5", "margin_use_max_pct": "50"}
    for name, most in every.items():
        account = limited(cash="1000", **{name: most})
        trade(account, quantity=4000)
        assert verdict(account, instrument=ETH, quantity=1001) != PASSED
        assert verdict(account, instrument=ETH, quantity=1000) == PASSED
    account = limited(cash="1000", concentration_max_pct="50")
    trade(account, quantity=4000)
    assert verdict(account, instrument=ETH, quantity=5000) == PASSED
    assert code(account, instrument=ETH, quantity=50) == "CONCENTRATION"
    assert verdict(account, quantity=1000) == PASSED


def test_without_equity_there_is_no_leverage() -> None:
    account = limited(cash="0", kind="margin", leverage_max="5")
    assert verdict(account) == "LEVERAGE: exposure=100, equity=0, limit=5"


def pair(value: str) -> tuple[Correlation, ...]:
    return (Correlation(BTC, ETH, Decimal(value)),)


# Exposures of 300 and 400: 500 where they know nothing of each other, 700 where they move as one, 100 where against.
@pytest.mark.parametrize(
    ("correlations", "root"), [(pair("0"), 500), (pair("1"), 700), (pair("-1"), 100), ((), 700), (pair("0.5"), None)]
)
def test_exposure_is_weighed_by_correlation(correlations: Any, root: int | None) -> None:
    def tried(limit: str) -> str:
        account = limited(correlated_exposure_max=limit, correlations=correlations)
        account.state.positions[BTC] = 3000
        return verdict(account, instrument=ETH, quantity=4000)

    if root is None:  # the root of 370,000
        assert tried("608.27625303") == PASSED
        text = "EXPOSURE_CORRELATED: exposure=BTC/USDT:300+ETH/USDT:400, limit=608.27625302"
        assert tried("608.27625302") == text
        return
    assert tried(f"{root}") == PASSED
    assert tried(f"{root}.00000001") == PASSED
    assert tried(f"{root - 1}.99999999").startswith("EXPOSURE_CORRELATED")


def test_a_short_offsets_what_it_is_correlated_with_and_nothing_else() -> None:
    def tried(limit: str, correlations: Any) -> str:
        account = limited(kind="margin", correlated_exposure_max=limit, correlations=correlations)
        account.state.positions[BTC] = 3000
        return verdict(account, instrument=ETH, side="sell", quantity=4000)

    assert tried("100", pair("1")) == PASSED
    assert tried("99.99999999", pair("1")) != PASSED
    assert tried("700", pair("-1")) == PASSED
    assert tried("700", ()) == PASSED
    assert tried("699.99999999", ()) != PASSED, "what is not known may add up"


def test_of_two_sides_that_are_equal_the_long_one_counts() -> None:
    for most, expected in (("200", PASSED), ("199.99999999", "EXPOSURE_CORRELATED")):
        account = limited(kind="margin")
        account.state.positions[ETH] = 1000
        assert verdict(account) == PASSED
        account.state.limits = limits(correlated_exposure_max=most, correlations=pair("1"))
        assert code(account, side="sell") == expected  # 100 either way, beside the 100 of ETH


def test_a_correlation_is_of_both_with_each_other() -> None:
    account = limited(correlated_exposure_max="500", correlations=(Correlation(ETH, BTC, Decimal(0)),))
    account.state.positions[BTC] = 3000
    assert verdict(account, instrument=ETH, quantity=4000) == PASSED


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(-(10**6), 10**6))
def test_law_correlation_lies_between_against_each_other_and_as_one(first: int, second: int, millionths: int) -> None:
    rho = Decimal(millionths).scaleb(-6)
    account = limited(cash="1000000000", correlated_exposure_max="1", correlations=(Correlation(BTC, ETH, rho),))
    account.state.positions[BTC] = first
    quantity = max(second, 50)
    square = first**2 + quantity**2 + 2 * rho * first * quantity  # of quantities, each worth 0.1
    account.state.limits = limits(correlated_exposure_max="50000", correlations=(Correlation(BTC, ETH, rho),))
    assert (verdict(account, instrument=ETH, quantity=quantity) == PASSED) == (square <= 500_000**2)


def test_what_has_no_price_cannot_be_counted() -> None:
    account = limited(account_exposure_max="5000")
    trade(account)
    assert verdict(account, marks={ETH: 10000}, instrument=ETH) == "MARK_UNKNOWN: instrument=BTC/USDT"
    assert verdict(account, marks={BTC: 10000}, instrument=ETH) == PASSED


def test_what_is_held_in_another_currency_cannot_be_counted() -> None:
    account = limited(account_exposure_max="5000")
    trade(account)
    account.when(SetRiskLimits("main", limits(currency="USDT", order_notional_max="5000")))
    assert verdict(account) == PASSED
    listing = account.state.listings[BTC]
    account.state.listings[BTC] = type(listing)(
        type(listing.instrument)(*[*_fields(listing.instrument)[:2], "EUR", *_fields(listing.instrument)[3:]]),
        listing.maker_fee, listing.taker_fee, listing.slippage,
    )  # fmt: skip
    account.when(SetRiskLimits("main", limits(account_exposure_max="5000")))
    expected = "CURRENCY_DIFFERENT: held=BTC/USDT, quote=EUR, currency=USDT"
    assert verdict(account, instrument=ETH) == expected
    assert equity(account.state, MARKS, USDT) is None


def _fields(instrument: Any) -> list[Any]:
    return [getattr(instrument, name) for name in instrument.__struct_fields__]


def test_equity_is_cash_and_positions_at_the_last_price() -> None:
    account = limited()
    trade(account)
    assert equity(account.state, {BTC: 10001}, USDT) == 10_000 * 10**8 + CENT  # type: ignore[dict-item]
    assert equity(account.state, {}, USDT) is None
    trade(account, side="sell")
    assert equity(account.state, {}, USDT) == 10_000 * 10**8


def test_a_bots_result_is_its_cash_flow_and_what_it_holds_with_its_fees() -> None:
    account = limited()
    trade(account)
    account.when(order(bot="other", instrument=ETH))
    account.when(fill(2, "t2", 1000, 9000, instrument=ETH, fee=CENT))
    account.when(order(bot="", group=0))
    account.when(fill(3, "t3", 1000, 9000))
    assert results(account.state, {BTC: 10001, ETH: 9002}, USDT) == {"dca": CENT, "other": CENT}  # type: ignore[dict-item]
    trade(account, 10003, side="sell")
    assert results(account.state, {ETH: 9001}, USDT) == {"dca": 3 * CENT, "other": 0}  # type: ignore[dict-item]


def test_a_bots_result_is_that_of_all_its_instruments() -> None:
    account = limited()
    trade(account)
    trade(account, instrument=ETH)
    assert results(account.state, {BTC: 10002, ETH: 10003}, USDT) == {"dca": 5 * CENT}  # type: ignore[dict-item]


def test_what_comes_in_from_outside_belongs_to_nobody() -> None:
    account = limited()
    account._evolve([PositionDeposited("main", BTC, 500, 40 * 10**8), CashDeposited("main", USDT, 5)])  # type: ignore[arg-type]  # noqa: SLF001
    assert results(account.state, MARKS, USDT) == {}
    book = account.state.books["", BTC]
    assert (book.quantity, book.cash) == (500, -40 * 10**8)
