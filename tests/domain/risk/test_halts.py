"""What stops trading by itself, at its boundary, and what starts it again."""

from decimal import Decimal
from typing import Any

import pytest

from domain.account.commands import (
    DepositCash,
    DepositPosition,
    HaltTrading,
    RecordReference,
    ResumeTrading,
    ReviewRisk,
    SetRiskLimits,
    ValueAccount,
)
from domain.account.events import (
    CancelRequested,
    Holding,
    ReferencePriced,
    RiskCommandRefused,
    SessionStarted,
    TradingHalted,
    TradingResumed,
)
from domain.account.limits import Breaker, EventWindow
from domain.account.state import Book, Session
from domain.bot.commands import CloseGroup
from domain.policies.flatten_halted import flatten, review_at_events, review_at_the_end
from domain.values import Time
from tests.domain.risk.limited import (
    CENT,
    DAY,
    ETH,
    MARKS,
    SECOND,
    SHARE,
    in_rupees,
    judged,
    limited,
    limits,
    trade,
    verdict,
)
from tests.spec import BTC, USDT, Story, fill, instrument, kinds, opened_account, order

UNIT = 10**8


def review(story: Story, at: int = 0, **marks: int) -> tuple[Any, ...]:
    prices = {BTC: marks.get("btc", 10000), ETH: marks.get("eth", 10000)}
    return story.when(ReviewRisk("main"), at, prices)


def halts(happened: Any) -> list[tuple[str, str]]:
    return [(event.code, event.bot) for event in happened if isinstance(event, TradingHalted)]


def holding(cash: str = "1000", quantity: int = 1000, bot: str = "dca", **changes: Any) -> Story:
    """Equity of 1,000, of which 1.000 BTC are bought at 100.00: a cent of the price is a cent of the equity."""
    account = limited(cash=cash, **changes)
    trade(account, quantity=quantity, bot=bot)
    return account


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_starts_with_the_limits_and_then_with_each_day() -> None:
    account = opened_account("1000")
    happened = account.when(SetRiskLimits("main", limits(daily_loss_max="10")), 5 * SECOND)
    assert kinds(happened) == ["RiskLimitsSet", "SessionStarted"]
    assert happened[1] == SessionStarted("main", Time(5 * SECOND), "limits", 1000 * UNIT, (), Time(DAY))  # type: ignore[arg-type]
    assert review(account, DAY - 1) == ()
    (started,) = review(account, DAY)
    assert started == SessionStarted("main", Time(DAY), "day", 1000 * UNIT, (), Time(2 * DAY))  # type: ignore[arg-type]
    assert review(account, DAY) == ()
    assert kinds(review(account, 3 * DAY + 7)) == ["SessionStarted"]


def test_a_session_starts_when_it_is_said_to() -> None:
    account = limited(daily_loss_max="10", session_start_seconds=3600)
    hour = 3600 * SECOND
    assert review(account, 5)[0].ends == hour
    assert review(account, hour - 1) == ()
    assert review(account, hour)[0].ends == hour + DAY
    assert review(account, hour + DAY - 1) == ()


def test_a_session_knows_what_each_bot_has_made_until_then() -> None:
    account = holding()
    trade(account, bot="other", instrument=ETH)
    happened = account.when(SetRiskLimits("main", limits(daily_loss_max="10")), 0, {BTC: 10001, ETH: 9998})
    assert happened[1].bots == (("dca", CENT), ("other", -2 * CENT))  # type: ignore[attr-defined]
    assert account.state.session == Session(Time(0), 1000 * UNIT - CENT, {"dca": CENT, "other": -2 * CENT})


def test_a_fill_an_order_a_valuation_and_a_review_start_a_session_that_is_due() -> None:
    account = limited(daily_loss_max="10")
    happened = account.when(order(), 1, MARKS)
    assert kinds(happened) == ["SessionStarted", "OrderIntended", "RiskPassed"]
    happened = account.when(fill(1, "t1", 1000), DAY, MARKS)
    assert kinds(happened) == ["OrderFilled", "SessionStarted"]
    happened = account.when(ValueAccount("main", MARKS), 2 * DAY)
    assert kinds(happened) == ["AccountValued", "SessionStarted"]
    assert kinds(review(account, 3 * DAY)) == ["SessionStarted"]


def test_where_losses_are_not_limited_nothing_is_reviewed() -> None:
    account = limited(order_notional_max="1000")
    assert kinds(account.when(order(), 1, MARKS)) == ["OrderIntended", "RiskPassed"]
    assert kinds(account.when(fill(1, "t1", 1000), 1, MARKS)) == ["OrderFilled"]
    assert kinds(account.when(ValueAccount("main", MARKS), 1)) == ["AccountValued"]
    assert review(account) == ()


