import pytest

from domain.account.events import AccountValued, CashDeposited, PositionDeposited
from domain.errors import MissingError
from domain.message import Event
from domain.position_group.events import DustWrittenOff
from domain.values import DAY, Asset, Cash, Price, Quantity, Side
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow, PositionRow
from projections.profit_and_loss import ProfitRow, Totals, ValuationRow, by_day
from projections.rows import MemoryRows, fold_records
from tests.projections.story import ACCOUNT, BTC, START, fill_of, intended, opened

MONEY = CashDeposited("main", Asset("USDT"), Cash(1_000_000))


def fill(side: Side, quantity: int, price: int, group: int = 0, fee: int = 0) -> Event:
    return fill_of(intended(1, group, side=side), price=price, quantity=quantity, fee=fee)


def after(*steps: Event | int) -> MemoryRows:
    """Rows after these events; a number is microseconds that pass."""
    story = opened(BTC)
    for step in steps:
        if isinstance(step, int):
            story.at += step
        else:
            story.tell(ACCOUNT, step)
    rows = MemoryRows()
    fold_records([PORTFOLIO], rows, story.records)
    return rows


def balance(rows: MemoryRows) -> BalanceRow:
    row = rows.get(BalanceRow, "main", "USDT")
    assert row is not None
    return row


def pools(rows: MemoryRows) -> dict[int, tuple[int, int, int]]:
    return {pool.group: (pool.quantity, pool.cost, pool.realized) for pool in rows.all(PoolRow)}


def test_listed_instrument_has_a_position() -> None:
    assert after().all(PositionRow) == [PositionRow(account="main", instrument="BTC/USDT")]


def test_position_is_worth_its_last_fill() -> None:
    rows = after(MONEY, fill("buy", 10, 100, fee=7), fill("buy", 1, 130))
    [position] = rows.all(PositionRow)
    assert (position.quantity, position.cost, position.mark, position.unrealized) == (11, 11_300, 130, 3000)
    row = balance(rows)
    assert (row.cash, row.positions_value, row.equity) == (1_000_000 - 11_307, 14_300, 1_002_993)
    assert (row.deposited, row.unrealized) == (1_000_000, 3000)


def test_valuation_moves_the_mark_and_is_kept_for_its_day() -> None:
    valued = AccountValued("main", ((BTC.id, Price(150)),), ((Asset("USDT"), Cash(77)),))
    rows = after(MONEY, fill("buy", 10, 100), DAY, valued)
    assert balance(rows).equity == 1_005_000
    # At midnight: it ends the day before.
    [row] = rows.all(ValuationRow)
    assert row == ValuationRow("main", "2022-01-01", "USDT", START + DAY, 77, 5000)
    later = after(MONEY, fill("buy", 10, 100), DAY + 1, valued)
    assert [row.day for row in later.all(ValuationRow)] == ["2022-01-02"]


def test_deposited_position_belongs_to_no_group_and_costs_its_cost() -> None:
    rows = after(PositionDeposited("main", BTC.id, Quantity(5), Cash(400)))
    assert pools(rows) == {0: (5, 400, 0)}
    row = balance(rows)
    assert (row.deposited, row.cash, row.positions_value, row.equity, row.unrealized) == (400, 0, 400, 400, 0)


def test_deposit_that_covers_a_short_realizes() -> None:
    rows = after(fill("sell", 5, 100), PositionDeposited("main", BTC.id, Quantity(5), Cash(4000)))
    assert pools(rows) == {0: (0, 0, 1000)}
    assert [row.realized for row in rows.all(ProfitRow)] == [1000]
    assert balance(rows).equity == 5000


def test_groups_have_pools_of_their_own() -> None:
    rows = after(fill("buy", 10, 100, group=1), fill("sell", 4, 120, group=2), fill("sell", 4, 130, group=1))
    assert pools(rows) == {1: (6, 6000, 1200), 2: (-4, -4800, 0)}
    [position] = rows.all(PositionRow)
    assert (position.quantity, position.cost) == (2, 1200)


def test_dust_moves_to_what_belongs_to_no_group() -> None:
    dust = DustWrittenOff("dca", 1, "main", BTC.id, Quantity(3), "below step")
    rows = after(fill("buy", 10, 100, group=1), fill("buy", 1, 90), dust)
    assert pools(rows) == {1: (7, 7000, 0), 0: (4, 3900, 0)}
    [position] = rows.all(PositionRow)
    assert (position.quantity, position.cost) == (11, 10_900)


def test_dust_that_meets_a_short_realizes() -> None:
    dust = DustWrittenOff("dca", 1, "main", BTC.id, Quantity(3), "below step")
    rows = after(fill("sell", 5, 120), fill("buy", 3, 100, group=1), dust)
    assert pools(rows) == {0: (-2, -2400, 600), 1: (0, 0, 0)}
    [position] = rows.all(PositionRow)
    assert (position.quantity, position.cost) == (-2, -2400)
    row = balance(rows)
    assert row.equity == row.cash + row.positions_value == 600 + row.unrealized


def test_profit_lands_on_the_day_of_the_fill() -> None:
    rows = after(fill("buy", 10, 100, fee=1), DAY, fill("sell", 5, 110, fee=2), DAY, fill("sell", 5, 90, fee=3))
    assert by_day(rows.all(ProfitRow)) == {
        ("main", "2022-01-01", "USDT"): Totals(0, 1, 10_000, 1),
        ("main", "2022-01-02", "USDT"): Totals(500, 2, 5500, 1),
        ("main", "2022-01-03", "USDT"): Totals(-500, 3, 4500, 1),
    }


def test_third_asset_fee_is_booked_in_that_asset() -> None:
    rows = after(fill_of(intended(1), fee=9, fee_asset="BNB"))
    assert rows.get(BalanceRow, "main", "BNB") == BalanceRow("main", "BNB", cash=-9, equity=-9)
    assert [(row.asset, row.fees, row.fills) for row in rows.all(ProfitRow)] == [("USDT", 0, 1), ("BNB", 9, 0)]


def test_fill_of_an_unlisted_instrument_cannot_be_folded() -> None:
    event = PositionDeposited("main", BTC.id, Quantity(5), Cash(400))
    story = opened()
    story.tell(ACCOUNT, event)
    with pytest.raises(MissingError, match="instruments has no row for account main, instrument BTC/USDT"):
        fold_records([PORTFOLIO], MemoryRows(), story.records)
