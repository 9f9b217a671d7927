"""The rules `candle-v1`, one by one, at the venue itself; prices in quanta of 10^-2, quantities of 10^-3."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account.commands import AcceptReported, CancelRejectReported, CancelReported, FillReported, RejectReported
from domain.account.state import Order
from domain.message import Fact
from domain.ports import CancelOrder, QueryOrder, SubmitOrder
from domain.values import Price, Quantity, Time
from infrastructure.venues.simulated import ENDED_KEPT, RULES, Rules, SimulatedVenue, Terms, Wallet
from tests.spec import BTC, instrument

FREE = Terms(Decimal(0), Decimal(0))


def venue(
    cash: int = 10**15,
    position: int = 10**6,
    kind: Any = "spot",
    terms: Terms = FREE,
    rules: Rules = RULES,
    **grid: Any,
) -> SimulatedVenue:
    return SimulatedVenue("main", kind, instrument(**grid), terms, Wallet(cash), position, rules)


def send(
    at: SimulatedVenue, number: int, side: Any = "buy", kind: Any = "limit", quantity: int = 1000, **more: Any
) -> list[Fact]:
    fields = {"limit": None, "stop": None, "reduce_only": False, **more}
    return [at.submit(SubmitOrder("main", number, BTC, side, kind, quantity, verdict=(1, 1), **fields))]  # type: ignore[arg-type]


def candle(at: SimulatedVenue, open_: int, high: int, low: int) -> list[tuple[int, int, int, str]]:
    """(order, price, quantity, liquidity) of the candle's fills."""
    return fills(at.candle(Time(7), open_, high, low))


def fills(reports: list[Fact]) -> list[tuple[int, int, int, str]]:
    return [(r.order, r.price, r.quantity, r.liquidity) for r in reports if isinstance(r, FillReported)]


def test_a_market_order_fills_at_the_next_open_as_taker() -> None:
    market = venue()
    send(market, 1, kind="market")
    assert candle(market, 10000, 10100, 9900) == [(1, 10000, 1000, "taker")]


@pytest.mark.parametrize(
    ("side", "limit", "open_", "high", "low", "price"),
    [
        ("buy", 9900, 10000, 10100, 9900, 9900),  # touched
        ("buy", 9900, 10000, 10100, 9901, None),
        ("buy", 9900, 9800, 9900, 9700, 9800),  # opened through: at the open
        ("sell", 10100, 10000, 10100, 9900, 10100),
        ("sell", 10100, 10000, 10099, 9900, None),
        ("sell", 10100, 10200, 10300, 10200, 10200),
    ],
)
def test_limits(side: Any, limit: int, open_: int, high: int, low: int, price: int | None) -> None:
    market = venue()
    send(market, 1, side, limit=limit)
    expected = [] if price is None else [(1, price, 1000, "maker")]
    assert candle(market, open_, high, low) == expected


@pytest.mark.parametrize(
    ("side", "stop", "open_", "high", "low", "price"),
    [
        ("sell", 9900, 10000, 10100, 9900, 9900),
        ("sell", 9900, 10000, 10100, 9901, None),
        ("sell", 9900, 9800, 9850, 9700, 9800),  # gapped through: at the open
        ("buy", 10100, 10000, 10100, 9900, 10100),
        ("buy", 10100, 10200, 10300, 10150, 10200),
    ],
)
def test_stops(side: Any, stop: int, open_: int, high: int, low: int, price: int | None) -> None:
    market = venue()
    send(market, 1, side, "stop", stop=stop)
    expected = [] if price is None else [(1, price, 1000, "taker")]
    assert candle(market, open_, high, low) == expected


def test_a_stop_limit_rests_as_a_limit_from_the_next_candle_on() -> None:
    market = venue()
    send(market, 1, "sell", "stop_limit", stop=9900, limit=9950)
    assert candle(market, 10000, 10000, 9800) == []
    assert candle(market, 9850, 9949, 9800) == []
    assert candle(market, 9850, 9950, 9800) == [(1, 9950, 1000, "maker")]


def test_slippage_worsens_market_and_stop_orders_and_stays_on_the_tick() -> None:
    market = venue(terms=Terms(Decimal(0), Decimal(0), Decimal("0.001")), tick="0.05")
    send(market, 1, kind="market")
    send(market, 2, "sell", "market")
    send(market, 3, limit=9000)
    assert candle(market, 10003, 10100, 9000) == [
        (1, 10015, 1000, "taker"),
        (2, 9990, 1000, "taker"),
        (3, 9000, 1000, "maker"),
    ]