def test_what_cannot_be_valued_opens_nothing() -> None:
    account = holding()
    account.when(SetRiskLimits("main", limits(daily_loss_max="10")), 0, {})
    assert account.state.session is None
    assert verdict(account, marks={ETH: 10000}) == "EQUITY_UNKNOWN: currency=USDT"
    assert verdict(account, marks={ETH: 10000}, side="sell", quantity=100) == "passed"
    assert verdict(account) == "passed"


def test_while_there_is_no_price_a_review_finds_nothing() -> None:
    account = holding(daily_loss_max="10", bot_daily_loss_max="10")
    assert account.when(ReviewRisk("main"), 0, {}) == ()
    assert halts(review(account, btc=9000)) == [("DAILY_LOSS", "")]


# --- daily loss ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"daily_loss_max": "10"}, "loss=10, from=1000, limit=10"),
        ({"daily_loss_max_pct": "1"}, "loss=10, from=1000, limit=1%"),
    ],
)
def test_a_daily_loss_that_reaches_its_limit_halts_the_account(limit: dict[str, Any], reason: str) -> None:
    account = holding(**limit)
    assert review(account, btc=9001) == ()
    (halted,) = review(account, btc=9000)
    assert halted == TradingHalted("main", "", reason, "HALTED", "DAILY_LOSS", 1, ())
    assert review(account, btc=8999) == ()
    assert verdict(account) == "TRADING_HALTED: scope=account, halt=1, because=DAILY_LOSS"
    assert verdict(account, side="sell", quantity=100) == "passed"
    beyond = holding(**limit)
    assert halts(review(beyond, btc=8999)) == [("DAILY_LOSS", "")]


def test_a_loss_is_told_in_the_quanta_of_its_currency() -> None:
    account = in_rupees(daily_loss_max="50")
    trade(account, quantity=5, instrument=SHARE, marks={SHARE: 10000})
    assert account.when(ReviewRisk("main"), 0, {SHARE: 9001}) == ()
    (halted,) = account.when(ReviewRisk("main"), 0, {SHARE: 9000})
    assert halted.reason == "loss=50, from=1000, limit=50"  # type: ignore[attr-defined]


def test_a_percentage_is_exact_where_it_is_a_fraction() -> None:
    account = holding(daily_loss_max_pct="0.00105")  # 0.0105 USDT: between one cent and two
    assert review(account, btc=9999) == ()
    assert halts(review(account, btc=9998)) == [("DAILY_LOSS", "")]


def test_the_amount_and_the_percentage_stand_side_by_side() -> None:
    assert halts(review(holding(daily_loss_max="20", daily_loss_max_pct="1"), btc=9000)) == [("DAILY_LOSS", "")]
    assert halts(review(holding(daily_loss_max="5", daily_loss_max_pct="1"), btc=9500)) == [("DAILY_LOSS", "")]


def test_a_day_without_loss_halts_nothing_however_small_the_equity() -> None:
    assert kinds(review(limited(cash="0", daily_loss_max_pct="1"))) == ["SessionStarted"]
    account = limited(cash="0", daily_loss_max_pct="1", daily_loss_max="1")
    review(account)
    assert review(account) == ()


def test_a_loss_of_a_single_quantum_is_a_loss() -> None:
    account = limited(daily_loss_max="0.00000001")
    account.when(order(), 0, MARKS)
    assert halts(account.when(fill(1, "t1", 1000, fee=1), 0, MARKS)) == [("DAILY_LOSS", "")]


def test_what_was_lost_yesterday_is_no_loss_of_today() -> None:
    account = holding(daily_loss_max="10")
    assert review(account, DAY - 1, btc=9001) == ()
    assert kinds(review(account, DAY, btc=9001)) == ["SessionStarted"]
    assert review(account, DAY, btc=8002) == ()
    assert halts(review(account, DAY, btc=8001)) == [("DAILY_LOSS", "")]


def test_the_order_that_comes_after_the_loss_is_denied_in_the_decision_that_halts() -> None:
    account = holding(daily_loss_max="10")
    account.when(order(quantity=50), 0, MARKS)
    happened = account.when(order(), 0, {BTC: 9000})
    assert kinds(happened) == ["TradingHalted", "CancelRequested", "OrderIntended", "OrderDenied"]
    assert happened[-1].code == "TRADING_HALTED"  # type: ignore[attr-defined]
    assert happened[-2].order == 3  # type: ignore[attr-defined]


def test_the_fill_that_loses_too_much_halts_in_the_same_decision_and_cancels_what_works() -> None:
    account = holding(daily_loss_max="10")
    account.when(order(quantity=60, limit=9000), 0, MARKS)
    account.when(order(side="sell", role="target", quantity=100, limit=11000), 0, MARKS)
    account.when(order(side="sell", role="close", type="market", quantity=300), 0, MARKS)
    account.when(order(side="sell", quantity=500), 0, MARKS)
    happened = account.when(fill(5, "t5", 500, 9000), 0, MARKS)  # what is left is worth 90 too: the mark is of before
    assert kinds(happened) == ["OrderFilled", "TradingHalted", "CancelRequested", "CancelRequested"]
    assert [event.order for event in happened if isinstance(event, CancelRequested)] == [2, 3]
    assert {event.reason for event in happened if isinstance(event, CancelRequested)} == {"halt: DAILY_LOSS"}


