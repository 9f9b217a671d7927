"""Risk as it stands: limits in force, trading states, and the halts there were with how long they took."""

from typing import Any, Literal

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.halt_times import halt_times
from api.problems import responses
from api.reads import AskedOne, Name, Point, point, time_or_none
from domain.account.limits import NO_LIMITS, RiskLimits
from domain.errors import MissingError
from domain.values import time_text
from infrastructure.row_queries import Filters
from infrastructure.row_views import View
from projections.bots import AccountRow
from projections.fills import FillRow
from projections.instruments import InstrumentRow
from projections.orders import OrderRow
from projections.positions import PoolRow
from projections.risk import RiskLimitsRow, TradingHaltRow

router = APIRouter(prefix="/risk", tags=["risk"], dependencies=[VIEWER])

State = Literal["ACTIVE", "REDUCING", "HALTED"]


class HaltView(BaseModel):
    """A halt of the account, or of one bot. `working` is how many orders that it cancelled have not ended yet.

    Times are microseconds from the halt on, null while it is not so yet: to the end of the last order that it
    cancelled, and until nothing was held in its scope.
    """

    number: int
    bot: str | None
    state: State
    code: str = Field(examples=["DAILY_LOSS"])
    reason: str
    halted_at: str
    resumed_at: str | None
    working: int
    time_to_last_cancel_us: int | None
    time_to_flat_us: int | None


class RiskAnswer(BaseModel):
    """The limits in force, version 0 where none were set, and what may not trade freely; who is not named is ACTIVE."""

    account: str
    state: State
    bots: dict[str, State]
    version: int
    set_at: str | None
    limits: dict[str, Any]
    as_of: Point


class HaltsAnswer(BaseModel):
    """The halts of an account, the newest first."""

    items: list[HaltView]
    as_of: Point


@router.get("/schema", summary="The schema of the limits")
def schema() -> dict[str, Any]:
    return msgspec.json.schema(RiskLimits)


@router.get("/{account}", summary="Limits in force and trading states", responses=responses(404))
def read_risk(account: Name, asked: AskedOne) -> RiskAnswer:
    with asked.view(AccountRow, RiskLimitsRow, TradingHaltRow) as view:
        _there(view, account)
        row = view.rows.one(RiskLimitsRow, account)
        standing = [each for each in _halts(view, account) if each.resumed_at is None]
        states: dict[str, State] = {each.bot: each.state for each in standing}
        limits = msgspec.to_builtins(NO_LIMITS) if row is None else msgspec.json.decode(row.limits)
        return RiskAnswer(
            account=account,
            state=states.pop("", "ACTIVE"),
            bots=states,
            version=0 if row is None else row.version,
            set_at=time_or_none(None if row is None else row.set_at),
            limits=limits,
            as_of=point(view),
        )


@router.get("/{account}/halts", summary="Halts, and how long they took", responses=responses(404))
def read_halts(account: Name, asked: AskedOne) -> HaltsAnswer:
    with asked.view(AccountRow, TradingHaltRow, OrderRow, FillRow, PoolRow, InstrumentRow) as view:
        _there(view, account)
        items = [_view(view, each) for each in reversed(_halts(view, account))]
        return HaltsAnswer(items=items, as_of=point(view))


def _there(view: View, account: str) -> None:
    if view.rows.one(AccountRow, account) is None:
        raise MissingError(f"there is no account {account!r}")


def _halts(view: View, account: str) -> list[TradingHaltRow]:
    return view.rows.some(TradingHaltRow, {"account": account})


def _view(view: View, halt: TradingHaltRow) -> HaltView:
    scope: Filters = {"account": halt.account, **({"bot": halt.bot} if halt.bot else {})}
    rows = view.rows
    steps = {each.instrument: each.step for each in rows.some(InstrumentRow, {"account": halt.account})}
    took = halt_times(halt, rows.some(OrderRow, scope), rows.some(FillRow, scope), rows.some(PoolRow, scope), steps)
    return HaltView(
        number=halt.number,
        bot=halt.bot or None,
        state=halt.state,
        code=halt.code,
        reason=halt.reason,
        halted_at=time_text(halt.halted_at),
        resumed_at=time_or_none(halt.resumed_at),
        working=took.working,
        time_to_last_cancel_us=took.cancel_us,
        time_to_flat_us=took.flat_us,
    )