def test_markets_then_stops_then_limits_each_by_distance_from_the_open_then_age() -> None:
    market = venue()
    send(market, 1, limit=9900)
    send(market, 2, "sell", limit=10050)
    send(market, 3, "sell", "stop", stop=9800)
    send(market, 4, limit=9900)
    send(market, 5, kind="market")
    send(market, 6, "sell", "stop", stop=9900)
    assert [order for order, *_ in candle(market, 10000, 10100, 9700)] == [5, 6, 3, 2, 1, 4]


def test_fees_are_half_even_and_in_the_quote_asset() -> None:
    market = venue(terms=Terms(Decimal("0.0002"), Decimal("0.001")))
    send(market, 1, limit=9999, quantity=1)
    (report,) = market.candle(Time(7), 9999, 9999, 9999)
    assert isinstance(report, FillReported)
    assert (report.fee, report.fee_asset) == (2000, "USDT")  # 0.0002 of 0.09999: 1999.8 quanta


def test_a_buy_s_fee_in_the_base_asset_comes_out_of_what_was_bought() -> None:
    market = venue(position=0, terms=Terms(Decimal("0.001"), Decimal("0.001")), fee_asset="base")
    send(market, 1, limit=10000, quantity=10**8)
    (report,) = market.candle(Time(7), 10000, 10000, 10000)
    assert isinstance(report, FillReported)
    assert (report.fee, report.fee_asset, market.position) == (10**5, "BTC", 10**8 - 10**5)


def test_a_reduce_only_order_with_nothing_left_to_reduce_is_cancelled_not_filled() -> None:
    market = venue(position=1500)
    send(market, 1, "sell", limit=10100, reduce_only=True)
    send(market, 2, "sell", limit=10100, reduce_only=True)
    send(market, 3, "sell", limit=10100, reduce_only=True)
    reports = market.candle(Time(7), 10000, 10200, 9900)
    assert fills(reports) == [(1, 10100, 1000, "maker"), (2, 10100, 500, "maker")]
    ended = [(r.order, r.filled) for r in reports if isinstance(r, CancelReported)]
    assert ended == [(2, 500), (3, 0)]
    assert market.position == 0


@pytest.mark.parametrize(
    ("side", "kind", "limit", "price"),
    [
        ("buy", "market", None, 10000),
        ("sell", "market", None, 10000),
        ("buy", "limit", 10001, 10000),
        ("sell", "limit", 9999, 10000),
        ("buy", "limit", 10000, None),  # at its own price alone it rests
        ("sell", "limit", 10000, None),
        ("buy", "limit", 9999, None),
        ("buy", "stop", None, None),
    ],
)
def test_close_fill_trades_at_once_what_can_as_taker(
    side: Any, kind: Any, limit: int | None, price: int | None
) -> None:
    market = venue(rules="close-fill")
    send(market, 1, side, kind, limit=limit, stop=9000 if kind == "stop" else None)
    reports = market.at_close(1, Time(7), 10000)
    assert fills(reports) == ([] if price is None else [(1, price, 1000, "taker")])
    assert [report.venue_at for report in reports if isinstance(report, FillReported)] == [Time(7)] * len(reports)


@pytest.mark.parametrize(
    ("side", "limit", "stop", "price"),
    [("buy", 9900, None, 9900), ("sell", 9700, None, 9700), ("sell", None, 9900, 9800), ("buy", None, 9700, 9800)],
)
def test_close_fill_fills_what_rests_at_its_own_price_and_a_stop_where_it_opens(
    side: Any, limit: int | None, stop: int | None, price: int
) -> None:
    """The candle opens at 9800, beyond all of them."""
    market = venue(rules="close-fill")
    send(market, 1, side, "limit" if stop is None else "stop", limit=limit, stop=stop)
    assert [fill[1] for fill in candle(market, 9800, 9850, 9750)] == [price]


