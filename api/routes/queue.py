"""Execution pools: how many groups an account may have open, who has a slot, and who waits for one."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, AskedOne, Listing, Name, Number, Order, Point, filters, point, time_or_none
from api.shapes import Body, NameInPath, Reason
from api.standing import Standing
from domain.errors import MissingError
from domain.execution_pool.commands import ConfigurePool, PromoteSignal, RemoveSignal
from domain.execution_pool.settings import EXPIRY_MINUTES_MAX, GROUPS_MAX, PoolSettings
from domain.message import Command
from domain.values import Direction, time_text
from infrastructure.row_views import View
from projections.queue import ExecutionPoolRow, QueuedSignalRow, QueuedStatus, SlotRow

router = APIRouter(prefix="/accounts/{account}", tags=["queue"])
Ask = Annotated[Asking, Depends()]
_ORDER = Order("queue", QueuedSignalRow, ("queued_at", "bot", "source", "number"), descending=True)
_ASKED = {**responses(404, 409), **ACCEPTED}


class PoolSettingsBody(Body):
    """The pool's settings, all of them; what is left out is as it is for a new account."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"max_open_groups": 5, "queue_expiry_minutes": 240}]})

    max_open_groups: Annotated[int, Field(ge=1, le=GROUPS_MAX)] = PoolSettings().max_open_groups
    count_pyramids_toward_pool: bool = PoolSettings().count_pyramids_toward_pool
    queue_expiry_minutes: Annotated[
        int | None, Field(ge=1, le=EXPIRY_MINUTES_MAX, description="Null: a signal waits for as long as it takes.")
    ] = PoolSettings().queue_expiry_minutes


class SignalNamed(Body):
    """A signal that waits, as the queue lists it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bot": "dca", "source": "dca", "number": 42}]})

    bot: Name
    source: Name
    number: Number


class SignalToRemove(SignalNamed):
    """A signal that should wait no longer, and why."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"bot": "dca", "source": "dca", "number": 42, "reason": "news"}]}
    )

    reason: Reason


class SettingsView(BaseModel):
    """The pool's settings; each decision names the `version` it was made under."""

    version: int
    max_open_groups: int
    count_pyramids_toward_pool: bool
    queue_expiry_minutes: int | None
    since: str


class SlotView(BaseModel):
    """A slot in use: since when, on which signal, by which group (null while the entry is under way)."""

    bot: str = Field(examples=["dca"])
    source: str = Field(examples=["dca"])
    number: int = Field(examples=[42])
    instrument: str = Field(examples=["BTC/USDT"])
    timeframe: str = Field(examples=["5m"])
    direction: Direction
    price: str = Field(examples=["46250.5"])
    group: int | None
    reserved_at: str


class PoolView(BaseModel):
    """An account's pool; `reserved` slots are in use, `waiting` signals wait."""

    account: str = Field(examples=["main"])
    settings: SettingsView
    reserved: int
    waiting: int
    slots: list[SlotView]
    as_of: Point


class QueuedView(BaseModel):
    """A signal that had to wait; `group` is the live group that it is a pyramid of.

    `replacements` counts the signals that it replaced in its place; `preferred` is above 0 where somebody put it first,
    the last one the highest. `ranking` is what it was promoted by: the candidates as they stood, best first.
    """

    bot: str = Field(examples=["dca"])
    source: str = Field(examples=["dca"])
    number: int = Field(examples=[42])
    instrument: str = Field(examples=["BTC/USDT"])
    timeframe: str = Field(examples=["5m"])
    direction: Direction
    price: str = Field(examples=["46250.5"])
    group: int | None
    status: QueuedStatus
    place: int
    replacements: int
    preferred: int
    queued_at: str
    expires_at: str | None
    ended_at: str | None
    reason: str | None
    replaced_by: dict[str, Any] | None = Field(examples=[{"bot": "dca", "source": "dca", "number": 43}])
    candidates: int | None
    ranking: list[dict[str, Any]] | None


@router.get("/pool", summary="An account's execution pool", dependencies=[VIEWER], responses=responses(404))
def read_pool(account: Name, asked: AskedOne) -> PoolView:
    with asked.view(ExecutionPoolRow) as view:
        row = view.rows.one(ExecutionPoolRow, account)
        if row is None:
            raise MissingError(f"there is no pool of account {account!r}")
        return _pool(view, row)


@router.get("/queue", summary="Signals that wait or waited, newest first", dependencies=[VIEWER], responses=responses())
def list_queue(
    account: Name,
    asked: AskedList,
    status: Annotated[QueuedStatus | None, Query()] = None,
    bot: Annotated[Name | None, Query()] = None,
) -> Listing[QueuedView]:
    where = filters(account=account, status=status, bot=bot)
    return asked.rows(_ORDER, QueuedSignalRow, where, lambda *_: _queued)


@router.put("/pool/settings", summary="Change the pool's settings", response_model=Done, responses=_ASKED)
async def configure(ask: Ask, account: NameInPath, body: PoolSettingsBody) -> JSONResponse:
    settings = PoolSettings(body.max_open_groups, body.count_pyramids_toward_pool, body.queue_expiry_minutes)

    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [ConfigurePool(account, settings)]

    return await ask.carry_out(prepare)


@router.post("/queue/promote", summary="Give a signal the next free slot", response_model=Done, responses=_ASKED)
async def promote(ask: Ask, account: NameInPath, body: SignalNamed) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [PromoteSignal(account, body.bot, body.source, body.number)]

    return await ask.carry_out(prepare)


@router.post("/queue/remove", summary="Let a signal wait no longer", response_model=Done, responses=_ASKED)
async def remove(ask: Ask, account: NameInPath, body: SignalToRemove) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [RemoveSignal(account, body.bot, body.source, body.number, body.reason)]

    return await ask.carry_out(prepare)


def _pool(view: View, row: ExecutionPoolRow) -> PoolView:
    held = view.rows.some(SlotRow, {"account": row.account, "held": True})
    return PoolView(
        account=row.account,
        settings=SettingsView(
            version=row.settings_version,
            max_open_groups=row.max_open_groups,
            count_pyramids_toward_pool=row.count_pyramids_toward_pool,
            queue_expiry_minutes=row.queue_expiry_minutes,
            since=time_text(row.configured_at),
        ),
        reserved=row.reserved,
        waiting=row.waiting,
        slots=[_slot(slot) for slot in sorted(held, key=lambda slot: slot.reserved_at)],
        as_of=point(view),
    )


def _slot(row: SlotRow) -> SlotView:
    return SlotView(
        bot=row.bot,
        source=row.source,
        number=row.number,
        instrument=row.instrument,
        timeframe=row.timeframe,
        direction=row.direction,
        price=row.price,
        group=row.group or None,
        reserved_at=time_text(row.reserved_at),
    )


def _queued(row: QueuedSignalRow) -> QueuedView:
    by = {"bot": row.replaced_by_bot, "source": row.replaced_by_source, "number": row.replaced_by_number}
    return QueuedView(
        bot=row.bot,
        source=row.source,
        number=row.number,
        instrument=row.instrument,
        timeframe=row.timeframe,
        direction=row.direction,
        price=row.price,
        group=row.group or None,
        status=row.status,
        place=row.place,
        replacements=row.replacements,
        preferred=row.preferred,
        queued_at=time_text(row.queued_at),
        expires_at=time_or_none(row.expires_at),
        ended_at=time_or_none(row.ended_at),
        reason=row.reason,
        replaced_by=None if row.replaced_by_bot is None else by,
        candidates=row.candidates,
        ranking=None if row.ranking is None else msgspec.json.decode(row.ranking),
    )
