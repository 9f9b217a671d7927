"""The portfolio: each account's books in each asset."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, Listing, NameFilter, Order, filters
from api.row_text import balance_fields, cash_text
from infrastructure.row_queries import Page
from infrastructure.row_views import View
from projections.portfolio import BalanceRow
from projections.profit_and_loss import ProfitRow

router = APIRouter(tags=["portfolio"], dependencies=[VIEWER])
_ORDER = Order("portfolio", BalanceRow, ("account", "asset"))


class BalanceView(BaseModel):
    """An account's books in one asset: equity = cash + positions_value = deposited + realized + unrealized - fees."""

    account: str = Field(examples=["main"])
    asset: str = Field(examples=["USDT"])
    deposited: str = Field(examples=["10000"])
    cash: str = Field(examples=["9306.2425"])
    positions_value: str
    realized: str
    unrealized: str
    fees: str
    equity: str = Field(examples=["10012.5"])


@router.get("/portfolio", summary="List balances by account and asset", responses=responses())
def list_balances(asked: AskedList, account: NameFilter = None) -> Listing[BalanceView]:
    where = filters(account=account)

    def described(view: View, _rows: Sequence[BalanceRow]) -> Callable[[BalanceRow], BalanceView]:
        by = Page(("account", "asset"))
        booked = {row[:2]: row[2:] for row in view.rows.sums(ProfitRow, ("realized", "fees"), where, by)}
        return partial(_view, booked=booked)

    return asked.rows(_ORDER, BalanceRow, where, described)


def _view(row: BalanceRow, booked: Mapping[tuple[Any, ...], tuple[Any, ...]]) -> BalanceView:
    realized, fees = booked.get((row.account, row.asset), (0, 0))
    return BalanceView(**balance_fields(row), realized=cash_text(row.asset, realized), fees=cash_text(row.asset, fees))
