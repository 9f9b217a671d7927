"""The execution pool of each account: its settings, the slots in use and given back, the signals that waited."""

from typing import ClassVar, Literal

import msgspec
from msgspec import structs

from domain.execution_pool.events import (
    Candidate,
    PoolConfigured,
    PoolOpened,
    QueuedSignalReplaced,
    SignalExpired,
    SignalPreferred,
    SignalPromoted,
    SignalQueued,
    SignalRemoved,
    SlotAssigned,
    SlotReleased,
    SlotReserved,
)
from domain.values import MINUTE, Direction
from projections.rows import Context, Projection, Row, Rows, need

QueuedStatus = Literal["waiting", "promoted", "replaced", "expired", "removed"]


class ExecutionPoolRow(Row, frozen=True):
    """An account's pool: the settings in force, how many slots are in use and how many signals wait."""

    table: ClassVar[str] = "execution_pools"
    key: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    settings_version: int
    max_open_groups: int
    count_pyramids_toward_pool: bool
    queue_expiry_minutes: int | None
    opened_at: int
    configured_at: int
    reserved: int = 0
    waiting: int = 0


class SlotRow(Row, frozen=True):
    """A slot that a signal got; `group` is the one that it opened or is a pyramid of, 0 while the entry is under way."""

    table: ClassVar[str] = "pool_slots"
    key: ClassVar[tuple[str, ...]] = ("account", "bot", "source", "number")

    account: str
    bot: str
    source: str
    number: int
    instrument: str
    timeframe: str
    direction: Direction
    price: str
    group: int
    reserved_at: int
    held: bool = True
    released_at: int | None = None
    reason: str | None = None


class QueuedSignalRow(Row, frozen=True):
    """A signal that had to wait; `group` is the live group that it is a pyramid of, 0 where it opens a new one.

    `ranking` is that of its promotion, as JSON; `replaced_by_*` name the newer signal that took its place.
    """

    table: ClassVar[str] = "queued_signals"
    key: ClassVar[tuple[str, ...]] = ("account", "bot", "source", "number")

    account: str
    bot: str
    source: str
    number: int
    instrument: str
    timeframe: str
    direction: Direction
    price: str
    group: int
    place: int
    replacements: int
    preferred: int
    queued_at: int
    expires_at: int | None
    status: QueuedStatus = "waiting"
    ended_at: int | None = None
    reason: str | None = None
    candidates: int | None = None
    ranking: str | None = None
    replaced_by_bot: str | None = None
    replaced_by_source: str | None = None
    replaced_by_number: int | None = None


def _opened(rows: Rows, context: Context, event: PoolOpened) -> None:
    rows.put(
        ExecutionPoolRow(
            account=event.account,
            settings_version=event.settings_version,
            max_open_groups=event.settings.max_open_groups,
            count_pyramids_toward_pool=event.settings.count_pyramids_toward_pool,
            queue_expiry_minutes=event.settings.queue_expiry_minutes,
            opened_at=context.at,
            configured_at=context.at,
        )
    )


def _configured(rows: Rows, context: Context, event: PoolConfigured) -> None:
    rows.put(
        structs.replace(
            need(rows, ExecutionPoolRow, event.account),
            settings_version=event.settings_version,
            max_open_groups=event.settings.max_open_groups,
            count_pyramids_toward_pool=event.settings.count_pyramids_toward_pool,
            queue_expiry_minutes=event.settings.queue_expiry_minutes,
            configured_at=context.at,
        )
    )


def _reserved(rows: Rows, context: Context, event: SlotReserved) -> None:
    rows.put(
        SlotRow(
            account=event.account,
            bot=event.bot,
            source=event.source,
            number=event.number,
            instrument=event.instrument,
            timeframe=event.timeframe,
            direction=event.direction,
            price=f"{event.price:f}",
            group=event.group,
            reserved_at=context.at,
        )
    )
    _use(rows, event.account, event.reserved)


