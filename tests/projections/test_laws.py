"""Laws 1, 2, 3 and 18 over random logs, exact, against sums that know nothing of cost bases."""

from collections import Counter
from collections.abc import Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from domain.account.events import AccountValued, CashDeposited, OrderFilled, PositionDeposited
from domain.market import Instrument
from domain.message import Event, Record
from projections.catalogue import PROJECTIONS
from projections.fills import FillRow
from projections.instruments import InstrumentRow, instrument_of
from projections.orders import OrderRow
from projections.portfolio import BalanceRow
from projections.position_groups import GroupRow
from projections.positions import PoolRow, PositionRow
from projections.profit_and_loss import (
    ProfitRow,
    Totals,
    ValuationRow,
    by_account,
    by_day,
    by_group,
    by_instrument,
)
from projections.rows import MemoryRows, day_text, fold_records
from tests.projections.story import BTC, ETH, random_story

INSTRUMENTS: dict[str, Instrument] = {BTC.id: BTC, ETH.id: ETH}

stories = st.builds(random_story, st.randoms(use_true_random=False), st.integers(0, 40))


def folded(records: Iterable[Record[Event]]) -> MemoryRows:
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, records)
    return rows


def events(records: Iterable[Record[Event]]) -> list[Event]:
    return [event for record in records for event in record.events]


@given(stories.map(lambda story: story.records))
def test_cash_and_assets_are_conserved(records: list[Record[Event]]) -> None:
    cash: Counter[str] = Counter()
    for event in events(records):
        if isinstance(event, CashDeposited):
            cash[event.asset] += event.amount
        elif isinstance(event, OrderFilled):
            instrument = INSTRUMENTS[event.instrument]
            cash[instrument.quote] += event.cash if event.side == "sell" else -event.cash
            if event.fee_asset != instrument.base:
                cash[event.fee_asset] -= event.fee
    rows = folded(records)
    assert {row.asset: row.cash for row in rows.all(BalanceRow) if row.cash} == {a: c for a, c in cash.items() if c}


@given(stories.map(lambda story: story.records))
def test_position_is_sum_of_fills_and_deposits(records: list[Record[Event]]) -> None:
    held: Counter[str] = Counter({BTC.id: 0, ETH.id: 0})
    for event in events(records):
        if isinstance(event, PositionDeposited):
            held[event.instrument] += event.quantity
        elif isinstance(event, OrderFilled):
            held[event.instrument] += event.received if event.side == "buy" else -event.received
    assert {row.instrument: row.quantity for row in folded(records).all(PositionRow)} == dict(held)


@given(stories.map(lambda story: story.records))
def test_equity_change_is_profit_less_fees(records: list[Record[Event]]) -> None:
    rows = folded(records)
    profits = rows.all(ProfitRow)
    totals = by_account(profits)
    for balance in rows.all(BalanceRow):
        total = totals.get(("main", balance.asset), Totals())
        assert balance.equity == balance.deposited + total.realized + balance.unrealized - total.fees
        assert balance.equity == balance.cash + balance.positions_value
        mine = [row for row in rows.all(PositionRow) if INSTRUMENTS[row.instrument].quote == balance.asset]
        assert balance.unrealized == sum(row.unrealized for row in mine)
        worth = [
            row.cost if row.mark is None else INSTRUMENTS[row.instrument].notional(row.mark, row.quantity)
            for row in mine
        ]
        assert balance.positions_value == sum(worth)


@given(stories.map(lambda story: story.records))
def test_groups_and_unattributed_add_up_to_the_position(records: list[Record[Event]]) -> None:
    rows = folded(records)
    pools = rows.all(PoolRow)
    for position in rows.all(PositionRow):
        mine = [pool for pool in pools if pool.instrument == position.instrument]
        assert position.quantity == sum(pool.quantity for pool in mine)
        assert position.cost == sum(pool.cost for pool in mine)
    assert all(pool.cost == 0 for pool in pools if not pool.quantity)


