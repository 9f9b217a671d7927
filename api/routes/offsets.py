"""The risk offset: its settings, what it watches, why nothing happened and what did; run, skipped and kept off by hand."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.dependencies import VIEWER
from api.problems import responses
from api.reads import Amounts, AskedList, AskedOne, Listing, Name, Number, Order, Point, filters, point, time_or_none
from api.shapes import AmountText, Body, NameInPath
from api.standing import Standing
from domain.errors import MissingError
from domain.message import Command
from domain.portfolio_risk.commands import BlockGroup, ConfigureOffset, RunOffset, SkipOffset, UnblockGroup
from domain.portfolio_risk.settings import EVALUATE_SECONDS_MAX, WAIT_MINUTES_MAX, OffsetSettings, TimerStart
from domain.values import time_text
from infrastructure.row_views import View
from projections.instruments import InstrumentRow
from projections.offsets import EvaluationRow, OffsetEngineRow, OffsetRow, OffsetStatus, WatchedGroupRow

router = APIRouter(prefix="/accounts/{account}", tags=["risk offset"])
Ask = Annotated[Asking, Depends()]
_EVALUATIONS = Order("offset_evaluations", EvaluationRow, ("account", "number"), descending=True)
_OFFSETS = Order("offsets", OffsetRow, ("account", "number"), descending=True)
_ASKED = {**responses(404, 409), **ACCEPTED}
_STANDARD = OffsetSettings()


class OffsetSettingsBody(Body):
    """The offset's settings, all of them; what is left out is as it stands when nobody says otherwise."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"loss_threshold_pct": "-5", "post_full_wait_minutes": 60}]}
    )

    enabled: bool = _STANDARD.enabled
    loss_threshold_pct: Annotated[
        str, Field(pattern=r"^-[0-9]{1,2}(\.[0-9]{1,16})?$", description="A loss is beyond it below it, not at it.")
    ] = str(_STANDARD.loss_threshold_pct)
    require_full_pyramids: bool = _STANDARD.require_full_pyramids
    post_full_wait_minutes: Annotated[int, Field(ge=0, le=WAIT_MINUTES_MAX)] = _STANDARD.post_full_wait_minutes
    timer_start: TimerStart = _STANDARD.timer_start
    reset_on_replacement: bool = _STANDARD.reset_on_replacement
    minimum_age_minutes: Annotated[int | None, Field(ge=1, le=WAIT_MINUTES_MAX)] = _STANDARD.minimum_age_minutes
    evaluate_seconds: Annotated[int, Field(ge=1, le=EVALUATE_SECONDS_MAX)] = _STANDARD.evaluate_seconds
    cost_margin_pct: Annotated[
        AmountText, Field(description="Of the worth of all that is closed; it must be paid for beside the loss.")
    ] = str(_STANDARD.cost_margin_pct)

    def settings(self) -> OffsetSettings:
        given = self.model_dump()
        for key in ("loss_threshold_pct", "cost_margin_pct"):
            given[key] = Decimal(given[key])
        return OffsetSettings(**given)


