"""Round trips: rules by example, then the laws that they lose no quantum and agree with the books."""

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.account.events import OrderFilled, PositionDeposited
from domain.message import Event, Record
from domain.values import Asset, Cash, Fee, InstrumentId, Quantity, Side, Time
from projections import performance
from projections.catalogue import PROJECTIONS
from projections.cost_basis import flow_of
from projections.performance import Lot, RoundTrip, Trades, round_trips
from projections.positions import PoolRow
from projections.rows import MemoryRows, fold_records
from tests.projections.story import BTC, fill_of, intended, random_story

stories = st.builds(random_story, st.randoms(use_true_random=False), st.integers(0, 40))


def fill(order: int, side: Side, quantity: int, cash: int, fee: int = 0, at: int = 0, bot: str = "sma") -> OrderFilled:
    base = fill_of(intended(order, side=side), quantity=quantity, fee=fee)
    return structs.replace(base, bot=bot, cash=Cash(cash), venue_at=Time(at))


def facts(trip: RoundTrip) -> tuple[str, int, int, int, int, int, int, int]:
    """(side, opening order, closing order, quantity, entry cash, exit cash, fees, profit)."""
    return (
        trip.side,
        trip.opening_order,
        trip.closing_order,
        trip.quantity,
        trip.entry_cash,
        trip.exit_cash,
        trip.fees,
        trip.profit,
    )


def lots(trades: Trades) -> list[tuple[str, bool, int, int, int]]:
    """(bot, long, quantity, cash, fees) of what is open."""
    return [(book.bot, book.long, lot.quantity, lot.cash, lot.fees) for book in trades.books for lot in book.lots]


def test_a_buy_and_its_sale_are_a_trip() -> None:
    trades = round_trips([fill(1, "buy", 10, 1000, 3, at=5), fill(2, "sell", 10, 1100, 4, at=9)])
    assert [facts(trip) for trip in trades.trips] == [("long", 1, 2, 10, 1000, 1100, 7, 93)]
    trip = trades.trips[0]
    assert (trip.account, trip.bot, trip.group, trip.instrument) == ("main", "sma", 0, BTC.id)
    assert (trip.opened_at, trip.closed_at) == (5, 9)
    assert (trades.fills, trades.turnover, trades.fees, lots(trades)) == (2, 2100, 7, [])


def test_a_short_mirrors_a_long() -> None:
    trades = round_trips([fill(1, "sell", 10, 1100, 3), fill(2, "buy", 10, 1000, 4)])
    assert [facts(trip) for trip in trades.trips] == [("short", 1, 2, 10, 1100, 1000, 7, 93)]


def test_the_oldest_lot_is_closed_first() -> None:
    buys = [fill(1, "buy", 10, 1000), fill(2, "buy", 10, 2000)]
    trades = round_trips([*buys, fill(3, "sell", 15, 2250)])
    assert [facts(trip) for trip in trades.trips] == [
        ("long", 1, 3, 10, 1000, 1500, 0, 500),
        ("long", 2, 3, 5, 1000, 750, 0, -250),
    ]
    assert lots(trades) == [("sma", True, 5, 1000, 0)]


def test_the_last_part_takes_what_division_leaves() -> None:
    sales = [fill(2, "sell", 1, 40, 1), fill(3, "sell", 1, 40, 1), fill(4, "sell", 1, 40, 1)]
    trades = round_trips([fill(1, "buy", 3, 100, 10), *sales])
    assert [(trip.entry_cash, trip.fees) for trip in trades.trips] == [(33, 4), (33, 4), (34, 5)]


def test_a_rebate_is_cut_towards_zero_like_a_fee() -> None:
    sales = [fill(2, "sell", 1, 40), fill(3, "sell", 1, 40), fill(4, "sell", 1, 40)]
    trades = round_trips([fill(1, "buy", 3, 100, -10), *sales])
    assert [trip.fees for trip in trades.trips] == [-3, -3, -4]