@pytest.mark.parametrize("rules", ["candle-v1", "through"])
@pytest.mark.parametrize(
    ("side", "limit", "stop", "price", "touched"),
    [
        ("buy", 9900, None, 9900, True),  # the low
        ("sell", 10100, None, 10100, True),  # the high
        ("buy", 9901, None, 9901, False),
        ("sell", 10099, None, 10099, False),
        ("buy", 10001, None, 10000, False),  # opened beyond it
        ("sell", None, 9900, 9900, False),  # a stop is met by a touch
        ("buy", None, 10100, 10100, False),
    ],
)
def test_through_fills_no_limit_that_is_only_touched(
    rules: Any, side: Any, limit: int | None, stop: int | None, price: int, touched: bool
) -> None:
    market = venue(rules=rules)
    send(market, 1, side, "limit" if stop is None else "stop", limit=limit, stop=stop)
    assert [fill[1] for fill in candle(market, 10000, 10100, 9900)] == (
        [] if touched and rules == "through" else [price]
    )
    expected = [1] if touched and rules == "through" else []
    assert [fill[0] for fill in candle(market, 10000, 10101, 9899)] == expected  # it rests until the price goes on


@pytest.mark.parametrize(("rules", "sizes"), [("candle-v1", [400, 600]), ("through", [1000])])
def test_through_fills_no_limit_at_its_price_by_a_print(rules: Any, sizes: list[int]) -> None:
    market = venue(rules=rules)
    send(market, 1, "buy", "limit", limit=9900)
    reports = [*market.trade(Time(1), 9900, 400), *market.trade(Time(2), 9899, 1)]
    assert [report.quantity for report in reports if isinstance(report, FillReported)] == sizes


def test_by_candle_v1_nothing_trades_at_a_close() -> None:
    market = venue()
    send(market, 1, "buy", "market")
    assert market.at_close(1, Time(7), 10000) == []


@pytest.mark.parametrize(("kind", "side"), [("margin", "buy"), ("margin", "sell"), ("spot", "sell")])
def test_an_order_that_locks_nothing_is_taken_when_the_cash_is_below_zero(kind: Any, side: Any) -> None:
    """Fees can bring it there: what closes a position must still get out."""
    market = venue(cash=-1, kind=kind)
    (report,) = send(market, 1, side, "market")
    assert isinstance(report, AcceptReported)
    assert candle(market, 10000, 10100, 9900) == [(1, 10000, 1000, "taker")]


def test_what_cannot_be_paid_at_the_open_is_refused() -> None:
    market = venue(cash=100 * 10**8)
    send(market, 1, kind="market")
    (report,) = market.candle(Time(7), 10001, 10001, 10001)
    assert isinstance(report, RejectReported)
    assert report.code == "INSUFFICIENT_BALANCE"
    assert market.wallet.cash == 100 * 10**8


def test_a_limit_locks_its_cash_and_one_too_many_is_refused() -> None:
    market = venue(cash=150 * 10**8)
    assert isinstance(send(market, 1, limit=10000)[0], AcceptReported)
    assert isinstance(send(market, 2, limit=10000)[0], RejectReported)
    market.cancel(CancelOrder("main", 1, BTC))
    assert isinstance(send(market, 3, limit=10000)[0], AcceptReported)


def test_an_order_number_is_taken_once() -> None:
    market = venue()
    send(market, 1, limit=9900)
    (report,) = send(market, 1, limit=9900)
    assert isinstance(report, RejectReported)
    assert report.code == "DUPLICATE_ORDER"


def test_a_cancel_ends_a_working_order_and_is_refused_for_any_other() -> None:
    market = venue()
    send(market, 1, limit=9900)
    assert market.cancel(CancelOrder("main", 1, BTC)) == CancelReported("main", 1, 0, "canceled")  # type: ignore[arg-type]
    report = market.cancel(CancelOrder("main", 1, BTC))
    assert isinstance(report, CancelRejectReported)
    assert candle(market, 9900, 9900, 9900) == []


def test_a_query_tells_the_whole_story() -> None:
    market = venue()
    send(market, 1, limit=9900)
    query = QueryOrder("main", 1, BTC)
    assert market.query(query) == (AcceptReported("main", 1, "sim-1"),)
    candle(market, 9900, 9900, 9900)
    assert fills(list(market.query(query))) == [(1, 9900, 1000, "maker")]
    (report,) = market.query(QueryOrder("main", 99, BTC))
    assert isinstance(report, RejectReported)
    assert report.code == "NOT_FOUND"


def test_ended_orders_do_not_pile_up() -> None:
    market = venue()
    for number in range(1, ENDED_KEPT + 50):
        send(market, number, limit=9900)
        market.cancel(CancelOrder("main", number, BTC))
    (forgotten,), (kept,) = (market.query(QueryOrder("main", number, BTC)) for number in (49, 50))
    assert isinstance(forgotten, RejectReported)
    assert isinstance(kept, CancelReported)