class GroupNamed(Body):
    """A live group."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bot": "dca", "group": 3}]})

    bot: Name
    group: Number


class SettingsView(BaseModel):
    """The settings; each decision names the `version` it was made under."""

    version: int
    enabled: bool
    loss_threshold_pct: str = Field(examples=["-5"])
    require_full_pyramids: bool
    post_full_wait_minutes: int
    timer_start: str
    reset_on_replacement: bool
    minimum_age_minutes: int | None
    evaluate_seconds: int
    cost_margin_pct: str = Field(examples=["0.2"])
    since: str


class WatchedView(BaseModel):
    """A live group; its wait runs from `timer_from`, null where that has not begun, and is over at `ready_at`."""

    bot: str = Field(examples=["dca"])
    group: int = Field(examples=[3])
    opened_at: str
    max_pyramids: int
    timer_from: str | None
    ready_at: str | None
    blocked: bool


class EvaluationView(BaseModel):
    """An evaluation after which nothing happened, and why: the groups beyond the threshold, and what winners could pay."""

    number: int
    at: str
    settings_version: int
    outcome: str = Field(examples=["not_enough_profit"])
    needed: str = Field(examples=["74.44"])
    available: str = Field(examples=["52.16"])
    losers_count: int
    losers: list[dict[str, Any]]
    winners_count: int
    winners: list[dict[str, Any]]


class OffsetView(BaseModel):
    """An offset: the loser, what was needed for it, the parts of winners that were asked for, and what came of it."""

    number: int
    bot: str = Field(examples=["dca"])
    group: int = Field(examples=[3])
    instrument: str = Field(examples=["BTC/USDT"])
    settings_version: int
    status: OffsetStatus
    step: int
    chosen_at: str
    ended_at: str | None
    needed: str = Field(examples=["74.44"])
    paid: str = Field(examples=["75.39"])
    lost: str = Field(examples=["-74.82"])
    result: str = Field(examples=["0.57"])
    losers: list[dict[str, Any]]
    parts: list[dict[str, Any]]
    code: str | None
    reason: str | None


class EngineView(BaseModel):
    """An account's risk offset: settings, what is under way, the latest evaluation, and the groups it watches."""

    account: str = Field(examples=["main"])
    settings: SettingsView
    skip: bool
    under_way: OffsetView | None
    latest: EvaluationView | None
    groups: list[WatchedView]
    as_of: Point


@router.get("/offset", summary="An account's risk offset", dependencies=[VIEWER], responses=responses(404))
def read_offset(account: Name, asked: AskedOne) -> EngineView:
    with asked.view(OffsetEngineRow, InstrumentRow) as view:
        row = view.rows.one(OffsetEngineRow, account)
        if row is None:
            raise MissingError(f"the risk offset of account {account!r} is not configured")
        return _engine(view, row)


@router.get(
    "/offset/evaluations",
    summary="Evaluations after which nothing happened, newest first",
    dependencies=[VIEWER],
    responses=responses(),
)
def list_evaluations(account: Name, asked: AskedList) -> Listing[EvaluationView]:
    return asked.rows(
        _EVALUATIONS, EvaluationRow, filters(account=account), lambda view, _: _evaluations(view), InstrumentRow
    )


@router.get("/offset/offsets", summary="Offsets, newest first", dependencies=[VIEWER], responses=responses())
def list_offsets(
    account: Name, asked: AskedList, status: Annotated[OffsetStatus | None, Query()] = None
) -> Listing[OffsetView]:
    where = filters(account=account, status=status)
    return asked.rows(_OFFSETS, OffsetRow, where, lambda view, _: _offsets(view), InstrumentRow)


@router.put("/offset/settings", summary="Change the offset's settings", response_model=Done, responses=_ASKED)
async def configure(ask: Ask, account: NameInPath, body: OffsetSettingsBody) -> JSONResponse:
    return await _carry_out(ask, account, ConfigureOffset(account, body.settings()))


@router.post("/offset/run", summary="Evaluate now", response_model=Done, responses=_ASKED)
async def run_now(ask: Ask, account: NameInPath) -> JSONResponse:
    return await _carry_out(ask, account, RunOffset(account))


@router.post("/offset/skip", summary="Pass the next loser over once", response_model=Done, responses=_ASKED)
async def skip_once(ask: Ask, account: NameInPath) -> JSONResponse:
    return await _carry_out(ask, account, SkipOffset(account))


@router.post("/offset/block", summary="Keep a group out of offsets", response_model=Done, responses=_ASKED)
async def block(ask: Ask, account: NameInPath, body: GroupNamed) -> JSONResponse:
    return await _carry_out(ask, account, BlockGroup(account, body.bot, body.group))


@router.post("/offset/unblock", summary="Let a group take part again", response_model=Done, responses=_ASKED)
async def unblock(ask: Ask, account: NameInPath, body: GroupNamed) -> JSONResponse:
    return await _carry_out(ask, account, UnblockGroup(account, body.bot, body.group))


