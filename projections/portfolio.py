"""The portfolio: an account's cash, positions, profit and loss, folded together, so that they always agree.

For every asset, at any position of the log: equity = deposited + realized + unrealized - fees.
"""

from typing import ClassVar

from msgspec import structs

from domain.account.events import (
    AccountValued,
    CashDeposited,
    InstrumentListed,
    OrderFilled,
    PositionDeposited,
)
from domain.position_group.events import DustWrittenOff
from projections.cost_basis import fee_in_third_asset, flow_of
from projections.instruments import InstrumentRow, list_instrument
from projections.positions import (
    UNATTRIBUTED,
    PoolRow,
    PositionRow,
    change_pool,
    pool_of,
    split_pool,
    valued,
)
from projections.profit_and_loss import Entry, ProfitRow, Totals, ValuationRow, book, valuation_day
from projections.rows import Context, Projection, Row, Rows, need


class BalanceRow(Row, frozen=True):
    """An account's books in one asset: positions count in their quote asset, at their marks.

    `deposited` is what came from outside, positions at their cost; equity is cash and the worth of the positions.
    """

    table: ClassVar[str] = "portfolio"
    key: ClassVar[tuple[str, ...]] = ("account", "asset")

    account: str
    asset: str
    deposited: int = 0
    cash: int = 0
    positions_value: int = 0
    unrealized: int = 0
    equity: int = 0


def _listed(rows: Rows, context: Context, event: InstrumentListed) -> None:
    list_instrument(rows, context, event)
    if rows.get(PositionRow, event.account, event.instrument.id) is None:
        rows.put(PositionRow(account=event.account, instrument=event.instrument.id))


def _cash_deposited(rows: Rows, context: Context, event: CashDeposited) -> None:
    _move_cash(rows, event.account, event.asset, event.amount, deposited=event.amount)


def _position_deposited(rows: Rows, context: Context, event: PositionDeposited) -> None:
    """A holding from outside may cover a short that belongs to no group; that realizes."""
    listed = need(rows, InstrumentRow, event.account, event.instrument)
    pool = pool_of(rows, event.account, event.instrument, UNATTRIBUTED)
    realized = change_pool(rows, pool, event.quantity, event.cost, 0)
    _book_transfer(rows, context, listed, realized)
    _move_cash(rows, event.account, listed.quote, 0, deposited=event.cost)
    _hold(rows, listed, event.quantity, event.cost + realized, None)


def _filled(rows: Rows, context: Context, event: OrderFilled) -> None:
    listed = need(rows, InstrumentRow, event.account, event.instrument)
    owner = (event.bot, event.group) if event.bot else UNATTRIBUTED
    flow = flow_of(event)
    pool = pool_of(rows, event.account, event.instrument, owner)
    realized = change_pool(rows, pool, flow.quantity, flow.cost, flow.fee)
    entry = Entry(event.account, event.instrument, owner, context.at, listed.quote)
    book(rows, entry, Totals(realized, flow.fee, event.cash, 1))
    if fee_in_third_asset(event):
        book(rows, structs.replace(entry, asset=event.fee_asset), Totals(fees=event.fee))
        _move_cash(rows, event.account, event.fee_asset, -event.fee)
    _move_cash(rows, event.account, listed.quote, -flow.cost - flow.fee)
    _hold(rows, listed, flow.quantity, flow.cost + realized, event.price)


def _dust_written_off(rows: Rows, context: Context, event: DustWrittenOff) -> None:
    """The dust and its cost leave the group for what belongs to none; only if that is of the other sign it realizes."""
    listed = need(rows, InstrumentRow, event.account, event.instrument)
    pool = pool_of(rows, event.account, event.instrument, (event.bot, event.group))
    dust = split_pool(rows, pool, event.quantity)
    unattributed = pool_of(rows, event.account, event.instrument, UNATTRIBUTED)
    realized = change_pool(rows, unattributed, dust.quantity, dust.cost, 0)
    _book_transfer(rows, context, listed, realized)
    _hold(rows, listed, 0, realized, None)


def _valued(rows: Rows, context: Context, event: AccountValued) -> None:
    for instrument, price in event.marks:
        listed = need(rows, InstrumentRow, event.account, instrument)
        _hold(rows, listed, 0, 0, price)
    day = valuation_day(context.at)
    for asset, equity in event.equity:
        balance = rows.get(BalanceRow, event.account, asset)
        unrealized = balance.unrealized if balance else 0
        rows.put(ValuationRow(event.account, day, asset, context.at, equity, unrealized))


def _book_transfer(rows: Rows, context: Context, listed: InstrumentRow, realized: int) -> None:
    if realized:
        entry = Entry(listed.account, listed.instrument, UNATTRIBUTED, context.at, listed.quote)
        book(rows, entry, Totals(realized))


def _move_cash(rows: Rows, account: str, asset: str, cash: int, deposited: int = 0) -> None:
    balance = rows.get(BalanceRow, account, asset) or BalanceRow(account=account, asset=asset)
    rows.put(
        structs.replace(
            balance,
            deposited=balance.deposited + deposited,
            cash=balance.cash + cash,
            equity=balance.equity + cash,
        )
    )


def _hold(rows: Rows, listed: InstrumentRow, quantity: int, cost: int, mark: int | None) -> None:
    """Change a position by a signed quantity and cost, value it at `mark` (the old one where None), and the balance."""
    before = need(rows, PositionRow, listed.account, listed.instrument)
    moved = structs.replace(before, quantity=before.quantity + quantity, cost=before.cost + cost)
    after = valued(moved, listed, before.mark if mark is None else mark)
    rows.put(after)
    gained = after.unrealized - before.unrealized
    balance = rows.get(BalanceRow, listed.account, listed.quote)
    balance = balance or BalanceRow(account=listed.account, asset=listed.quote)
    rows.put(
        structs.replace(
            balance,
            positions_value=balance.positions_value + cost + gained,
            unrealized=balance.unrealized + gained,
            equity=balance.equity + cost + gained,
        )
    )


PORTFOLIO = Projection(
    name="portfolio",
    schema_version=1,
    tables=(InstrumentRow, PositionRow, PoolRow, BalanceRow, ProfitRow, ValuationRow),
    folds={
        InstrumentListed: _listed,
        CashDeposited: _cash_deposited,
        PositionDeposited: _position_deposited,
        OrderFilled: _filled,
        DustWrittenOff: _dust_written_off,
        AccountValued: _valued,
    },
)