def test_fills_of_the_same_two_orders_are_one_trip() -> None:
    entry = [fill(1, "buy", 4, 400, 1, at=1), fill(1, "buy", 6, 606, 1, at=2)]
    leaving = [fill(2, "sell", 5, 550, 1, at=3), fill(2, "sell", 5, 560, 1, at=4)]
    trades = round_trips([*entry, *leaving])
    assert [facts(trip) for trip in trades.trips] == [("long", 1, 2, 10, 1006, 1110, 4, 100)]
    assert (trades.trips[0].opened_at, trades.trips[0].closed_at) == (1, 4)


def test_what_crosses_zero_closes_and_then_opens_the_other_side() -> None:
    trades = round_trips([fill(1, "buy", 3, 90), fill(2, "sell", 10, 1001, 10), fill(3, "buy", 7, 600, 1)])
    assert [facts(trip) for trip in trades.trips] == [
        ("long", 1, 2, 3, 90, 300, 3, 207),
        ("short", 2, 3, 7, 701, 600, 8, 93),
    ]


def test_owners_do_not_close_each_other() -> None:
    trades = round_trips([fill(1, "buy", 10, 1000), fill(2, "sell", 10, 1100, bot="grid")])
    assert trades.trips == []
    assert lots(trades) == [("sma", True, 10, 1000, 0), ("grid", False, 10, 1100, 0)]


def test_a_fee_in_the_base_lowers_what_there_is_to_close() -> None:
    bought = fill_of(intended(1), price=100, quantity=10, fee=1, fee_asset="BTC")
    trades = round_trips([bought, structs.replace(fill(2, "sell", 9, 10_000), bot="")])
    assert bought.cash == 10_000
    assert [facts(trip) for trip in trades.trips] == [("long", 1, 2, 9, 9_000, 10_000, 1_000, 0)]
    assert lots(trades) == []


def test_a_fill_that_its_fee_took_whole_leaves_the_fee_with_the_lots() -> None:
    nothing = fill_of(intended(1), price=100, quantity=2, fee=2, fee_asset="BTC")
    assert nothing.received == 0
    rest = [structs.replace(fill(2, "buy", 5, 500), bot=""), structs.replace(fill(3, "sell", 5, 600), bot="")]
    trades = round_trips([nothing, *rest])
    assert [facts(trip) for trip in trades.trips] == [
        ("long", 1, 3, 0, 0, 0, 2_000, -2_000),
        ("long", 2, 3, 5, 500, 600, 0, 100),
    ]


def test_it_does_so_also_where_it_should_have_closed() -> None:
    nothing = fill_of(intended(2), price=100, quantity=2, fee=2, fee_asset="BTC")
    rest = [structs.replace(fill(1, "sell", 5, 600), bot=""), nothing, structs.replace(fill(3, "buy", 5, 500), bot="")]
    trades = round_trips(rest)
    assert [facts(trip) for trip in trades.trips] == [("short", 1, 3, 5, 600, 500, 0, 100)]
    assert lots(trades) == [("", False, 0, 0, 2_000)]


def test_a_fee_in_a_third_asset_has_no_value_and_is_said() -> None:
    third = structs.replace(fill(1, "buy", 10, 1000, 7), fee_asset=Asset("BNB"))
    trades = round_trips([third, fill(2, "sell", 10, 1000, 1)])
    assert (trades.fees, trades.other_fees, trades.trips[0].profit) == (1, {"BNB": 7}, -1)


def test_a_deposit_is_held_before_and_belongs_to_nobody() -> None:
    deposit = PositionDeposited("main", InstrumentId(BTC.id), Quantity(10), Cash(900))
    trades = round_trips([fill(1, "sell", 4, 400, bot="", at=9)], [deposit], start=5)
    assert [facts(trip) for trip in trades.trips] == [("long", 0, 1, 4, 360, 400, 0, 40)]
    assert (trades.trips[0].opened_at, lots(trades)) == (5, [("", True, 6, 540, 0)])