def test_a_loss_within_the_limit_at_a_fill_halts_nothing() -> None:
    account = holding(daily_loss_max="10")
    account.when(order(side="sell", quantity=500), 0, MARKS)
    assert kinds(account.when(fill(2, "t2", 500, 9001), 0, MARKS)) == ["OrderFilled"]
    assert account.when(fill(2, "t2", 500, 9001), 0, MARKS) == ()


def test_a_valuation_halts_as_well() -> None:
    account = holding(daily_loss_max="10")
    happened = account.when(ValueAccount("main", {**MARKS, BTC: 9000}), 0)  # type: ignore[dict-item]
    assert kinds(happened) == ["AccountValued", "TradingHalted"]


def test_what_comes_in_or_is_brought_in_is_no_gain() -> None:
    account = holding(daily_loss_max="10", drawdown_max="10")
    account.when(DepositCash("main", USDT, 500 * UNIT))  # type: ignore[arg-type]
    account.when(DepositPosition("main", ETH, 1000, 100 * UNIT))  # type: ignore[arg-type]
    account.when(DepositCash("main", "EUR", 500 * UNIT))  # type: ignore[arg-type]
    assert review(account, btc=9001) == ()
    (halted,) = review(account, btc=9000)
    assert halted.reason == "loss=10, from=1600, limit=10"


def test_new_limits_do_not_start_the_session_again() -> None:
    account = holding(daily_loss_max="20")
    happened = account.when(SetRiskLimits("main", limits(daily_loss_max="10")), 0, {BTC: 9001})
    assert kinds(happened) == ["RiskLimitsSet"]
    happened = account.when(SetRiskLimits("main", limits(daily_loss_max="9.99")), 0, {BTC: 9001})
    assert kinds(happened) == ["RiskLimitsSet", "TradingHalted"]


def test_limits_in_another_currency_count_from_their_own_beginning() -> None:
    account = limited(daily_loss_max="20")
    review(account)
    account.when(SetRiskLimits("main", limits(currency="EUR", daily_loss_max="20")), 7)
    assert account.state.session == Session(Time(7), 0, {})
    assert account.state.peak == 0


@pytest.mark.parametrize("limit", [{"bot_daily_loss_max": "10"}, {"bot_daily_loss_max_pct": "1"}])
def test_a_bot_that_loses_too_much_stops_alone(limit: dict[str, Any]) -> None:
    account = holding(**limit)
    trade(account, bot="other", instrument=ETH)
    assert review(account, btc=9001, eth=9001) == ()
    (halted,) = review(account, btc=9000, eth=9001)
    assert (halted.code, halted.bot, halted.number) == ("BOT_DAILY_LOSS", "dca", 1)
    assert halted.reason.startswith("loss=10, from=1000, limit=1")
    assert verdict(account, marks={BTC: 9000, ETH: 9001}).startswith("TRADING_HALTED: scope=dca")
    assert verdict(account, bot="other", marks={BTC: 9000, ETH: 9001}) == "passed"
    assert review(account, btc=8999, eth=9001) == ()
    second = review(account, btc=8999, eth=9000)[0]
    assert (second.bot, second.number) == ("other", 2)


def test_a_bots_loss_counts_from_what_it_had_made_when_the_session_began() -> None:
    account = holding()
    account.when(SetRiskLimits("main", limits(bot_daily_loss_max="10")), 0, {BTC: 11000})
    assert review(account, btc=10001) == ()
    assert halts(review(account, btc=10000)) == [("BOT_DAILY_LOSS", "dca")]


def test_when_the_account_stops_its_bots_need_not() -> None:
    account = holding(daily_loss_max="10", bot_daily_loss_max="10")
    assert halts(review(account, btc=9000)) == [("DAILY_LOSS", "")]
    assert review(account, btc=8000) == ()


def test_two_bots_may_stop_in_one_decision() -> None:
    account = holding(bot_daily_loss_max="10")
    trade(account, bot="other", instrument=ETH)
    happened = review(account, btc=9000, eth=9000)
    assert [(event.bot, event.number) for event in happened] == [("dca", 1), ("other", 2)]
    assert account.state.halts == 2


