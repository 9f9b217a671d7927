"""The risk offset of each account: settings, the groups it watches, what its evaluations said, what offsets came to."""

from typing import ClassVar, Literal

import msgspec
from msgspec import structs

from domain.portfolio_risk.events import (
    EntriesFinished,
    GroupBlocked,
    GroupForgotten,
    GroupUnblocked,
    GroupWatched,
    Loser,
    LoserExitDecided,
    OffsetAbandoned,
    OffsetChosen,
    OffsetCompleted,
    OffsetConfigured,
    OffsetEvaluated,
    OffsetFilled,
    OffsetSkipped,
    SkipRequested,
    TimerRestarted,
    Winner,
)
from projections.rows import Context, Projection, Row, Rows, need

OffsetStatus = Literal["paying", "closing", "completed", "abandoned"]


class OffsetEngineRow(Row, frozen=True):
    """An account's risk offset: the settings in force, whether the next loser is passed over, and its last numbers.

    `offset` and `evaluation` are 0 before the first; `under_way` is the offset that is, 0 where none.
    """

    table: ClassVar[str] = "offset_engines"
    key: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    settings_version: int
    enabled: bool
    loss_threshold_pct: str
    require_full_pyramids: bool
    post_full_wait_minutes: int
    timer_start: str
    reset_on_replacement: bool
    minimum_age_minutes: int | None
    evaluate_seconds: int
    cost_margin_pct: str
    configured_at: int
    skip: bool = False
    offset: int = 0
    evaluation: int = 0
    under_way: int = 0


class WatchedGroupRow(Row, frozen=True):
    """A group that the offset watches or watched; `restarted_at` is null where its wait never started anew."""

    table: ClassVar[str] = "offset_groups"
    key: ClassVar[tuple[str, ...]] = ("account", "bot", "group")

    account: str
    bot: str
    group: int
    opened_at: int
    entered_at: int
    max_pyramids: int
    finished_at: int | None = None
    restarted_at: int | None = None
    blocked: bool = False
    live: bool = True


class EvaluationRow(Row, frozen=True):
    """An evaluation after which nothing happened; the candidates are JSON, cash in quanta."""

    table: ClassVar[str] = "offset_evaluations"
    key: ClassVar[tuple[str, ...]] = ("account", "number")

    account: str
    number: int
    at: int
    settings_version: int
    outcome: str
    needed: int
    available: int
    losers_count: int
    losers: str
    winners_count: int
    winners: str


class OffsetRow(Row, frozen=True):
    """An offset: its loser, what was needed, paid and lost; `step` above 1 where it was planned anew."""

    table: ClassVar[str] = "offsets"
    key: ClassVar[tuple[str, ...]] = ("account", "number")

    account: str
    number: int
    bot: str
    group: int
    instrument: str
    settings_version: int
    chosen_at: int
    needed: int
    losers: str
    parts: str
    status: OffsetStatus = "paying"
    step: int = 1
    paid: int = 0
    lost: int = 0
    ended_at: int | None = None
    code: str | None = None
    reason: str | None = None


def _configured(rows: Rows, context: Context, event: OffsetConfigured) -> None:
    settings = event.settings
    fresh = OffsetEngineRow(
        account=event.account,
        settings_version=event.settings_version,
        enabled=settings.enabled,
        loss_threshold_pct=f"{settings.loss_threshold_pct:f}",
        require_full_pyramids=settings.require_full_pyramids,
        post_full_wait_minutes=settings.post_full_wait_minutes,
        timer_start=settings.timer_start,
        reset_on_replacement=settings.reset_on_replacement,
        minimum_age_minutes=settings.minimum_age_minutes,
        evaluate_seconds=settings.evaluate_seconds,
        cost_margin_pct=f"{settings.cost_margin_pct:f}",
        configured_at=context.at,
    )
    known = rows.get(OffsetEngineRow, event.account)
    if known is not None:
        fresh = structs.replace(
            fresh, skip=known.skip, offset=known.offset, evaluation=known.evaluation, under_way=known.under_way
        )
    rows.put(fresh)


def _watched(rows: Rows, context: Context, event: GroupWatched) -> None:
    known = rows.get(WatchedGroupRow, event.account, event.bot, event.group)
    if known is None:
        rows.put(
            WatchedGroupRow(
                event.account, event.bot, event.group, event.opened_at, event.entered_at, event.max_pyramids
            )
        )
    else:
        rows.put(structs.replace(known, entered_at=event.entered_at, max_pyramids=event.max_pyramids, finished_at=None))


def _finished(rows: Rows, context: Context, event: EntriesFinished) -> None:
    rows.put(structs.replace(_group(rows, event), finished_at=event.at))


def _restarted(rows: Rows, context: Context, event: TimerRestarted) -> None:
    rows.put(structs.replace(_group(rows, event), restarted_at=event.at))


def _forgotten(rows: Rows, context: Context, event: GroupForgotten) -> None:
    rows.put(structs.replace(_group(rows, event), live=False))


