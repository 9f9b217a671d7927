"""Rows as decimal text, as reads and the stream both say them."""

from domain.market import Instrument
from domain.values import cash_scale, decimal_text
from projections.portfolio import BalanceRow
from projections.positions import PositionRow


def cash_text(asset: str, cash: int) -> str:
    return decimal_text(cash, cash_scale(asset))


def balance_fields(row: BalanceRow) -> dict[str, str]:
    """A balance, without what its profit and loss add to it."""
    return {
        "account": row.account,
        "asset": row.asset,
        "deposited": cash_text(row.asset, row.deposited),
        "cash": cash_text(row.asset, row.cash),
        "positions_value": cash_text(row.asset, row.positions_value),
        "unrealized": cash_text(row.asset, row.unrealized),
        "equity": cash_text(row.asset, row.equity),
    }


def position_fields(row: PositionRow, listed: Instrument) -> dict[str, str | None]:
    """A position; `value` and `unrealized` at its mark, without one at cost."""
    return {
        "account": row.account,
        "instrument": row.instrument,
        "quantity": listed.size_text(row.quantity),
        "cost": listed.cash_text(row.cost),
        "mark": None if row.mark is None else listed.price_text(row.mark),
        "value": listed.cash_text(row.cost + row.unrealized),
        "unrealized": listed.cash_text(row.unrealized),
        "asset": listed.quote,
    }