# --- drawdown --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "last"), [({"drawdown_max": "11"}, 9900), ({"drawdown_max_pct": "1"}, 9990)])
def test_a_fall_from_the_highest_valued_equity_halts(limit: dict[str, Any], last: int) -> None:
    account = holding(**limit)
    account.when(ValueAccount("main", {**MARKS, BTC: 11000}), 0)  # type: ignore[dict-item]
    account.when(ValueAccount("main", MARKS), 0)
    assert account.state.peak == 1010 * UNIT
    assert review(account, 2 * DAY, btc=last + 1)[1:] == ()
    (halted,) = review(account, 2 * DAY, btc=last)
    assert halted.code == "DRAWDOWN"
    assert halted.reason.startswith("loss=1")
    assert "from=1010" in halted.reason


def test_what_is_brought_in_raises_the_peak_as_well() -> None:
    account = holding(drawdown_max="10")
    account.when(DepositCash("main", USDT, 500 * UNIT))  # type: ignore[arg-type]
    assert account.state.peak == 1500 * UNIT
    assert review(account, btc=9001) == ()
    assert halts(review(account, btc=9000)) == [("DRAWDOWN", "")]


def test_what_was_not_valued_is_no_peak() -> None:
    account = holding(drawdown_max="10")
    assert review(account, btc=12000) == ()
    assert account.state.peak == 1000 * UNIT


def test_a_new_session_may_be_a_new_peak() -> None:
    account = holding(drawdown_max="10")
    review(account, DAY, btc=12000)
    assert account.state.peak == 1020 * UNIT
    review(account, 2 * DAY, btc=11500)
    assert account.state.peak == 1020 * UNIT


def test_a_fall_that_is_found_as_a_session_begins_halts_at_once() -> None:
    account = holding(drawdown_max="10")
    assert kinds(review(account, DAY, btc=9000)) == ["SessionStarted", "TradingHalted"]


# --- losses in a row -------------------------------------------------------------------------------------------------


def lose(account: Story, bot: str = "dca", price: int = 9999, **changes: Any) -> tuple[Any, ...]:
    trade(account, bot=bot)
    return trade(account, price, bot=bot, side="sell", **changes)


def test_so_many_losses_in_a_row_halt_their_bot() -> None:
    account = limited(consecutive_losses_max=3)
    assert halts(lose(account)) == []
    assert halts(lose(account)) == []
    assert halts(lose(account, bot="other")) == []
    happened = lose(account)
    assert halts(happened) == [("CONSECUTIVE_LOSSES", "dca")]
    assert happened[1].reason == "losses=3, limit=3"
    assert verdict(account).startswith("TRADING_HALTED: scope=dca")
    assert verdict(account, bot="other") == "passed"


@pytest.mark.parametrize("price", [10000, 10001])
def test_what_is_no_loss_begins_the_count_again(price: int) -> None:
    account = limited(consecutive_losses_max=2)
    lose(account)
    assert account.state.losses == {"dca": 1}
    lose(account, price=price)
    assert account.state.losses == {}
    assert halts(lose(account)) == []
    assert halts(lose(account)) == [("CONSECUTIVE_LOSSES", "dca")]


def test_a_round_trip_is_over_when_nothing_is_left_that_an_order_could_carry() -> None:
    account = opened_account()
    account.state.listings[BTC] = type(account.state.listings[BTC])(
        type(account.state.listings[BTC].instrument)(
            BTC, "BTC", USDT, 2, 3, 8, 1, 5, 0,
        ),
        Decimal(0), Decimal(0), Decimal(0),
    )  # fmt: skip
    account.when(order())
    account.when(fill(1, "t1", 1000))
    for number, sold in enumerate((500, 490)):
        account.when(order(side="sell", quantity=sold))
        account.when(fill(2 + number, f"s{number}", sold, 9999))
        assert account.state.losses == {}
    account.when(order(side="sell", quantity=5))
    account.when(fill(4, "s4", 5, 9999))
    assert account.state.losses == {}, "a step is left"
    account.state.books["dca", BTC] = type(account.state.books["dca", BTC])(5, -UNIT, 0)
    account.when(order(side="buy", quantity=5))
    account.when(fill(5, "b5", 5, 9999))
    account.when(order(side="sell", quantity=5))
    account.when(fill(6, "s6", 5, 9999))
    assert account.state.losses == {}, "a step is left again"
    account.state.books["dca", BTC] = type(account.state.books["dca", BTC])(9, -UNIT, 0)
    account.when(order(side="sell", quantity=5))
    account.when(fill(7, "s7", 5, 1))
    assert account.state.losses == {"dca": 1}, "less than a step is left"
    assert account.state.books["dca", BTC].cash_flat == account.state.books["dca", BTC].cash


def in_steps(*trades: tuple[str, int, int]) -> list[dict[str, int]]:
    """The losses in a row after each trade of (side, quantity, price), where a step is 0.005."""
    account = opened_account(kind="margin", listed=instrument(step="0.005", minimum="0"))
    seen: list[dict[str, int]] = []
    for number, (side, quantity, price) in enumerate(trades, 1):
        account.when(order(side=side, quantity=10))
        account.when(fill(number, f"t{number}", quantity, price))
        seen.append(dict(account.state.losses))
    return seen


