"""Profit and loss: realized, fees and unrealized, summed by account, bot, group, instrument or day."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import Amounts, Asked, AskedList, Listing, NameFilter, Order, filters
from api.row_text import cash_text
from domain.market import Instrument
from infrastructure.row_queries import Filters, Unequal, Values
from infrastructure.row_views import View
from projections.positions import PoolRow, PositionRow
from projections.profit_and_loss import ProfitRow

router = APIRouter(tags=["pnl"], dependencies=[VIEWER])

By = Literal["account", "bot", "group", "instrument", "day"]
_FIELDS = ("realized", "fees", "turnover", "fills")
_ORDERS = {
    "account": Order("pnl/account", ProfitRow, ("account", "asset")),
    "bot": Order("pnl/bot", ProfitRow, ("account", "bot", "asset")),
    "group": Order("pnl/group", ProfitRow, ("account", "bot", "group", "asset")),
    "instrument": Order("pnl/instrument", ProfitRow, ("account", "instrument", "asset")),
    "day": Order("pnl/day", ProfitRow, ("day", "account", "asset"), descending=True),
}
Sums = dict[Values, int]


class ProfitView(BaseModel):
    """Sums in one asset; `realized` is before fees, `unrealized` at the last prices on the log, null by day.

    Only what it is summed by is given: bot "" and group 0 are what belongs to none.
    """

    account: str = Field(examples=["main"])
    bot: str | None = None
    group: int | None = None
    instrument: str | None = None
    day: str | None = Field(None, examples=["2026-01-31"])
    asset: str = Field(examples=["USDT"])
    realized: str = Field(examples=["12.5"])
    unrealized: str | None
    fees: str = Field(examples=["1.2"])
    turnover: str
    fills: int


@router.get("/pnl", summary="Profit and loss, summed; by day newest first", responses=responses())
def list_profits(
    asked: AskedList,
    by: Annotated[By, Query(description="What to sum by, within each account and asset.")] = "account",
    account: NameFilter = None,
    bot: NameFilter = None,
    instrument: NameFilter = None,
) -> Listing[ProfitView]:
    where = filters(account=account, bot=bot, instrument=instrument)
    order = _ORDERS[by]
    with asked.view(ProfitRow) as view:
        unrealized = None if by == "day" else _unrealized(view, order, where)
        found = _summed(view, asked, order, where, unrealized or {})
        return asked.listing(
            view, order, found, lambda row: _view(row, order, unrealized), lambda row: row[: len(order.fields)]
        )


def held(view: View, amounts: Amounts, where: Filters) -> Iterator[tuple[PoolRow, Instrument, int]]:
    """The pools that hold something, with what they are worth at their marks less their cost."""
    marks = {(row.account, row.instrument): row.mark for row in view.rows.some(PositionRow, {})}
    for pool in view.rows.some(PoolRow, {**where, "quantity": Unequal(0)}):
        listed = amounts.instrument(pool.account, pool.instrument)
        mark = marks.get((pool.account, pool.instrument))
        yield pool, listed, 0 if mark is None else listed.notional(mark, pool.quantity) - pool.cost


def _unrealized(view: View, order: Order, where: Filters) -> Sums:
    sums: Sums = {}
    for pool, listed, unrealized in held(view, Amounts(view), where):
        key = tuple(listed.quote if name == "asset" else getattr(pool, name) for name in order.fields)
        sums[key] = sums.get(key, 0) + unrealized
    return sums


def _summed(view: View, asked: Asked, order: Order, where: Filters, unrealized: Sums) -> list[Values]:
    """A page of sums; what is held and has booked nothing yet is among them."""
    page, width = asked.page(order), len(order.fields)
    found = view.rows.sums(ProfitRow, _FIELDS, where, page)
    booked = {row[:width] for row in found}
    # Past a full page the sums go on: what is held there has its turn on the next one.
    last = found[-1][:width] if len(found) > asked.limit else None
    for key in unrealized.keys() - booked:
        after = page.after is None or key > page.after
        if after and (last is None or key < last):
            found.append((*key, *[0] * len(_FIELDS)))
    return sorted(found, reverse=order.descending)[: asked.limit + 1]


def _view(row: Values, order: Order, unrealized: Sums | None) -> ProfitView:
    width = len(order.fields)
    named: dict[str, Any] = dict(zip(order.fields, row, strict=False))
    realized, fees, turnover, fills = map(int, row[width:])
    text = partial(cash_text, named["asset"])
    return ProfitView(
        **named,
        realized=text(realized),
        unrealized=None if unrealized is None else text(unrealized.get(row[:width], 0)),
        fees=text(fees),
        turnover=text(turnover),
        fills=fills,
    )