def trade(market: SimulatedVenue, price: int, printed: int) -> list[tuple[int, int, int, str]]:
    reports = fills(market.trade(Time(7), price, printed))
    market.last = price
    return reports


def test_on_trades_a_limit_fills_at_its_price_up_to_the_printed_size_and_in_full_through_it() -> None:
    market = venue()
    market.last = 10000
    send(market, 1, limit=9900, quantity=1000)
    send(market, 2, limit=9900, quantity=1000)
    assert trade(market, 9901, 5000) == []
    assert trade(market, 9900, 1300) == [(1, 9900, 1000, "maker"), (2, 9900, 300, "maker")]
    assert trade(market, 9900, 100) == [(2, 9900, 100, "maker")]
    assert trade(market, 9899, 1) == [(2, 9900, 600, "maker")]


def test_on_trades_a_limit_that_was_marketable_on_arrival_gets_the_better_price() -> None:
    market = venue()
    market.last = 9800
    send(market, 1, limit=9900)
    assert trade(market, 9800, 1) == [(1, 9800, 1000, "maker")]


def test_on_trades_market_orders_and_stops_fill_at_the_print() -> None:
    market = venue()
    market.last = 10000
    send(market, 1, kind="market")
    send(market, 2, "sell", "stop", stop=9900)
    assert trade(market, 9950, 1) == [(1, 9950, 1000, "taker")]
    assert trade(market, 9890, 1) == [(2, 9890, 1000, "taker")]


# --- brackets: a stop that fills cancels what else only reduces ------------------------------------------------------


def bracketed(position: int = 1000, **more: Any) -> SimulatedVenue:
    """A long position with a stop at 98.00 and two targets of halves at 101.00 and 102.00."""
    market = venue(position=position, **more)
    send(market, 1, "sell", "stop", stop=9800, reduce_only=True, bracket="dca/1")
    send(market, 2, "sell", limit=10100, quantity=500, reduce_only=True, bracket="dca/1")
    send(market, 3, "sell", limit=10200, quantity=500, reduce_only=True, bracket="dca/1")
    return market


def said(reports: list[Fact]) -> list[tuple[Any, ...]]:
    return [
        (r.order, r.price, r.quantity) if isinstance(r, FillReported) else (r.order, r.filled, r.reason)  # type: ignore[attr-defined]
        for r in reports
    ]


def test_a_candle_that_meets_stop_and_targets_sells_once_at_the_stop() -> None:
    market = bracketed()
    reports = market.candle(Time(7), 10000, 10300, 9700)
    assert said(reports) == [(1, 9800, 1000), (2, 0, "bracket"), (3, 0, "bracket")]
    assert market.position == 0
    assert candle(market, 10000, 10300, 9700) == []
    assert market.bounds() == venue().bounds()


def test_a_candle_that_meets_no_stop_fills_the_targets_and_leaves_the_stop_what_is_left() -> None:
    market = bracketed()
    assert candle(market, 10000, 10150, 9900) == [(2, 10100, 500, "maker")]
    reports = market.candle(Time(7), 10000, 10000, 9700)
    assert said(reports) == [(1, 9800, 500), (1, 500, "nothing left to reduce"), (3, 0, "bracket")]
    assert market.position == 0


def test_a_stop_does_not_sell_again_what_a_target_of_its_bracket_has_sold() -> None:
    """Its owner may not have heard of the target yet, and the account may hold more than the group."""
    market = bracketed(position=5000)
    assert said(market.candle(Time(7), 10000, 10150, 10000)) == [(2, 10100, 500)]
    reports = market.candle(Time(8), 9900, 9950, 9700)
    assert said(reports) == [(1, 9800, 500), (1, 500, "nothing left to reduce"), (3, 0, "bracket")]
    assert market.position == 4000


def test_only_its_own_bracket_and_only_what_reduces_is_cancelled() -> None:
    market = bracketed(position=5000)
    send(market, 4, "sell", limit=10300, reduce_only=True, bracket="dca/2")
    send(market, 5, "buy", limit=9000, bracket="dca/1")
    send(market, 6, "sell", limit=10300, reduce_only=True)
    assert [order for order, *_ in said(market.candle(Time(7), 9900, 9950, 9800))] == [1, 2, 3]
    assert [order for order, *_ in candle(market, 9900, 10400, 8900)] == [4, 6, 5]