@pytest.mark.parametrize(("out", "back", "worse"), [("buy", "sell", 9999), ("sell", "buy", 10001)])
def test_a_step_is_held_and_what_is_less_is_not(out: str, back: str, worse: int) -> None:
    one = {"dca": 1}
    assert in_steps((out, 5, 10000), (back, 5, worse)) == [{}, one]
    assert in_steps((out, 10, 10000), (back, 5, worse), (back, 5, worse)) == [{}, {}, one]
    better = 20000 - worse
    assert in_steps((out, 10, 10000), (back, 5, better), (back, 5, better)) == [{}, {}, {}]
    assert in_steps((out, 4, 10000), (back, 4, worse)) == [{}, {}], "it was never held"


def test_fees_make_a_loss_and_those_in_another_asset_do_not() -> None:
    for asset, expected in ((USDT, {"dca": 1}), ("BNB", {})):
        account = limited()
        trade(account)
        account.when(order(side="sell"))
        account.when(fill(2, "t2", 1000, 10000, fee=1, fee_asset=asset))
        assert account.state.losses == expected


def test_a_short_is_a_round_trip_as_well() -> None:
    account = limited(kind="margin")
    trade(account, side="sell")
    trade(account, 10001)
    assert account.state.losses == {"dca": 1}


def test_hand_trades_have_no_bot_to_stop() -> None:
    account = limited(consecutive_losses_max=1)
    assert halts(lose(account, bot="", group=0)) == []


# --- flatten ---------------------------------------------------------------------------------------------------------


def test_a_loss_flattens_if_it_is_asked_to() -> None:
    account = holding(daily_loss_max="10", flatten=True)
    trade(account, bot="other", instrument=ETH, quantity=700)
    account.when(DepositPosition("main", ETH, 300, 30 * UNIT))  # type: ignore[arg-type]
    (halted,) = review(account, btc=9000)
    assert halted.flatten == (
        Holding("dca", BTC, 1000, 9000),  # type: ignore[arg-type]
        Holding("other", ETH, 700, 10000),  # type: ignore[arg-type]
        Holding("", ETH, 300, 10000),  # type: ignore[arg-type]
    )
    commands = flatten(halted)
    assert commands[:2] == (CloseGroup("dca", 9000), CloseGroup("other", 10000))  # type: ignore[arg-type]
    sold: Any = commands[2]
    assert (sold.bot, sold.role, sold.instrument, sold.side, sold.type) == ("", "close", ETH, "sell", "market")
    assert (sold.quantity, sold.reference, sold.reduce_only) == (300, 10000, True)
    assert (sold.group, sold.leg, sold.limit, sold.stop) == (0, 0, None, None)
    assert kinds(account.when(sold, 0, {**MARKS, BTC: 9000})) == ["OrderIntended", "RiskPassed"]


def test_a_bots_halt_flattens_that_bot_alone() -> None:
    account = holding(bot_daily_loss_max="10", flatten=True)
    trade(account, bot="other", instrument=ETH, quantity=700)
    (halted,) = review(account, btc=9000)
    assert [each.bot for each in halted.flatten] == ["dca"]


def test_a_short_is_bought_back() -> None:
    account = holding(kind="margin", quantity=500, daily_loss_max="10", flatten=True)
    trade(account, side="sell", bot="", group=0, quantity=700, instrument=ETH)
    (halted,) = review(account, btc=8000)
    assert [each.quantity for each in halted.flatten] == [500, -700]
    bought: Any = flatten(halted)[1]
    assert (bought.side, bought.quantity) == ("buy", 700)


@pytest.mark.parametrize(("quantity", "side"), [(1, "sell"), (-1, "buy")])
def test_a_single_quantum_is_flattened_on_its_own_side(quantity: int, side: str) -> None:
    account = holding(kind="margin", daily_loss_max="10", flatten=True)
    account.state.books["", ETH] = Book(quantity, 0, 0)
    (halted,) = review(account, btc=9000)
    assert halted.flatten[1] == Holding("", ETH, quantity, 10000)  # type: ignore[arg-type]
    closing: Any = flatten(halted)[1]
    assert (closing.side, closing.quantity) == (side, 1)


def test_what_is_asked_of_people_or_too_small_is_not_flattened() -> None:
    account = holding(consecutive_losses_max=1, daily_loss_max="500", flatten=True)
    account.when(order(side="sell", quantity=999), 0, MARKS)
    account.when(fill(2, "t2", 999, 9999), 0, MARKS)
    assert account.state.losses == {}
    account.state.losses["dca"] = 1
    (halted,) = review(account)
    assert (halted.code, halted.flatten) == ("CONSECUTIVE_LOSSES", ())
    (by_hand,) = account.when(HaltTrading("main", "", "kill"))
    assert by_hand.flatten == ()  # type: ignore[attr-defined]
    assert flatten(by_hand) == ()  # type: ignore[arg-type]
    small = holding(daily_loss_max="10", flatten=True)
    small.state.books["", ETH] = type(small.state.books["dca", BTC])(0, 0, 0)
    assert [each.instrument for each in review(small, btc=9000)[0].flatten] == [BTC]