async def _carry_out(ask: Asking, account: str, command: Command) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [command]

    return await ask.carry_out(prepare)


def _engine(view: View, row: OffsetEngineRow) -> EngineView:
    offset = view.rows.one(OffsetRow, row.account, row.under_way) if row.under_way else None
    latest = view.rows.one(EvaluationRow, row.account, row.evaluation) if row.evaluation else None
    watched = view.rows.some(WatchedGroupRow, {"account": row.account, "live": True})
    return EngineView(
        account=row.account,
        settings=SettingsView(
            version=row.settings_version,
            since=time_text(row.configured_at),
            **{name: getattr(row, name) for name in OffsetSettings.__struct_fields__},
        ),
        skip=row.skip,
        under_way=None if offset is None else _offsets(view)(offset),
        latest=None if latest is None else _evaluations(view)(latest),
        groups=[_watched(row, each) for each in sorted(watched, key=lambda each: each.opened_at)],
        as_of=point(view),
    )


def _watched(engine: OffsetEngineRow, row: WatchedGroupRow) -> WatchedView:
    start = row.finished_at if engine.timer_start == "legs_filled" else row.entered_at
    start = None if start is None else max(start, row.restarted_at or 0)
    return WatchedView(
        bot=row.bot,
        group=row.group,
        opened_at=time_text(row.opened_at),
        max_pyramids=row.max_pyramids,
        timer_from=time_or_none(start),
        ready_at=time_or_none(None if start is None else start + engine.post_full_wait_minutes * 60_000_000),
        blocked=row.blocked,
    )


def _evaluations(view: View) -> Callable[[EvaluationRow], EvaluationView]:
    amounts = Amounts(view)

    def render(row: EvaluationRow) -> EvaluationView:
        losers = msgspec.json.decode(row.losers)
        listed = amounts.instrument(row.account, losers[0]["instrument"]) if losers else None
        return EvaluationView(
            number=row.number,
            at=time_text(row.at),
            settings_version=row.settings_version,
            outcome=row.outcome,
            needed="0" if listed is None else listed.cash_text(row.needed),
            available="0" if listed is None else listed.cash_text(row.available),
            losers_count=row.losers_count,
            losers=[_candidate(each, row.account, amounts) for each in losers],
            winners_count=row.winners_count,
            winners=[_candidate(each, row.account, amounts) for each in msgspec.json.decode(row.winners)],
        )

    return render


def _offsets(view: View) -> Callable[[OffsetRow], OffsetView]:
    amounts = Amounts(view)

    def render(row: OffsetRow) -> OffsetView:
        cash = amounts.instrument(row.account, row.instrument).cash_text
        return OffsetView(
            number=row.number,
            bot=row.bot,
            group=row.group,
            instrument=row.instrument,
            settings_version=row.settings_version,
            status=row.status,
            step=row.step,
            chosen_at=time_text(row.chosen_at),
            ended_at=time_or_none(row.ended_at),
            needed=cash(row.needed),
            paid=cash(row.paid),
            lost=cash(row.lost),
            result=cash(row.paid + row.lost),
            losers=[_candidate(each, row.account, amounts) for each in msgspec.json.decode(row.losers)],
            parts=[_candidate(each, row.account, amounts) for each in msgspec.json.decode(row.parts)],
            code=row.code,
            reason=row.reason,
        )

    return render


def _candidate(candidate: dict[str, Any], account: str, amounts: Amounts) -> dict[str, Any]:
    """A loser's or winner's numbers as decimal text, its times as ISO 8601."""
    listed = amounts.instrument(account, candidate["instrument"])
    texts: dict[str, Callable[[Any], str | None]] = {
        **dict.fromkeys(("held", "quantity"), listed.size_text),
        **dict.fromkeys(("loss", "costs", "profit", "pays"), listed.cash_text),
        **dict.fromkeys(("opened_at", "timer_from"), time_or_none),
        "mark": listed.price_text,
    }
    return {name: texts[name](value) if name in texts else value for name, value in candidate.items()}