def _assigned(rows: Rows, context: Context, event: SlotAssigned) -> None:
    slot = need(rows, SlotRow, event.account, event.bot, event.source, event.number)
    rows.put(structs.replace(slot, group=event.group))


def _released(rows: Rows, context: Context, event: SlotReleased) -> None:
    slot = need(rows, SlotRow, event.account, event.bot, event.source, event.number)
    rows.put(structs.replace(slot, held=False, released_at=context.at, reason=event.reason))
    _use(rows, event.account, event.reserved)


def _queued(rows: Rows, context: Context, event: SignalQueued) -> None:
    _wait(rows, context, event, 0, 0)
    _count(rows, event.account, 1)


def _replaced(rows: Rows, context: Context, event: QueuedSignalReplaced) -> None:
    older = need(rows, QueuedSignalRow, event.account, event.replaced_bot, event.replaced_source, event.replaced_number)
    rows.put(
        structs.replace(
            older,
            status="replaced",
            ended_at=context.at,
            replaced_by_bot=event.bot,
            replaced_by_source=event.source,
            replaced_by_number=event.number,
        )
    )
    _wait(rows, context, event, event.replacements, event.preferred)


def _preferred(rows: Rows, context: Context, event: SignalPreferred) -> None:
    signal = need(rows, QueuedSignalRow, event.account, event.bot, event.source, event.number)
    rows.put(structs.replace(signal, preferred=event.preferred))


def _promoted(rows: Rows, context: Context, event: SignalPromoted) -> None:
    _end(rows, context, event, "promoted", candidates=event.candidates, ranking=_ranking_text(event.ranking))


def _expired(rows: Rows, context: Context, event: SignalExpired) -> None:
    _end(rows, context, event, "expired")


def _removed(rows: Rows, context: Context, event: SignalRemoved) -> None:
    _end(rows, context, event, "removed", reason=event.reason)


def _wait(
    rows: Rows, context: Context, event: SignalQueued | QueuedSignalReplaced, replacements: int, preferred: int
) -> None:
    minutes = event.expiry_minutes
    rows.put(
        QueuedSignalRow(
            account=event.account,
            bot=event.bot,
            source=event.source,
            number=event.number,
            instrument=event.instrument,
            timeframe=event.timeframe,
            direction=event.direction,
            price=f"{event.price:f}",
            group=event.group,
            place=event.place,
            replacements=replacements,
            preferred=preferred,
            queued_at=context.at,
            expires_at=None if minutes is None else context.at + minutes * MINUTE,
        )
    )


def _end(
    rows: Rows,
    context: Context,
    event: SignalPromoted | SignalExpired | SignalRemoved,
    status: QueuedStatus,
    **changes: int | str,
) -> None:
    signal = need(rows, QueuedSignalRow, event.account, event.bot, event.source, event.number)
    rows.put(structs.replace(signal, status=status, ended_at=context.at, **changes))
    _count(rows, event.account, -1)


def _use(rows: Rows, account: str, reserved: int) -> None:
    rows.put(structs.replace(need(rows, ExecutionPoolRow, account), reserved=reserved))


def _count(rows: Rows, account: str, change: int) -> None:
    pool = need(rows, ExecutionPoolRow, account)
    rows.put(structs.replace(pool, waiting=pool.waiting + change))


def _ranking_text(ranking: tuple[Candidate, ...]) -> str:
    return msgspec.json.encode([structs.asdict(candidate) for candidate in ranking]).decode()


QUEUE = Projection(
    name="queue",
    schema_version=1,
    tables=(ExecutionPoolRow, SlotRow, QueuedSignalRow),
    folds={
        PoolOpened: _opened,
        PoolConfigured: _configured,
        SlotReserved: _reserved,
        SlotAssigned: _assigned,
        SlotReleased: _released,
        SignalQueued: _queued,
        QueuedSignalReplaced: _replaced,
        SignalPreferred: _preferred,
        SignalPromoted: _promoted,
        SignalExpired: _expired,
        SignalRemoved: _removed,
    },
)