# --- volatility ------------------------------------------------------------------------------------------------------


def prices(account: Story, *levels: str, index: str = "VIX") -> list[str]:
    """What each price of the index came to; a price in units."""
    happened: list[str] = []
    for level in levels:
        happened += kinds(account.when(RecordReference("main", index, int(Decimal(level) * UNIT))))
    return happened


# 8, 10, 12, 10: a mean of 10 and a variance of 2, so three deviations are the root of 18: 4.24264068711928...
@pytest.mark.parametrize(
    ("last", "halted"),
    [("14.24264068", False), ("14.24264069", True), ("5.75735932", False), ("5.75735931", True), ("10", False)],
)
def test_the_breaker_trips_beyond_three_deviations_to_the_last_quantum(last: str, halted: bool) -> None:
    account = limited(breaker=Breaker("VIX", 4))
    prices(account, "8", "10", "12", "10")
    assert (prices(account, last)[1:] == ["TradingHalted"]) is halted


def test_three_deviations_are_not_beyond_three_deviations() -> None:
    account = limited(breaker=Breaker("VIX", 2))
    assert prices(account, "8", "12", "16") == ["ReferencePriced"] * 3  # a mean of 10, a deviation of 2
    account = limited(breaker=Breaker("VIX", 2))
    assert prices(account, "8", "12", "16.00000001")[-1] == "TradingHalted"


def test_the_breaker_says_its_numbers() -> None:
    account = limited(breaker=Breaker("VIX", 4))
    account.when(order())
    prices(account, "8", "10", "12", "10")
    priced, halted, cancelled = account.when(RecordReference("main", "VIX", 15 * UNIT))
    assert halted == TradingHalted(
        "main", "", "index=VIX, level=15, mean=10, variance=2, samples=4, limit=3 sigma", "HALTED", "VOLATILITY", 1
    )
    assert priced == ReferencePriced("main", "VIX", 15 * UNIT)
    assert cancelled == CancelRequested("main", 1, "halt: VOLATILITY")
    assert prices(account, "99") == ["ReferencePriced"], "it stands already"


def test_the_breaker_needs_its_samples_and_forgets_older_ones() -> None:
    account = limited(breaker=Breaker("VIX", 4))
    assert prices(account, "1", "1", "1", "10") == ["ReferencePriced"] * 4
    account = limited(breaker=Breaker("VIX", 4))
    prices(account, "1000", "1000", "1000", "8", "10", "12", "10")
    assert prices(account, "14.24264068") == ["ReferencePriced"]
    assert len(account.state.references) == 5
    account = limited(breaker=Breaker("VIX", 4))
    prices(account, "1000", "1000", "1000", "8", "10", "12", "10")
    assert prices(account, "14.24264069") == ["ReferencePriced", "TradingHalted"]


def test_the_breaker_may_have_another_width() -> None:
    account = limited(breaker=Breaker("VIX", 4, Decimal("2.5")))
    prices(account, "8", "10", "12", "10")
    assert prices(account, "13.53553390") == ["ReferencePriced"]  # two and a half are 3.53553390593...
    account = limited(breaker=Breaker("VIX", 4, Decimal("2.5")))
    prices(account, "8", "10", "12", "10")
    assert prices(account, "13.53553391") == ["ReferencePriced", "TradingHalted"]


def test_the_breaker_may_watch_changes() -> None:
    account = limited(breaker=Breaker("NIFTY", 4, series="change"))
    # Changes of -2, 0, 2, 0: three deviations are again the root of 18, times one: 4.24264068711...
    assert prices(account, "100", "98", "98", "100", "100", index="NIFTY") == ["ReferencePriced"] * 5
    assert prices(account, "104.24264068", index="NIFTY") == ["ReferencePriced"]
    account = limited(breaker=Breaker("NIFTY", 4, series="change"))
    prices(account, "100", "98", "98", "100", "100", index="NIFTY")
    happened = account.when(RecordReference("main", "NIFTY", 10424264069))
    assert happened[1].reason.startswith("index=NIFTY, change=4.24264069, mean=0, variance=2,")  # type: ignore[attr-defined]