def test_two_stops_of_one_bracket_fill_once() -> None:
    market = venue(position=2000)
    send(market, 1, "sell", "stop", stop=9800, reduce_only=True, bracket="dca/1")
    send(market, 2, "sell", "stop", stop=9700, reduce_only=True, bracket="dca/1")
    assert said(market.candle(Time(7), 9900, 9950, 9600)) == [(1, 9800, 1000), (2, 0, "bracket")]
    assert market.position == 1000


def test_a_target_that_fills_cancels_nothing() -> None:
    market = bracketed()
    candle(market, 10000, 10100, 9900)
    assert type(market.cancel(CancelOrder("main", 1, BTC))) is CancelReported


def test_a_short_is_bracketed_the_other_way_round() -> None:
    market = venue(position=-1000, kind="margin")
    send(market, 1, "buy", "stop", stop=10200, reduce_only=True, bracket="dca/1")
    send(market, 2, "buy", limit=9900, reduce_only=True, bracket="dca/1")
    assert said(market.candle(Time(7), 10000, 10300, 9800)) == [(1, 10200, 1000), (2, 0, "bracket")]
    assert market.position == 0


def test_on_trades_a_stop_that_fills_cancels_the_targets_too() -> None:
    market = bracketed()
    assert said(market.trade(Time(7), 9790, 10)) == [(1, 9790, 1000), (2, 0, "bracket"), (3, 0, "bracket")]
    assert market.trade(Time(7), 10300, 10_000) == []


def test_a_stop_limit_that_has_only_triggered_cancels_nothing_yet() -> None:
    market = venue(position=1000)
    send(market, 1, "sell", "stop_limit", stop=9800, limit=9750, reduce_only=True, bracket="dca/1")
    send(market, 2, "sell", limit=10100, reduce_only=True, bracket="dca/1")
    assert len(market.candle(Time(7), 9900, 9900, 9800)) == 1
    assert said(market.candle(Time(7), 9700, 9800, 9700)) == [(1, 9750, 1000), (2, 0, "bracket")]


def test_a_reduce_only_stop_never_takes_more_than_the_position() -> None:
    market = venue(position=300)
    send(market, 1, "sell", "stop", stop=9800, reduce_only=True, bracket="dca/1")
    assert said(market.candle(Time(7), 9700, 9800, 9700)) == [(1, 9700, 300), (1, 300, "nothing left to reduce")]
    assert market.position == 0


def test_what_is_restored_is_in_its_bracket_again() -> None:
    market = venue(position=1000)
    stop = Order(1, "dca", 3, 0, "stop", BTC, "sell", "stop", Quantity(1000), None, Price(9800), reduce_only=True)
    target = Order(2, "dca", 3, 1, "target", BTC, "sell", "limit", Quantity(500), Price(10100), None, reduce_only=True)
    for order in (stop, target):
        market.restore(order)
    send(market, 3, "sell", limit=10200, quantity=500, reduce_only=True, bracket=stop.bracket)
    reports = market.candle(Time(7), 10000, 10300, 9700)
    assert said(reports) == [(1, 9800, 1000), (2, 0, "bracket"), (3, 0, "bracket")]


@given(
    st.integers(1, 3000),
    st.lists(st.tuples(st.booleans(), st.integers(9500, 10500), st.integers(1, 1500)), max_size=6),
    st.lists(st.tuples(st.integers(9300, 10700), st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=6),
    st.booleans(),
)
def test_law_a_bracket_never_takes_more_than_the_position(
    position: int, orders: list[tuple[bool, int, int]], prices: list[tuple[int, int, int]], on_trades: Any
) -> None:
    market = venue(position=position)
    for number, (is_stop, price, quantity) in enumerate(orders, 1):
        kind, level = ("stop", {"stop": price}) if is_stop else ("limit", {"limit": price})
        send(market, number, "sell", kind, quantity, reduce_only=True, bracket="dca/1", **level)
    stops = {number for number, (is_stop, *_) in enumerate(orders, 1) if is_stop}
    sold, stopped = 0, False
    for price, up, down in prices:
        if on_trades:
            reports = market.trade(Time(7), price, up + 1)
        else:
            reports = market.candle(Time(7), price, price + up, price - down)
        for order, _, quantity, _ in fills(reports):
            assert not stopped, "what is left after a stop"
            sold += quantity
            stopped = order in stops
    assert sold <= position
    assert market.position == position - sold