def _blocked(rows: Rows, context: Context, event: GroupBlocked) -> None:
    rows.put(structs.replace(_group(rows, event), blocked=True))


def _unblocked(rows: Rows, context: Context, event: GroupUnblocked) -> None:
    rows.put(structs.replace(_group(rows, event), blocked=False))


def _skip_requested(rows: Rows, context: Context, event: SkipRequested) -> None:
    rows.put(structs.replace(need(rows, OffsetEngineRow, event.account), skip=True))


def _skipped(rows: Rows, context: Context, event: OffsetSkipped) -> None:
    rows.put(structs.replace(need(rows, OffsetEngineRow, event.account), skip=False))
    passed_over = need(rows, WatchedGroupRow, event.account, event.loser.bot, event.loser.group)
    rows.put(structs.replace(passed_over, restarted_at=event.at))


def _evaluated(rows: Rows, context: Context, event: OffsetEvaluated) -> None:
    rows.put(
        EvaluationRow(
            account=event.account,
            number=event.number,
            at=context.at,
            settings_version=event.settings_version,
            outcome=event.outcome,
            needed=event.needed,
            available=event.available,
            losers_count=event.losers_count,
            losers=_candidates(event.losers),
            winners_count=event.winners_count,
            winners=_candidates(event.winners),
        )
    )
    rows.put(structs.replace(need(rows, OffsetEngineRow, event.account), evaluation=event.number))


def _chosen(rows: Rows, context: Context, event: OffsetChosen) -> None:
    """The rest planned anew adds its parts to those that were asked for before."""
    known = rows.get(OffsetRow, event.account, event.number)
    if known is not None:
        parts = msgspec.json.decode(known.parts) + msgspec.json.decode(_candidates(event.parts))
        rows.put(structs.replace(known, step=event.step, parts=msgspec.json.encode(parts).decode()))
        return
    rows.put(
        OffsetRow(
            account=event.account,
            number=event.number,
            bot=event.bot,
            group=event.group,
            instrument=event.losers[0].instrument,
            settings_version=event.settings_version,
            chosen_at=context.at,
            needed=event.needed,
            losers=_candidates(event.losers),
            parts=_candidates(event.parts),
        )
    )
    engine = need(rows, OffsetEngineRow, event.account)
    rows.put(structs.replace(engine, offset=event.number, under_way=event.number))


def _filled(rows: Rows, context: Context, event: OffsetFilled) -> None:
    row = need(rows, OffsetRow, event.account, event.number)
    if event.role == "loser":
        rows.put(structs.replace(row, lost=row.lost + event.profit))
    else:
        rows.put(structs.replace(row, paid=row.paid + event.profit))


def _exit_decided(rows: Rows, context: Context, event: LoserExitDecided) -> None:
    rows.put(structs.replace(need(rows, OffsetRow, event.account, event.number), status="closing"))


def _completed(rows: Rows, context: Context, event: OffsetCompleted) -> None:
    row = need(rows, OffsetRow, event.account, event.number)
    rows.put(structs.replace(row, status="completed", ended_at=context.at))
    _over(rows, event.account)


def _abandoned(rows: Rows, context: Context, event: OffsetAbandoned) -> None:
    row = need(rows, OffsetRow, event.account, event.number)
    rows.put(structs.replace(row, status="abandoned", ended_at=context.at, code=event.code, reason=event.reason))
    group = rows.get(WatchedGroupRow, event.account, event.bot, event.group)
    if event.code != "NOT_ENOUGH_PROFIT" and group is not None and group.live:
        rows.put(structs.replace(group, restarted_at=event.at))
    _over(rows, event.account)


def _over(rows: Rows, account: str) -> None:
    rows.put(structs.replace(need(rows, OffsetEngineRow, account), under_way=0))


def _group(
    rows: Rows, event: EntriesFinished | TimerRestarted | GroupForgotten | GroupBlocked | GroupUnblocked
) -> WatchedGroupRow:
    return need(rows, WatchedGroupRow, event.account, event.bot, event.group)


def _candidates(candidates: tuple[Loser, ...] | tuple[Winner, ...]) -> str:
    return msgspec.json.encode([structs.asdict(candidate) for candidate in candidates]).decode()


OFFSETS = Projection(
    name="offsets",
    schema_version=1,
    tables=(OffsetEngineRow, WatchedGroupRow, EvaluationRow, OffsetRow),
    folds={
        OffsetConfigured: _configured,
        GroupWatched: _watched,
        EntriesFinished: _finished,
        TimerRestarted: _restarted,
        GroupForgotten: _forgotten,
        GroupBlocked: _blocked,
        GroupUnblocked: _unblocked,
        SkipRequested: _skip_requested,
        OffsetSkipped: _skipped,
        OffsetEvaluated: _evaluated,
        OffsetChosen: _chosen,
        OffsetFilled: _filled,
        LoserExitDecided: _exit_decided,
        OffsetCompleted: _completed,
        OffsetAbandoned: _abandoned,
    },
)
