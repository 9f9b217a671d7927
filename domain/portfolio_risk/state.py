"""The risk offset's state: the groups it watches, the offset that is under way, and the folds that keep them."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field, structs

from domain.message import Event
from domain.portfolio_risk import events as e
from domain.portfolio_risk.settings import OffsetSettings
from domain.values import Time

GroupKey = tuple[str, int]
"""(bot, group)"""
Said = tuple[str, GroupKey | None, frozenset[tuple[str, int, str]]]
"""What an evaluation said: its outcome, the loser it was about, the verdict on each group beyond the threshold."""


class Watched(Struct, frozen=True):
    """What is known of a group's past.

    `finished_at` is when its entries were done, None before; `restarted_at` when its wait was started anew, 0 if never.
    `paid` is what winners have paid towards its loss, less what it has realized of that.
    """

    opened_at: Time
    entered_at: Time
    max_pyramids: int
    finished_at: Time | None = None
    restarted_at: Time = Time(0)
    blocked: bool = False
    paid: int = 0

    def timer_from(self, settings: OffsetSettings) -> Time | None:
        """When the wait started; None where it has not."""
        start = self.finished_at if settings.timer_start == "legs_filled" else self.entered_at
        return None if start is None else max(start, self.restarted_at)


class Plan(Struct, frozen=True):
    """The offset that is under way: first `pending` winners pay, then the loser is `closing`.

    `needed` is what was when the loser was chosen: winners are not asked for what it goes on to lose. `payers` have paid something, three at most; `failed` are not asked again. `refused` says that the loser's own closing
    order came to nothing.
    """

    number: int
    loser: GroupKey
    step: int
    needed: int
    pending: frozenset[GroupKey]
    payers: frozenset[GroupKey] = frozenset()
    failed: frozenset[GroupKey] = frozenset()
    closing: bool = False
    refused: bool = False
    paid: int = 0
    lost: int = 0


class RiskState(Struct, frozen=True):
    """An account's risk offset; off until it is configured. `offsets` and `evaluations` are the last numbers given."""

    account: str = ""
    settings_version: int = 0
    settings: OffsetSettings = OffsetSettings(enabled=False)
    watched: Mapping[GroupKey, Watched] = field(default_factory=dict)
    plan: Plan | None = None
    offsets: int = 0
    evaluations: int = 0
    skip: bool = False
    said: Said | None = None


def said(event: e.OffsetEvaluated) -> Said:
    """What an evaluation says; its numbers are no part of that, for they change with every price."""
    about = (event.losers[0].bot, event.losers[0].group) if event.outcome == "not_enough_profit" else None
    return event.outcome, about, frozenset((loser.bot, loser.group, loser.verdict) for loser in event.losers)


def configured(state: RiskState, event: e.OffsetConfigured) -> RiskState:
    return structs.replace(
        state, account=event.account, settings_version=event.settings_version, settings=event.settings, said=None
    )


def group_watched(state: RiskState, event: e.GroupWatched) -> RiskState:
    known = state.watched.get((event.bot, event.group))
    if known is None:
        seen = Watched(event.opened_at, event.entered_at, event.max_pyramids)
    else:
        seen = structs.replace(
            known, entered_at=event.entered_at, max_pyramids=event.max_pyramids, finished_at=None
        )  # fmt: skip
    return structs.replace(state, watched={**state.watched, (event.bot, event.group): seen})


def entries_finished(state: RiskState, event: e.EntriesFinished) -> RiskState:
    return _with(state, (event.bot, event.group), finished_at=event.at)


def timer_restarted(state: RiskState, event: e.TimerRestarted) -> RiskState:
    return _with(state, (event.bot, event.group), restarted_at=event.at)


def group_forgotten(state: RiskState, event: e.GroupForgotten) -> RiskState:
    """A winner that is over pays no more."""
    gone = (event.bot, event.group)
    state = structs.replace(state, watched={key: each for key, each in state.watched.items() if key != gone})
    return _without(state, gone)


def group_blocked(state: RiskState, event: e.GroupBlocked) -> RiskState:
    return _with(state, (event.bot, event.group), blocked=True)


def group_unblocked(state: RiskState, event: e.GroupUnblocked) -> RiskState:
    return _with(state, (event.bot, event.group), blocked=False)


