"""The rules `candle-v1`, one by one, at the venue itself; prices in quanta of 10^-2, quantities of 10^-3."""

from decimal import Decimal
from typing import Any

import pytest

from domain.account.commands import AcceptReported, CancelRejectReported, CancelReported, FillReported, RejectReported
from domain.message import Fact
from domain.ports import CancelOrder, QueryOrder, SubmitOrder
from domain.values import Time
from infrastructure.venues.simulated import ENDED_KEPT, SimulatedVenue, Terms, Wallet
from tests.spec import BTC, instrument

FREE = Terms(Decimal(0), Decimal(0))


def venue(
    cash: int = 10**15, position: int = 10**6, kind: Any = "spot", terms: Terms = FREE, **grid: Any
) -> SimulatedVenue:
    return SimulatedVenue("main", kind, instrument(**grid), terms, Wallet(cash), position)


def send(
    at: SimulatedVenue, number: int, side: Any = "buy", kind: Any = "limit", quantity: int = 1000, **more: Any
) -> list[Fact]:
    fields = {"limit": None, "stop": None, "reduce_only": False, **more}
    return at.submit(SubmitOrder("main", number, BTC, side, kind, quantity, verdict=(1, 1), **fields))  # type: ignore[arg-type]


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
    assert market.cancel(CancelOrder("main", 1, BTC)) == [CancelReported("main", 1, 0, "canceled")]  # type: ignore[arg-type]
    (report,) = market.cancel(CancelOrder("main", 1, BTC))
    assert isinstance(report, CancelRejectReported)
    assert candle(market, 9900, 9900, 9900) == []


def test_a_query_tells_the_whole_story() -> None:
    market = venue()
    send(market, 1, limit=9900)
    query = QueryOrder("main", 1, BTC)
    assert market.query(query) == [AcceptReported("main", 1, "sim-1")]
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
    assert len(market._ended) == ENDED_KEPT  # noqa: SLF001
    assert not market._working  # noqa: SLF001


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
