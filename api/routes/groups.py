"""Position groups and their legs: what was planned, what works, what is held, what it made."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

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
from domain.bot.settings import TakeProfit
from domain.errors import MissingError
from domain.values import Direction, time_text
from infrastructure.row_views import View
from projections.position_groups import GroupRow, GroupStatus, LegRow, LegStatus
from projections.positions import PositionRow

router = APIRouter(tags=["groups"], dependencies=[VIEWER])
_ORDER = Order("groups", GroupRow, ("opened_at", "bot", "group"), descending=True)


class GroupView(BaseModel):
    """A group. `held` and `cost` count in its direction; `realized` is before fees, `unrealized` at `mark`.

    `stop_price` and `target_price` are of the orders that work for all that it holds.
    """

    bot: str = Field(examples=["dca"])
    group: int = Field(examples=[3])
    account: str = Field(examples=["main"])
    instrument: str = Field(examples=["BTC/USDT"])
    direction: Direction
    status: GroupStatus
    entry: str = Field(examples=["46250.5"])
    pyramids: int
    take_profit: TakeProfit
    stop_price: str | None
    target_price: str | None
    held: str
    cost: str
    mark: str | None
    unrealized: str
    realized: str
    fees: str
    reason: str | None
    opened_at: str
    closed_at: str | None


class LegView(BaseModel):
    """A leg: its plan, its entry's fills, what is still held of them, and its target."""

    leg: int
    type: Literal["market", "limit"]
    price: str
    quantity: str
    take_profit_pct: str | None
    status: LegStatus
    filled: str
    cost: str
    held: str
    target_price: str | None
    target_working: str
    target_filled: str
    reason: str | None


class GroupAnswer(GroupView):
    """A group with its legs, and what position that is true at."""

    legs: list[LegView]
    as_of: Point


@router.get("/groups", summary="List position groups, newest first", responses=responses())
def list_groups(
    asked: AskedList,
    account: NameFilter = None,
    bot: NameFilter = None,
    instrument: NameFilter = None,
    status: Annotated[GroupStatus | None, Query()] = None,
) -> Listing[GroupView]:
    where = filters(account=account, bot=bot, instrument=instrument, status=status)
    return asked.rows(_ORDER, GroupRow, where, _described, PositionRow)


@router.get("/groups/{bot}/{group}", summary="One position group with its legs", responses=responses(404))
def read_group(bot: Name, group: Annotated[Number, Path()], asked: AskedOne) -> GroupAnswer:
    with asked.view(GroupRow, PositionRow) as view:
        row = view.rows.one(GroupRow, bot, group)
        if row is None:
            raise MissingError(f"there is no group {group} of bot {bot!r}")
        amounts = Amounts(view)
        legs = [_leg(leg, row, amounts) for leg in view.rows.some(LegRow, {"bot": bot, "group": group})]
        return GroupAnswer(**_view(row, amounts, _marks(view)).model_dump(), legs=legs, as_of=point(view))


Marks = dict[tuple[str, str], int | None]


def _described(view: View, _rows: Sequence[GroupRow]) -> Callable[[GroupRow], GroupView]:
    return partial(_view, amounts=Amounts(view), marks=_marks(view))


def _marks(view: View) -> Marks:
    return {(row.account, row.instrument): row.mark for row in view.rows.some(PositionRow, {})}


def _view(row: GroupRow, amounts: Amounts, marks: Marks) -> GroupView:
    listed = amounts.instrument(row.account, row.instrument)
    sign = 1 if row.direction == "long" else -1
    mark = marks.get((row.account, row.instrument))
    worth = sign * row.cost if mark is None else listed.notional(mark, sign * row.held)
    return GroupView(
        bot=row.bot,
        group=row.group,
        account=row.account,
        instrument=row.instrument,
        direction=row.direction,
        status=row.status,
        entry=row.entry,
        pyramids=row.pyramids,
        take_profit=row.take_profit,
        stop_price=None if row.stop_price is None else listed.price_text(row.stop_price),
        target_price=None if row.target_price is None else listed.price_text(row.target_price),
        held=listed.size_text(row.held),
        cost=listed.cash_text(row.cost),
        mark=None if mark is None else listed.price_text(mark),
        unrealized=listed.cash_text(worth - sign * row.cost),
        realized=listed.cash_text(row.realized),
        fees=listed.cash_text(row.fees),
        reason=row.reason,
        opened_at=time_text(row.opened_at),
        closed_at=time_or_none(row.closed_at),
    )


def _leg(row: LegRow, group: GroupRow, amounts: Amounts) -> LegView:
    listed = amounts.instrument(group.account, group.instrument)
    return LegView(
        leg=row.leg,
        type=row.type,
        price=listed.price_text(row.price),
        quantity=listed.size_text(row.quantity),
        take_profit_pct=row.take_profit_pct,
        status=row.status,
        filled=listed.size_text(row.filled),
        cost=listed.cash_text(row.cost),
        held=listed.size_text(row.held),
        target_price=None if row.target_price is None else listed.price_text(row.target_price),
        target_working=listed.size_text(row.target_working),
        target_filled=listed.size_text(row.target_filled),
        reason=row.reason,
    )