def test_who_sells_more_than_it_bought_sells_of_the_deposit_first_and_is_short_beyond() -> None:
    deposit = PositionDeposited("main", InstrumentId(BTC.id), Quantity(10), Cash(900))
    fills = [
        fill(1, "buy", 2, 200, bot="grid", at=6),
        fill(2, "sell", 6, 660, fee=6, bot="grid", at=7),
        fill(3, "sell", 3, 360, bot="other", at=8),
        fill(4, "sell", 5, 600, bot="grid", at=9),
        fill(5, "buy", 2, 200, bot="grid", at=10),
    ]
    trades = round_trips(fills, [deposit], start=5)
    assert [(trip.bot, *facts(trip)) for trip in trades.trips] == [
        ("grid", "long", 0, 2, 4, 360, 440, 4, 76),
        ("grid", "long", 1, 2, 2, 200, 220, 2, 18),
        ("other", "long", 0, 3, 3, 270, 360, 0, 90),
        ("grid", "long", 0, 4, 3, 270, 360, 0, 90),
        ("grid", "short", 4, 5, 2, 240, 200, 0, 40),
    ]
    assert lots(trades) == []


@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from(("buy", "sell")), st.integers(1, 9)), max_size=30),
    st.integers(1, 40),
)
def test_a_deposit_moves_profit_between_trips_and_lots_and_loses_none(
    moves: list[tuple[int, Side, int]], held: int
) -> None:
    fills = [
        fill(2 * order + (side == "sell"), side, quantity, 10 * quantity + order, fee=order, bot=f"bot {order % 2}")
        for order, side, quantity in moves
    ]
    deposit = PositionDeposited("main", InstrumentId(BTC.id), Quantity(held), Cash(9 * held))
    with_it, without = round_trips(fills, [deposit]), round_trips(fills)
    totals = [[each.total() for each in conserved(trades)] for trades in (with_it, without)]
    assert totals[0] == [totals[1][0] + held, totals[1][1] + 9 * held, totals[1][2]]
    open_of_nobody = sum(lot.quantity for book in with_it.books if not book.bot for lot in book.lots)
    if open_of_nobody:
        assert all(trip.side == "long" for trip in with_it.trips)


def test_no_fills_are_no_trips() -> None:
    assert round_trips([]) == Trades([], [])


# --- laws ------------------------------------------------------------------------------------------------------------


def fills_of(records: Iterable[Record[Event]]) -> list[OrderFilled]:
    return [event for record in records for event in record.events if isinstance(event, OrderFilled)]


Owner = tuple[str, str, int, str]


def conserved(trades: Trades) -> tuple[Counter[Owner], Counter[Owner], Counter[Owner]]:
    """Per owner: signed quantity that is open, its cash less what trips gained before fees, and all fees."""
    held: Counter[Owner] = Counter()
    cash: Counter[Owner] = Counter()
    fees: Counter[Owner] = Counter()
    for book in trades.books:
        owner = (book.account, book.bot, book.group, str(book.instrument))
        for lot in book.lots:
            sign = 1 if book.long else -1
            held[owner] += sign * lot.quantity
            cash[owner] += sign * lot.cash
            fees[owner] += lot.fees
    for trip in trades.trips:
        owner = (trip.account, trip.bot, trip.group, str(trip.instrument))
        cash[owner] -= trip.profit + trip.fees
        fees[owner] += trip.fees
    return held, cash, fees


@given(stories.map(lambda story: fills_of(story.records)))
def test_trips_and_lots_have_every_quantum_of_the_fills(fills: list[OrderFilled]) -> None:
    trades = round_trips(fills)
    held, cash, fees = conserved(trades)
    expected: tuple[Counter[Owner], Counter[Owner], Counter[Owner]] = (Counter(), Counter(), Counter())
    for each in fills:
        flow, owner = flow_of(each), (each.account, each.bot, each.group, str(each.instrument))
        for sums, part in zip(expected, (flow.quantity, flow.cost, flow.fee), strict=True):
            sums[owner] += part
    assert (held, cash, fees) == expected
    assert trades.turnover == sum(each.cash for each in fills)
    assert trades.fees == fees.total()
    assert trades.fills == len(fills)


