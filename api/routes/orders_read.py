"""Orders: each from its intent to its end."""

from functools import partial
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import (
    Amounts,
    AskedList,
    AskedOne,
    Listing,
    Name,
    NameFilter,
    Number,
    Order,
    Point,
    filters,
    point,
    time_or_none,
)
from domain.account.events import OrderType, Role
from domain.errors import MissingError
from domain.values import Side, time_text
from projections.orders import ENDED, OrderRow, Status

router = APIRouter(tags=["orders"], dependencies=[VIEWER])
_ORDER = Order("orders", OrderRow, ("intended_at", "account", "order"), descending=True)
_STATUSES: dict[str, tuple[str, ...]] = {
    "open": tuple(status for status in get_args(Status) if status not in ENDED),
    "done": tuple(ENDED),
}

StatusFilter = Literal["open", "done"] | Status


class OrderView(BaseModel):
    """An order; one placed by hand has no bot, group and leg.

    `triggered_at` is when the stop of a stop-limit was reached. `filled` for `cash` sums its fills; `fee` is in `fee_asset`, `fee_value` what that is worth in the quote asset.
    """

    account: str = Field(examples=["main"])
    order: int = Field(examples=[17])
    bot: str | None
    group: int | None
    leg: int | None
    role: Role
    instrument: str = Field(examples=["BTC/USDT"])
    side: Side
    type: OrderType
    quantity: str = Field(examples=["0.015"])
    limit: str | None = Field(examples=["46250.5"])
    stop: str | None
    reduce_only: bool
    status: Status
    filled: str
    remaining: str
    cash: str
    fee: str
    fee_asset: str | None
    fee_value: str
    notional: str | None
    reserved: str | None
    venue_order: str | None
    cancel_wanted: bool
    excess: str
    missing: str
    code: str | None = Field(examples=["NOTIONAL_BELOW_MINIMUM"])
    reason: str | None
    created_at: str
    triggered_at: str | None
    updated_at: str


class OrderAnswer(OrderView):
    """An order, and what position that is true at."""

    as_of: Point


@router.get("/orders", summary="List orders, newest first", responses=responses())
def list_orders(
    asked: AskedList,
    account: NameFilter = None,
    bot: NameFilter = None,
    instrument: NameFilter = None,
    status: Annotated[StatusFilter | None, Query(description="`open`, `done`, or one status.")] = None,
) -> Listing[OrderView]:
    statuses = None if status is None else _STATUSES.get(status, (status,))
    where = filters(account=account, bot=bot, instrument=instrument, status=statuses)
    return asked.rows(_ORDER, OrderRow, where, lambda view, _: partial(_view, amounts=Amounts(view)))


@router.get("/orders/{account}/{order}", summary="One order", responses=responses(404))
def read_order(account: Name, order: Annotated[Number, Path()], asked: AskedOne) -> OrderAnswer:
    with asked.view(OrderRow) as view:
        row = view.rows.one(OrderRow, account, order)
        if row is None:
            raise MissingError(f"there is no order {order} on account {account!r}")
        return OrderAnswer(**_view(row, Amounts(view)).model_dump(), as_of=point(view))


def _view(row: OrderRow, amounts: Amounts) -> OrderView:
    listed = amounts.instrument(row.account, row.instrument)
    price, size, cash = listed.price_text, listed.size_text, listed.cash_text
    return OrderView(
        account=row.account,
        order=row.order,
        bot=row.bot or None,
        group=row.group or None,
        leg=row.leg if row.bot else None,
        role=row.role,
        instrument=row.instrument,
        side=row.side,
        type=row.type,
        quantity=size(row.quantity),
        limit=None if row.limit is None else price(row.limit),
        stop=None if row.stop is None else price(row.stop),
        reduce_only=row.reduce_only,
        status=row.status,
        filled=size(row.filled),
        remaining=size(max(0, row.quantity - row.filled)),
        cash=cash(row.cash),
        fee=amounts.fee(listed, row.fee_asset or listed.quote, row.fee),
        fee_asset=row.fee_asset,
        fee_value=cash(row.fee_value),
        notional=None if row.notional is None else cash(row.notional),
        reserved=None if row.reserved is None else cash(row.reserved),
        venue_order=row.venue_order,
        cancel_wanted=row.cancel_wanted,
        excess=size(row.excess),
        missing=size(row.missing),
        code=row.code,
        reason=row.reason,
        created_at=time_text(row.intended_at),
        triggered_at=time_or_none(row.triggered_at),
        updated_at=time_text(row.updated_at),
    )