def test_only_the_index_that_is_watched_is_recorded() -> None:
    assert prices(limited(), "10") == []
    account = limited(breaker=Breaker("VIX", 4))
    assert prices(account, "10", index="DAX") == []
    assert prices(account, "0", "-1") == []
    assert account.when(RecordReference("main", "VIX", 2**63)) == ()
    assert kinds(account.when(RecordReference("main", "VIX", 2**63 - 1))) == ["ReferencePriced"]
    assert kinds(account.when(RecordReference("main", "VIX", 1))) == ["ReferencePriced"]


def test_another_breaker_begins_anew_and_the_same_goes_on() -> None:
    account = limited(breaker=Breaker("VIX", 4))
    prices(account, "8", "10", "12", "10")
    account.when(SetRiskLimits("main", limits(breaker=Breaker("VIX", 4), order_notional_max="9")))
    assert len(account.state.references) == 4
    account.when(SetRiskLimits("main", limits(breaker=Breaker("DAX", 4))))
    assert account.state.references == ()


# --- events of the calendar ------------------------------------------------------------------------------------------


def test_when_an_event_begins_what_would_raise_exposure_is_cancelled() -> None:
    account = limited(event_windows=(EventWindow(Time(100), Time(200), "FOMC"),))
    trade(account)
    account.when(order(), 0, MARKS)
    account.when(order(side="sell", role="target"), 0, MARKS)
    assert review(account, 99) == ()
    assert review(account, 200) == ()
    (cancelled,) = review(account, 100)
    assert cancelled == CancelRequested("main", 2, "event: FOMC")
    assert review(account, 199) == ()


def test_a_review_is_due_when_an_event_begins_and_when_a_session_ends() -> None:
    windows = (EventWindow(Time(100), Time(200), "past"), EventWindow(Time(300), Time(400), "next"))
    happened = opened_account().when(SetRiskLimits("main", limits(event_windows=windows)), 100)
    assert list(review_at_events(happened[0], Time(100))) == [(300, ReviewRisk("main"))]  # type: ignore[arg-type]
    assert list(review_at_events(happened[0], Time(99)))[0] == (100, ReviewRisk("main"))  # type: ignore[arg-type]  # noqa: RUF015
    (started,) = review(limited(daily_loss_max="5"), 7)
    assert list(review_at_the_end(started, Time(7))) == [(DAY, ReviewRisk("main"))]


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_reducing_keeps_what_reduces_and_halted_keeps_what_closes() -> None:
    def busy() -> Story:
        account = holding(quantity=3000)
        account.when(order(), 0, MARKS)
        account.when(order(side="sell", role="target"), 0, MARKS)
        account.when(order(side="sell", role="close", type="market"), 0, MARKS)
        account.when(order(bot="other"), 0, MARKS)
        return account

    reduced = busy().when(HaltTrading("main", "", "drift", "REDUCING"))
    assert reduced[0] == TradingHalted("main", "", "drift", "REDUCING", "KILL", 1)
    assert [event.order for event in reduced[1:]] == [2, 5]  # type: ignore[attr-defined]
    killed = busy().when(HaltTrading("main", "", "kill"))
    assert [event.order for event in killed[1:]] == [2, 3, 5]  # type: ignore[attr-defined]
    scoped = busy().when(HaltTrading("main", "dca", "drift", "REDUCING"))
    assert [event.order for event in scoped[1:]] == [2]  # type: ignore[attr-defined]


def test_a_group_is_not_left_without_its_stop_by_a_kill() -> None:
    account = holding()
    account.when(order(), 0, MARKS)
    account.when(order(side="sell", role="stop", type="stop", limit=None, stop=9000), 0, MARKS)
    killed = account.when(HaltTrading("main", "", "kill"))
    assert killed[1:] == (CancelRequested("main", 2, "halt: kill"),)


def test_on_margin_reducing_keeps_what_is_reduce_only() -> None:
    account = holding(kind="margin")
    account.when(order(side="sell", role="target", reduce_only=True, limit=11000), 0, MARKS)
    account.when(order(side="sell", role="manual", limit=11000), 0, MARKS)
    reduced = account.when(HaltTrading("main", "", "drift", "REDUCING"))
    assert [event.order for event in reduced[1:]] == [3]  # type: ignore[attr-defined]


def test_while_reducing_nothing_opens_and_what_reduces_passes() -> None:
    account = holding()
    account.when(HaltTrading("main", "", "drift", "REDUCING"))
    assert verdict(account) == "TRADING_REDUCING: scope=account, halt=1, because=KILL"
    assert verdict(account, side="sell") == "passed"


def test_a_kill_outdoes_reducing_and_not_the_other_way_round() -> None:
    account = limited()
    account.when(HaltTrading("main", "", "drift", "REDUCING"))
    assert account.when(HaltTrading("main", "", "drift", "REDUCING")) == ()
    assert kinds(account.when(HaltTrading("main", "", "kill"))) == ["TradingHalted"]
    assert account.state.halted[""].number == 2
    assert account.when(HaltTrading("main", "", "drift", "REDUCING")) == ()
    assert account.state.halted[""].state == "HALTED"


