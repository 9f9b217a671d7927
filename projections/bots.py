"""Bots and accounts: what was set up, what it is doing, what may trade."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec
from msgspec import structs

from domain.account.events import AccountKind, AccountOpened, TradingHalted, TradingResumed
from domain.bot.events import (
    BotConfigured,
    BotCreated,
    BotDeleted,
    BotPaused,
    BotResumed,
    BotStarted,
    BotStopped,
    EntryTaken,
    GroupReleased,
)
from domain.bot.settings import GroupSettings
from domain.signal.events import Follow, SourceMapped, SourceOpened
from projections.rows import Context, Projection, Row, Rows, need

BotStatus = Literal["created", "running", "paused", "stopped", "deleted"]


class AccountRow(Row, frozen=True):
    """An account as it was opened."""

    table: ClassVar[str] = "accounts"
    key: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    kind: AccountKind
    opened_at: int


class HaltRow(Row, frozen=True):
    """The last word on whether an account, or one bot on it, may raise exposure; bot "" is the whole account.

    `reason` is the last halt's.
    """

    table: ClassVar[str] = "halts"
    key: ClassVar[tuple[str, ...]] = ("account", "bot")

    account: str
    bot: str
    halted: bool
    changed_at: int
    reason: str


class BotRow(Row, frozen=True):
    """A bot; `settings` are JSON, `groups` counts what it has opened, `live` is its live group, 0 where there is none.

    A bot that is created under the name of a deleted one takes its row and counts its groups on.
    """

    table: ClassVar[str] = "bots"
    key: ClassVar[tuple[str, ...]] = ("bot",)

    bot: str
    account: str
    account_kind: AccountKind
    strategy: str
    instrument: str
    settings: str
    created_at: int
    updated_at: int
    status: BotStatus = "created"
    groups: int = 0
    live: int = 0


class SourceRow(Row, frozen=True):
    """A source of alerts and the bot they go to; `lag_us_max` is how old they may be on arrival, in microseconds.

    `mapping` is JSON, in force since `mapped_at`.
    """

    table: ClassVar[str] = "sources"
    key: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    bot: str
    instrument: str
    opened_at: int
    lag_us_max: int | None = None
    follow: Follow = "action"
    mapping: str = "{}"
    mapped_at: int = 0


def _account_opened(rows: Rows, context: Context, event: AccountOpened) -> None:
    rows.put(AccountRow(event.account, event.kind, context.at))


def _halted(rows: Rows, context: Context, event: TradingHalted) -> None:
    rows.put(HaltRow(event.account, event.bot, halted=True, changed_at=context.at, reason=event.reason))


def _halt_ended(rows: Rows, context: Context, event: TradingResumed) -> None:
    halt = need(rows, HaltRow, event.account, event.bot)
    rows.put(structs.replace(halt, halted=False, changed_at=context.at))


def _created(rows: Rows, context: Context, event: BotCreated) -> None:
    before = rows.get(BotRow, event.bot)
    rows.put(
        BotRow(
            bot=event.bot,
            account=event.account,
            account_kind=event.account_kind,
            strategy=event.strategy,
            instrument=event.instrument.id,
            settings=_settings_text(event.settings),
            created_at=context.at,
            updated_at=context.at,
            groups=0 if before is None else before.groups,
        )
    )


def _configured(rows: Rows, context: Context, event: BotConfigured) -> None:
    bot = need(rows, BotRow, event.bot)
    rows.put(structs.replace(bot, settings=_settings_text(event.settings), updated_at=context.at))


def _running(rows: Rows, context: Context, event: BotStarted | BotResumed) -> None:
    _become(rows, context, event.bot, "running")


def _paused(rows: Rows, context: Context, event: BotPaused) -> None:
    _become(rows, context, event.bot, "paused")


def _stopped(rows: Rows, context: Context, event: BotStopped) -> None:
    _become(rows, context, event.bot, "stopped")


def _deleted(rows: Rows, context: Context, event: BotDeleted) -> None:
    _become(rows, context, event.bot, "deleted")


def _entered(rows: Rows, context: Context, event: EntryTaken) -> None:
    bot = need(rows, BotRow, event.bot)
    rows.put(structs.replace(bot, groups=max(bot.groups, event.group), live=event.group, updated_at=context.at))


def _released(rows: Rows, context: Context, event: GroupReleased) -> None:
    bot = need(rows, BotRow, event.bot)
    rows.put(structs.replace(bot, live=0, updated_at=context.at))


def _source_opened(rows: Rows, context: Context, event: SourceOpened) -> None:
    rows.put(
        SourceRow(
            source=event.source,
            bot=event.bot,
            instrument=event.instrument,
            opened_at=context.at,
            lag_us_max=event.lag_us_max,
            follow=event.follow,
            mapping=_mapping_text(event.mapping),
            mapped_at=context.at,
        )
    )


def _source_mapped(rows: Rows, context: Context, event: SourceMapped) -> None:
    source = need(rows, SourceRow, event.source)
    rows.put(structs.replace(source, mapping=_mapping_text(event.mapping), mapped_at=context.at))


def _become(rows: Rows, context: Context, bot: str, status: BotStatus) -> None:
    rows.put(structs.replace(need(rows, BotRow, bot), status=status, updated_at=context.at))


def _settings_text(settings: GroupSettings) -> str:
    return msgspec.json.encode(settings).decode()


def _mapping_text(mapping: Mapping[str, str]) -> str:
    return msgspec.json.encode(mapping).decode()


def settings_of(row: BotRow) -> GroupSettings:
    """A bot's settings as the core knows them."""
    return msgspec.json.decode(row.settings, type=GroupSettings)


BOTS = Projection(
    name="bots",
    schema_version=3,
    tables=(AccountRow, HaltRow, BotRow, SourceRow),
    folds={
        AccountOpened: _account_opened,
        TradingHalted: _halted,
        TradingResumed: _halt_ended,
        BotCreated: _created,
        BotConfigured: _configured,
        BotStarted: _running,
        BotResumed: _running,
        BotPaused: _paused,
        BotStopped: _stopped,
        BotDeleted: _deleted,
        EntryTaken: _entered,
        GroupReleased: _released,
        SourceOpened: _source_opened,
        SourceMapped: _source_mapped,
    },
)
