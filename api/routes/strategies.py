"""Strategies: which there are with the forms of their parameters, and what those that run decided last."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.available import available
from api.dependencies import VIEWER
from api.problems import responses
from api.reads import Amounts, AskedList, AskedOne, Listing, Name, NameFilter, Order, Point, filters, point
from api.routes.accounts_read import Halt, halt_of
from api.routes.bots_read import ResultView
from api.routes.pnl import held
from domain.errors import MissingError
from domain.strategy.decider import Status
from domain.values import time_text
from infrastructure.row_views import View
from projections.bots import HaltRow
from projections.positions import PoolRow
from projections.strategies import StrategyRow

router = APIRouter(tags=["strategies"], dependencies=[VIEWER])
_ORDER = Order("strategies", StrategyRow, ("bot",))


class AvailableView(BaseModel):
    """A strategy that is there to be run, and the JSON schema of its settings or parameters."""

    name: str = Field(examples=["grid"])
    title: str
    acts_on: Literal["signals", "candles"] = Field(description="What wakes it: a bot's alerts, or the market alone.")
    description: str
    settings_schema: dict[str, Any]


class AvailableAnswer(BaseModel):
    """All strategies, shipped and installed."""

    items: list[AvailableView]


class DecisionView(BaseModel):
    """What a strategy decided last; `features` by name, none at a fill; `order` is the one whose fill it answered."""

    at: str = Field(examples=["2026-01-31T09:30:00Z"])
    close: str = Field(examples=["46250.5"], description="The last close it knew.")
    features: dict[str, Any] = Field(examples=[{"fast": 43556847, "slow": 174221482}])
    intents: int
    order: int | None
    reason: str | None


class StrategyView(BaseModel):
    """A strategy that runs under a bot's name; `position` is what its fills sum to, `decisions` counts what it decided."""

    bot: str = Field(examples=["grid-btc"])
    account: str = Field(examples=["main"])
    strategy: str = Field(examples=["grid"])
    code: str = Field(description="The SHA-256 of the code that it is made of.")
    instrument: str = Field(examples=["BTC/USDT"])
    parameters: dict[str, Any]
    status: Status
    error: str | None
    halt: Halt | None
    decisions: int
    last: DecisionView | None
    fills: int
    position: str = Field(examples=["0.015"])
    pnl: ResultView
    started_at: str
    updated_at: str


class StrategyAnswer(StrategyView):
    """A running strategy, and what position that is true at."""

    as_of: Point


@router.get("/strategies/available", summary="Strategies there are, and the schemas of their parameters")
def list_available() -> AvailableAnswer:
    return AvailableAnswer(items=[AvailableView(**msgspec.structs.asdict(each)) for each in available()])


@router.get("/strategies", summary="List the running strategies by bot", responses=responses())
def list_strategies(
    asked: AskedList,
    account: NameFilter = None,
    strategy: NameFilter = None,
    status: Annotated[Status | None, Query()] = None,
) -> Listing[StrategyView]:
    where = filters(account=account, strategy=strategy, status=status)
    return asked.rows(_ORDER, StrategyRow, where, lambda view, rows: _Described(view, rows).view, PoolRow, HaltRow)


@router.get("/strategies/{bot}", summary="One running strategy", responses=responses(404))
def read_strategy(bot: Name, asked: AskedOne) -> StrategyAnswer:
    with asked.view(StrategyRow, PoolRow, HaltRow) as view:
        row = view.rows.one(StrategyRow, bot)
        if row is None:
            raise MissingError(f"no strategy runs as {bot!r}")
        return StrategyAnswer(**_Described(view, [row]).view(row).model_dump(), as_of=point(view))


class _Described:
    """What is said of some strategies besides their rows."""

    def __init__(self, view: View, rows: Sequence[StrategyRow]) -> None:
        names = tuple(row.bot for row in rows)
        self._amounts = Amounts(view)
        self._unrealized: dict[str, int] = {}
        for pool, _, unrealized in held(view, self._amounts, {"bot": names, "group": 0}):
            self._unrealized[pool.bot] = self._unrealized.get(pool.bot, 0) + unrealized
        self._halts = {(row.account, row.bot): row for row in view.rows.some(HaltRow, {"bot": names})}

    def view(self, row: StrategyRow) -> StrategyView:
        listed = self._amounts.instrument(row.account, row.instrument)
        last = None
        if row.acted_at is not None:
            last = DecisionView(
                at=time_text(row.acted_at),
                close=listed.price_text(row.close or 0),
                features=_features(row),
                intents=row.intents,
                order=row.reacted_to or None,
                reason=row.reason or None,
            )
        return StrategyView(
            bot=row.bot,
            account=row.account,
            strategy=row.strategy,
            code=row.code,
            instrument=row.instrument,
            parameters=msgspec.json.decode(row.parameters),
            status=row.status,
            error=row.error,
            halt=halt_of(self._halts.get((row.account, row.bot))),
            decisions=row.decisions,
            last=last,
            fills=row.fills,
            position=listed.size_text(row.held),
            pnl=ResultView(
                asset=listed.quote,
                realized=listed.cash_text(row.realized),
                unrealized=listed.cash_text(self._unrealized.get(row.bot, 0)),
                fees=listed.cash_text(row.fees),
            ),
            started_at=time_text(row.started_at),
            updated_at=time_text(row.updated_at),
        )


def _features(row: StrategyRow) -> dict[str, Any]:
    """The values of the last decision by their names; other parameters may have given them others since."""
    names: list[str] = msgspec.json.decode(row.features)
    values: list[Any] = msgspec.json.decode(row.values or "[]")
    if len(names) != len(values):
        names = [str(place) for place in range(1, len(values) + 1)]
    return dict(zip(names, values, strict=True))
