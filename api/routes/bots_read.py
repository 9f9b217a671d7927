"""Bots: what each is, what it is doing, what it has made."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import Amounts, AskedList, AskedOne, Listing, Name, NameFilter, Order, Point, filters, point
from api.routes.accounts_read import Halt, halt_of
from api.routes.pnl import held
from domain.bot.settings import Entry, GroupForm, LegSettings, TakeProfit, WhenFlat, form_of
from domain.errors import MissingError
from domain.values import time_text
from infrastructure.row_queries import Page
from infrastructure.row_views import View
from projections.bots import BotRow, BotStatus, HaltRow, SourceRow, settings_of
from projections.positions import PoolRow

router = APIRouter(tags=["bots"], dependencies=[VIEWER])
_ORDER = Order("bots", BotRow, ("bot",))


class LegView(BaseModel):
    """One leg of the settings, in percent."""

    gap_pct: str = Field(examples=["-0.5"])
    weight_pct: str = Field(examples=["60"])
    take_profit_pct: str | None = Field(examples=["1"])


class SettingsView(BaseModel):
    """The group settings in force for the next group; one of `capital` and the last three says how large it is."""

    capital: str | None = Field(examples=["1000"])
    legs: list[LegView]
    entry: Entry
    max_pyramids: int
    when_flat: WhenFlat
    take_profit: TakeProfit
    aggregate_take_profit_pct: str | None
    stop_loss_pct: str | None
    trailing_stop_pct: str | None
    break_even_after_first_target: bool
    time_limit_minutes: int | None
    leg_expiry_minutes: int | None
    cancel_beyond_pct: str | None
    reverse: bool
    capital_pct_of_equity: str | None
    risk_pct_of_equity: str | None
    risk_amount: str | None


class ResultView(BaseModel):
    """Profit and loss of all its groups; `realized` is before fees, `unrealized` at the last price on the log."""

    asset: str = Field(examples=["USDT"])
    realized: str = Field(examples=["12.5"])
    unrealized: str = Field(examples=["-0.75"])
    fees: str = Field(examples=["1.2"])


class BotView(BaseModel):
    """A bot; `groups` counts what it has opened, `live_group` is the one that is not over, `sources` send it alerts."""

    bot: str = Field(examples=["dca"])
    account: str = Field(examples=["main"])
    strategy: str = Field(examples=["dca_signals"])
    instrument: str = Field(examples=["BTC/USDT"])
    status: BotStatus
    halt: Halt | None
    settings: SettingsView
    groups: int
    live_group: int | None
    sources: list[str]
    pnl: ResultView
    created_at: str
    updated_at: str


class BotAnswer(BotView):
    """A bot, and what position that is true at."""

    as_of: Point


@router.get("/bots", summary="List the bots by name", responses=responses())
def list_bots(
    asked: AskedList,
    account: NameFilter = None,
    status: Annotated[BotStatus | None, Query()] = None,
) -> Listing[BotView]:
    where = filters(account=account, status=status)
    return asked.rows(_ORDER, BotRow, where, lambda view, rows: _Described(view, rows).view, PoolRow)


@router.get("/bots/{bot}", summary="One bot", responses=responses(404))
def read_bot(bot: Name, asked: AskedOne) -> BotAnswer:
    with asked.view(BotRow, PoolRow) as view:
        row = view.rows.one(BotRow, bot)
        if row is None:
            raise MissingError(f"there is no bot {bot!r}")
        return BotAnswer(**_Described(view, [row]).view(row).model_dump(), as_of=point(view))


class _Described:
    """What is said of some bots besides their rows."""

    def __init__(self, view: View, bots: Sequence[BotRow]) -> None:
        names = tuple(row.bot for row in bots)
        by = Page(("account", "instrument", "bot"))
        self._amounts = Amounts(view)
        self._booked = {row[:3]: row[3:] for row in view.rows.sums(PoolRow, ("realized", "fees"), {"bot": names}, by)}
        self._unrealized: dict[tuple[str, ...], int] = {}
        for pool, _, unrealized in held(view, self._amounts, {"bot": names}):
            owner = (pool.account, pool.instrument, pool.bot)
            self._unrealized[owner] = self._unrealized.get(owner, 0) + unrealized
        self._halts = {(row.account, row.bot): row for row in view.rows.some(HaltRow, {"bot": names})}
        self._sources: dict[str, list[str]] = {}
        for source in view.rows.some(SourceRow, {"bot": names}):
            self._sources.setdefault(source.bot, []).append(source.source)

    def view(self, row: BotRow) -> BotView:
        key = (row.account, row.instrument, row.bot)
        listed = self._amounts.instrument(row.account, row.instrument)
        realized, fees = self._booked.get(key, (0, 0))
        return BotView(
            bot=row.bot,
            account=row.account,
            strategy=row.strategy,
            instrument=row.instrument,
            status=row.status,
            halt=halt_of(self._halts.get((row.account, row.bot))),
            settings=_settings(row),
            groups=row.groups,
            live_group=row.live or None,
            sources=self._sources.get(row.bot, []),
            pnl=ResultView(
                asset=listed.quote,
                realized=listed.cash_text(realized),
                unrealized=listed.cash_text(self._unrealized.get(key, 0)),
                fees=listed.cash_text(fees),
            ),
            created_at=time_text(row.created_at),
            updated_at=time_text(row.updated_at),
        )


def _settings(row: BotRow) -> SettingsView:
    settings = form_of(settings_of(row))
    legs = [LegView(**_texts(leg)) for leg in settings.legs]
    return SettingsView(**{**_texts(settings), "legs": legs})


def _texts(settings: GroupForm | LegSettings) -> dict[str, Any]:
    """What stands in settings, decimals as text."""
    fields = msgspec.structs.asdict(settings)
    return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in fields.items()}