def skip_requested(state: RiskState, _event: e.SkipRequested) -> RiskState:
    return structs.replace(state, skip=True)


def skipped(state: RiskState, event: e.OffsetSkipped) -> RiskState:
    state = structs.replace(state, skip=False, said=None)
    return _with(state, (event.loser.bot, event.loser.group), restarted_at=event.at)


def evaluated(state: RiskState, event: e.OffsetEvaluated) -> RiskState:
    return structs.replace(state, evaluations=event.number, said=said(event))


def chosen(state: RiskState, event: e.OffsetChosen) -> RiskState:
    asked = frozenset((part.bot, part.group) for part in event.parts)
    plan = state.plan
    if plan is None:
        plan = Plan(event.number, (event.bot, event.group), event.step, event.needed, asked)
    else:
        plan = structs.replace(plan, step=event.step, pending=asked)
    return structs.replace(state, plan=plan, offsets=event.number, said=None)


def filled(state: RiskState, event: e.OffsetFilled) -> RiskState:
    plan = state.plan
    assert plan is not None, "only an offset that is under way fills"
    if event.role == "loser":
        plan = structs.replace(plan, lost=plan.lost + event.profit)
    else:
        payers = plan.payers | {(event.bot, event.group)}
        plan = structs.replace(plan, paid=plan.paid + event.profit, payers=payers)
    known = state.watched[plan.loser]
    state = _with(structs.replace(state, plan=plan), plan.loser, paid=known.paid + event.profit)
    return state if event.remaining else _without(state, (event.bot, event.group))


def order_ended(state: RiskState, event: e.OffsetOrderEnded | e.WinnerDropped) -> RiskState:
    plan, key = state.plan, (event.bot, event.group)
    assert plan is not None, "only an offset that is under way has orders"
    if key == plan.loser:
        return structs.replace(state, plan=structs.replace(plan, refused=True))
    return _without(structs.replace(state, plan=structs.replace(plan, failed=plan.failed | {key})), key)


def exit_decided(state: RiskState, _event: e.LoserExitDecided) -> RiskState:
    assert state.plan is not None, "only an offset that is under way closes its loser"
    return structs.replace(state, plan=structs.replace(state.plan, closing=True))


def completed(state: RiskState, _event: e.OffsetCompleted) -> RiskState:
    return structs.replace(state, plan=None)


def abandoned(state: RiskState, event: e.OffsetAbandoned) -> RiskState:
    """What fails is not tried again at once, or the log would grow by it for ever."""
    state = structs.replace(state, plan=None)
    if event.code == "NOT_ENOUGH_PROFIT" or (event.bot, event.group) not in state.watched:
        return state
    return _with(state, (event.bot, event.group), restarted_at=event.at)


def unchanged(state: RiskState, _event: Event) -> RiskState:
    return state


def _with(state: RiskState, key: GroupKey, **changes: Time | bool | int) -> RiskState:
    return structs.replace(state, watched={**state.watched, key: structs.replace(state.watched[key], **changes)})


def _without(state: RiskState, key: GroupKey) -> RiskState:
    """The winner's part is over, if it had one."""
    plan = state.plan
    if plan is None or key not in plan.pending:
        return state
    return structs.replace(state, plan=structs.replace(plan, pending=plan.pending - {key}))


FOLDS: Mapping[type[Event], Callable[[Any, Any], RiskState]] = {
    e.OffsetConfigured: configured,
    e.OffsetCommandRefused: unchanged,
    e.GroupWatched: group_watched,
    e.EntriesFinished: entries_finished,
    e.TimerRestarted: timer_restarted,
    e.GroupForgotten: group_forgotten,
    e.GroupBlocked: group_blocked,
    e.GroupUnblocked: group_unblocked,
    e.SkipRequested: skip_requested,
    e.OffsetSkipped: skipped,
    e.OffsetEvaluated: evaluated,
    e.OffsetChosen: chosen,
    e.OffsetFilled: filled,
    e.OffsetOrderEnded: order_ended,
    e.WinnerDropped: order_ended,
    e.LoserExitDecided: exit_decided,
    e.OffsetCompleted: completed,
    e.OffsetAbandoned: abandoned,
}