@given(stories.map(lambda story: story.records))
def test_group_agrees_with_its_pool(records: list[Record[Event]]) -> None:
    rows = folded(records)
    for group in rows.all(GroupRow):
        pool = rows.get(PoolRow, "main", group.instrument, "dca", group.group)
        sign = 1 if group.direction == "long" else -1
        amounts = (sign * group.held, sign * group.cost, group.realized, group.fees)
        assert amounts == ((pool.quantity, pool.cost, pool.realized, pool.fees) if pool else (0, 0, 0, 0))


@given(stories.map(lambda story: story.records))
def test_every_sum_of_profit_is_the_account(records: list[Record[Event]]) -> None:
    rows = folded(records)
    profits = rows.all(ProfitRow)
    totals = by_account(profits)
    for sums in (by_instrument(profits), by_group(profits), by_day(profits)):
        again: dict[tuple[str, str], Totals] = {}
        for key, total in sums.items():
            at = (key[0], str(key[-1]))
            old = again.get(at, Totals())
            again[at] = Totals(
                old.realized + total.realized,
                old.fees + total.fees,
                old.turnover + total.turnover,
                old.fills + total.fills,
            )
        assert again == totals
    pools = rows.all(PoolRow)
    for instrument in INSTRUMENTS.values():
        mine = [pool for pool in pools if pool.instrument == instrument.id]
        total = by_instrument(profits).get(("main", instrument.id, instrument.quote), Totals())
        assert total.realized == sum(pool.realized for pool in mine)
        assert total.fees == sum(pool.fees for pool in mine)


@given(stories.map(lambda story: story.records))
def test_orders_and_days_sum_their_fills(records: list[Record[Event]]) -> None:
    rows = folded(records)
    fills = rows.all(FillRow)
    assert len(fills) == sum(isinstance(event, OrderFilled) for event in events(records))
    for order in rows.all(OrderRow):
        mine = [fill for fill in fills if fill.order == order.order]
        assert order.filled == sum(fill.quantity for fill in mine)
        assert order.cash == sum(fill.cash for fill in mine)
        assert order.fee == sum(fill.fee for fill in mine)
        assert order.fee_value == sum(fill.fee_value for fill in mine)
        assert (order.status == "FILLED") == (order.filled == order.quantity)
    days = by_day(rows.all(ProfitRow))
    for quote in ("USDT", "INR"):
        turnover: Counter[str] = Counter()
        for fill in fills:
            if INSTRUMENTS[instrument_of_fill(rows, fill)].quote == quote:
                turnover[day_text(fill.at)] += fill.cash
        assert {key[1]: total.turnover for key, total in days.items() if key[2] == quote and total.turnover} == {
            day: cash for day, cash in turnover.items() if cash
        }


def instrument_of_fill(rows: MemoryRows, fill: FillRow) -> str:
    """By way of the instruments' rows, which must give back what was listed."""
    row = rows.get(InstrumentRow, fill.account, fill.instrument)
    assert row is not None
    assert instrument_of(row) == INSTRUMENTS[row.instrument]
    return row.instrument


@given(stories.map(lambda story: story.records))
def test_valuation_is_the_last_of_its_day(records: list[Record[Event]]) -> None:
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for record in records:
        for event in record.events:
            if isinstance(event, AccountValued):
                for asset, equity in event.equity:
                    last[day_text(record.at - 1), asset] = (record.at, equity)
    kept = {(row.day, row.asset): (row.at, row.equity) for row in folded(records).all(ValuationRow)}
    assert kept == last


def test_stories_reach_every_case() -> None:
    """The laws above are empty without longs, shorts, base fees and dust; a fixed story has them all."""
    rows = folded(random_story(Random(7), 300).records)
    pools = rows.all(PoolRow)
    assert {pool.group for pool in pools} == {0, 1, 2, 3}
    assert any(pool.quantity > 0 for pool in pools)
    assert any(pool.quantity < 0 for pool in pools)
    assert any(pool.realized for pool in pools if not pool.bot)
    assert {row.asset for row in rows.all(BalanceRow)} == {"USDT", "INR", "BNB"}
    assert len({row.day for row in rows.all(ProfitRow)}) > 20