def test_reducing_does_not_keep_a_loss_from_halting() -> None:
    account = holding(daily_loss_max="10")
    account.when(HaltTrading("main", "", "drift", "REDUCING"))
    assert halts(review(account, btc=9000)) == [("DAILY_LOSS", "")]


def resume(account: Story, bot: str = "", halt: int = 0, **marks: int) -> Any:
    prices = {BTC: marks.get("btc", 10000), ETH: 10000}
    return account.when(ResumeTrading("main", bot, halt), 0, prices)


def test_what_halted_by_itself_is_resumed_by_its_number() -> None:
    account = holding(daily_loss_max="10")
    review(account, btc=9000)
    (refused,) = resume(account, btc=9000)
    text = "halt=1, because=DAILY_LOSS, confirmed=none; resume it by its number"
    assert refused == RiskCommandRefused("main", "", "resume", "HALT_UNCONFIRMED", text)
    (refused,) = resume(account, halt=2, btc=9000)
    assert "confirmed=2;" in refused.reason
    assert verdict(account).startswith("TRADING_HALTED")
    (resumed,) = resume(account, halt=1, btc=9000)
    assert resumed == TradingResumed("main", "", 1, 990 * UNIT)  # type: ignore[arg-type]
    assert resume(account, halt=1, btc=9000) == ()


def test_what_a_person_halted_is_resumed_without_a_number_but_not_by_another() -> None:
    account = limited()
    account.when(HaltTrading("main", "", "kill"))
    assert kinds(resume(account, halt=7)) == ["RiskCommandRefused"]
    assert kinds(resume(account)) == ["TradingResumed"]
    account.when(HaltTrading("main", "dca", "kill"))
    assert kinds(resume(account, "dca", halt=2)) == ["TradingResumed"]


def test_after_resuming_losses_count_anew() -> None:
    account = holding(daily_loss_max="10", drawdown_max="10")
    review(account, btc=9000)
    resume(account, halt=1, btc=9000)
    assert account.state.peak == 990 * UNIT
    assert review(account, btc=8001) == ()
    (halted,) = review(account, btc=8000)
    assert halted.reason == "loss=10, from=990, limit=10"


def test_after_resuming_a_bot_its_own_losses_count_anew() -> None:
    account = holding(bot_daily_loss_max="10", consecutive_losses_max=2)
    trade(account, bot="other", instrument=ETH)
    review(account, btc=9000)
    account.state.losses.update({"dca": 1, "other": 1})
    (resumed,) = resume(account, "dca", 1, btc=9000)
    assert resumed.worth == -10 * UNIT
    assert account.state.losses == {"other": 1}
    assert review(account, btc=8001) == ()
    assert halts(review(account, btc=8000)) == [("BOT_DAILY_LOSS", "dca")]
    assert account.state.session is not None
    assert account.state.session.equity == 1000 * UNIT


def test_a_bot_that_has_made_nothing_counts_from_nothing() -> None:
    account = holding(bot_daily_loss_max="10")
    account.when(HaltTrading("main", "idle", "kill"))
    (resumed,) = resume(account, "idle")
    assert resumed == TradingResumed("main", "idle", 1, 0)  # type: ignore[arg-type]


def test_resumed_without_a_price_it_opens_nothing_until_there_is_one() -> None:
    account = holding(daily_loss_max="10", consecutive_losses_max=1)
    account.state.losses["x"] = 1
    review(account, btc=9000)
    (resumed,) = account.when(ResumeTrading("main", "", 1), 0, {})
    assert resumed.worth is None  # type: ignore[attr-defined]
    assert (account.state.session, account.state.peak, account.state.losses) == (None, None, {})
    assert verdict(account, marks={}) == "EQUITY_UNKNOWN: currency=USDT"
    happened = account.when(order(quantity=50), 0, {BTC: 9000})
    assert kinds(happened) == ["SessionStarted", "OrderIntended", "RiskPassed"]


def test_a_bot_resumed_without_a_price_keeps_what_its_losses_count_from() -> None:
    account = holding(bot_daily_loss_max="10")
    review(account, btc=9000)
    account.when(ResumeTrading("main", "dca", 1), 0, {})
    assert halts(review(account, btc=9000)) == [("BOT_DAILY_LOSS", "dca")]


def test_limits_that_make_no_sense_change_nothing() -> None:
    account = limited(order_notional_max="100")
    (refused,) = account.when(SetRiskLimits("main", limits(order_notional_max="0")))
    expected = "limits.order_notional_max is 0; allowed: above 0, of at most 18 digits"
    assert refused == RiskCommandRefused("main", "", "set_limits", "LIMITS_INVALID", expected)
    assert judged(account).settings == 1
    assert account.when(SetRiskLimits("main", limits(order_notional_max="100"))) == ()
