"""Positions: what each account holds of each instrument."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import Amounts, AskedList, Listing, NameFilter, Order, filters
from api.row_text import position_fields
from infrastructure.row_queries import Unequal
from projections.positions import PositionRow

router = APIRouter(tags=["positions"], dependencies=[VIEWER])
_ORDER = Order("positions", PositionRow, ("account", "instrument"))


class PositionView(BaseModel):
    """A position, signed; `value` and `unrealized` at `mark`, the last price on the log, without one at cost."""

    account: str = Field(examples=["main"])
    instrument: str = Field(examples=["BTC/USDT"])
    quantity: str = Field(examples=["0.015"])
    cost: str = Field(examples=["693.7575"])
    mark: str | None = Field(examples=["46300"])
    value: str
    unrealized: str
    asset: str = Field(examples=["USDT"], description="What cost, value and profit are in.")


@router.get("/positions", summary="List positions by account and instrument", responses=responses())
def list_positions(
    asked: AskedList,
    account: NameFilter = None,
    instrument: NameFilter = None,
    held: Annotated[bool, Query(description="Only those that are not flat.")] = False,
) -> Listing[PositionView]:
    where = filters(account=account, instrument=instrument, quantity=Unequal(0) if held else None)
    return asked.rows(_ORDER, PositionRow, where, lambda view, _: partial(_view, amounts=Amounts(view)))


def _view(row: PositionRow, amounts: Amounts) -> PositionView:
    return PositionView.model_validate(position_fields(row, amounts.instrument(row.account, row.instrument)))