@given(stories.map(lambda story: story.records))
def test_trips_and_open_lots_are_the_realized_profit_of_the_books(records: list[Record[Event]]) -> None:
    """First-in-first-out and average cost part what is realized from what is open in other ways: the sums agree.

    Of groups, whose pools are of their fills alone; deposits and dust that was written off are none.
    """
    fills = [each for each in fills_of(records) if each.bot]
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, [record for record in records if not is_dust(record)])
    _, cash, fees = conserved(round_trips(fills))
    for pool in rows.all(PoolRow):
        if pool.bot:
            owner = (pool.account, pool.bot, pool.group, pool.instrument)
            assert -cash[owner] == pool.realized - pool.cost
            assert fees[owner] == pool.fees


def is_dust(record: Record[Event]) -> bool:
    return any(type(event).__name__ == "DustWrittenOff" for event in record.events)


@given(stories.map(lambda story: fills_of(story.records)))
def test_shorts_mirror_longs(fills: list[OrderFilled]) -> None:
    quoted = [structs.replace(each, fee_asset=quote_of(each), fee=Fee(0), received=each.quantity) for each in fills]
    mirrored = [structs.replace(each, side="buy" if each.side == "sell" else "sell") for each in quoted]
    trades, mirror = round_trips(quoted), round_trips(mirrored)
    assert [turned(trip) for trip in trades.trips] == mirror.trips
    assert [(book.lots, not book.long) for book in trades.books] == [(book.lots, book.long) for book in mirror.books]


def quote_of(each: OrderFilled) -> Asset:
    return Asset(each.instrument.partition("/")[2])


def turned(trip: RoundTrip) -> RoundTrip:
    return structs.replace(trip, side="short" if trip.side == "long" else "long", profit=Cash(-trip.profit))


def slow_trips(fills: Sequence[OrderFilled]) -> Counter[tuple[int, int]]:
    """Quantity by (opening order, closing order), quantum by quantum: first in, first out without any arithmetic."""
    queues: dict[tuple[str, int, str], list[tuple[int, int]]] = {}
    closed: Counter[tuple[int, int]] = Counter()
    for each in fills:
        queue = queues.setdefault((each.bot, each.group, each.instrument), [])
        step = 1 if each.side == "buy" else -1
        for _ in range(each.received):
            if queue and queue[0][1] != step:
                opening, _step = queue.pop(0)
                closed[opening, each.order] += 1
            else:
                queue.append((each.order, step))
    return closed


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(("buy", "sell")), st.integers(1, 9)), max_size=30))
def test_who_closes_what_is_first_in_first_out(moves: list[tuple[int, Side, int]]) -> None:
    # An order is of one side and one owner: here the side and the bot follow from its number.
    fills = [
        fill(2 * order + (side == "sell"), side, quantity, 10 * quantity, bot=f"bot {order % 2}")
        for order, side, quantity in moves
    ]
    trades = round_trips(fills)
    got = Counter({(trip.opening_order, trip.closing_order): int(trip.quantity) for trip in trades.trips})
    assert got == slow_trips(fills)


def test_stories_reach_every_case() -> None:
    """The laws above are empty without trips of both sides, merged parts and lots that stay open."""
    fills = fills_of(random_story(Random(7), 300).records)
    trades = round_trips(fills)
    assert {trip.side for trip in trades.trips} == {"long", "short"}
    assert {trip.group for trip in trades.trips} == {0, 1, 2, 3}
    assert trades.other_fees
    assert any(book.lots for book in trades.books)
    parts = Counter((trip.opening_order, trip.closing_order) for trip in trades.trips)
    assert max(parts.values()) == 1
    assert any(each.remaining for each in fills)


def test_a_cut_that_loses_its_remainder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def losing(lot: Lot, quantity: int) -> tuple[Lot, Lot]:
        part, rest = cut(lot, quantity)
        return part, structs.replace(rest, cash=lot.cash * rest.quantity // lot.quantity)

    cut = performance._cut  # noqa: SLF001
    fills = fills_of(random_story(Random(7), 300).records)
    sound = conserved(round_trips(fills))
    monkeypatch.setattr(performance, "_cut", losing)
    assert conserved(round_trips(fills)) != sound
