"""Fills: each trade of each order."""

from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import Amounts, AskedList, Listing, NameFilter, NumberFilter, Order, filters
from domain.account.events import Liquidity, Role
from domain.values import Side, time_text
from projections.fills import FillRow

router = APIRouter(tags=["fills"], dependencies=[VIEWER])
_ORDER = Order("fills", FillRow, ("at", "stream", "version"), descending=True)


class FillView(BaseModel):
    """A fill: `quantity` at `price` moved `cash`; `received` is what the position changed by, less a fee in the base."""

    account: str = Field(examples=["main"])
    order: int = Field(examples=[17])
    trade: str
    bot: str | None
    group: int | None
    leg: int | None
    role: Role
    instrument: str = Field(examples=["BTC/USDT"])
    side: Side
    price: str = Field(examples=["46250.5"])
    quantity: str = Field(examples=["0.015"])
    cash: str = Field(examples=["693.7575"])
    received: str
    fee: str
    fee_asset: str
    fee_value: str
    liquidity: Liquidity
    remaining: str
    at: str
    venue_at: str


@router.get("/fills", summary="List fills, newest first", responses=responses())
def list_fills(
    asked: AskedList,
    account: NameFilter = None,
    bot: NameFilter = None,
    group: NumberFilter = None,
    instrument: NameFilter = None,
    order: NumberFilter = None,
) -> Listing[FillView]:
    where = filters(account=account, bot=bot, group=group, instrument=instrument, order=order)
    return asked.rows(_ORDER, FillRow, where, lambda view, _: partial(_view, amounts=Amounts(view)))


def _view(row: FillRow, amounts: Amounts) -> FillView:
    listed = amounts.instrument(row.account, row.instrument)
    return FillView(
        account=row.account,
        order=row.order,
        trade=row.trade,
        bot=row.bot or None,
        group=row.group or None,
        leg=row.leg if row.bot else None,
        role=row.role,
        instrument=row.instrument,
        side=row.side,
        price=listed.price_text(row.price),
        quantity=listed.size_text(row.quantity),
        cash=listed.cash_text(row.cash),
        received=listed.size_text(row.received),
        fee=amounts.fee(listed, row.fee_asset, row.fee),
        fee_asset=row.fee_asset,
        fee_value=listed.cash_text(row.fee_value),
        liquidity=row.liquidity,
        remaining=listed.size_text(row.remaining),
        at=time_text(row.at),
        venue_at=time_text(row.venue_at),
    )
