"""The course of an offset: evaluated, chosen, paid for by winners, the loser closed; or given up, with the reason."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil, floor

from domain.decider import Now
from domain.message import Event
from domain.portfolio_risk import events as e
from domain.portfolio_risk.choosing import (
    SHOWN,
    WINNERS_MAX,
    Valued,
    can_pay,
    cash,
    choose_parts,
    idle,
    rank_losers,
    rank_winners,
    shown_loser,
    shown_winner,
    value,
)
from domain.portfolio_risk.state import FOLDS, GroupKey, Plan, RiskState, said
from domain.position_group.state import GroupState

Events = tuple[Event, ...]
Ranked = list[tuple[Valued, e.Verdict]]


def evaluate(state: RiskState, now: Now, *, by_hand: bool) -> Events:
    """Choose the worst loser and who pays for it, or say why nothing happens; again only where somebody asked."""
    groups = now.groups(state.account)
    finished = _finished(state, groups, now)
    state = evolve(state, *finished)
    losers = rank_losers(groups, state.watched, now.marks, state.settings, now.at)
    if not losers or losers[0][1] != "qualified":
        return *finished, *_said(state, by_hand, _evaluated(state, losers, None, []))
    loser = losers[0][0]
    needed = _needed(state, loser)
    winners = rank_winners(groups, now.marks, state.settings, _may_pay(state, loser))
    parts, left = choose_parts(needed, winners)
    if left > 0:
        return *finished, *_said(state, by_hand, _evaluated(state, losers, needed, winners))
    if state.skip:
        return *finished, e.OffsetSkipped(state.account, state.settings_version, now.at, _shown(state, losers)[0])
    chosen = _chosen(state, loser, needed, parts, winners, losers)
    return *finished, chosen, *go_on(evolve(state, chosen), now)


def go_on(state: RiskState, now: Now, *, surely: bool = False) -> Events:
    """Once all that was to pay has: close the loser if that was enough, else plan the rest anew.

    `surely` says that whatever has been decided has been carried out, so that a loser which is not closing never will.
    """
    plan = state.plan
    if plan is None or plan.pending:
        return ()
    group = live(state, now).get(plan.loser)
    if plan.closing:
        kept = group is not None and idle(group) and (plan.refused or surely)
        return (_abandoned(state, plan, now, "LOSER_NOT_CLOSED", "its closing order came to nothing"),) if kept else ()
    if group is None:
        return ()  # its end is about to be told
    if not idle(group):
        return (_abandoned(state, plan, now, "LOSER_BUSY", f"status={group.status}"),)
    if state.watched[plan.loser].blocked:
        return (_abandoned(state, plan, now, "LOSER_BLOCKED", "blocked by hand"),)
    loser = value(group, now.marks[group.instrument.id], state.settings)
    if loser.gain >= 0:
        return (_abandoned(state, plan, now, "LOSER_RECOVERED", f"gain={floor(loser.gain)}"),)
    needed = min(Fraction(plan.needed - plan.paid), _needed(state, loser))
    if needed <= 0:
        sums = cash(max(0, ceil(needed + plan.paid))), cash(plan.paid)
        return (e.LoserExitDecided(state.account, plan.number, *plan.loser, *sums, loser.mark),)
    return (_planned_anew(state, plan, now, loser, needed),)


def is_stuck(group: GroupState | None) -> bool:
    """Whether nothing of a winner is being closed, or soon will be."""
    return group is None or idle(group)


def live(state: RiskState, now: Now) -> dict[GroupKey, GroupState]:
    return {(group.bot, group.group): group for group in now.groups(state.account)}


def evolve(state: RiskState, *happened: Event) -> RiskState:
    for event in happened:
        state = FOLDS[type(event)](state, event)
    return state


def _finished(state: RiskState, groups: Sequence[GroupState], now: Now) -> Events:
    """Groups whose entries are done since the last look, where the wait starts with that."""
    if state.settings.timer_start != "legs_filled":
        return ()
    return tuple(
        e.EntriesFinished(state.account, group.bot, group.group, now.at)
        for group in groups
        if group.entered and not group.entries_work and _is_unfinished(state, group)
    )


def _is_unfinished(state: RiskState, group: GroupState) -> bool:
    known = state.watched.get((group.bot, group.group))
    return known is not None and known.finished_at is None


def _needed(state: RiskState, loser: Valued) -> Fraction:
    """The loss and the costs of closing it, less what has been paid for it already."""
    return loser.costs - loser.gain - state.watched[loser.key].paid


def _may_pay(
    state: RiskState, loser: Valued, failed: frozenset[GroupKey] = frozenset()
) -> Callable[[GroupState], bool]:
    """Who has profit of the loser's own currency, and is not blocked."""
    quote = loser.group.instrument.quote

    def may_pay(group: GroupState) -> bool:
        key = (group.bot, group.group)
        known = state.watched.get(key)
        return (
            group.instrument.quote == quote
            and key != loser.key
            and key not in failed
            and known is not None
            and not known.blocked
        )

    return may_pay


def _planned_anew(state: RiskState, plan: Plan, now: Now, loser: Valued, needed: Fraction) -> Event:
    groups = now.groups(state.account)
    winners = rank_winners(groups, now.marks, state.settings, _may_pay(state, loser, plan.failed))
    parts, left = choose_parts(needed, winners, plan.payers)
    if left > 0:
        code: e.Abandoned = "WINNERS_FAILED" if plan.failed else "NOT_ENOUGH_PROFIT"
        return _abandoned(state, plan, now, code, f"needed={ceil(needed)}, missing={ceil(left)}")
    return _chosen(state, loser, needed, parts, winners, [])


def _chosen(
    state: RiskState,
    loser: Valued,
    needed: Fraction,
    parts: Sequence[tuple[Valued, int]],
    winners: Sequence[Valued],
    losers: Ranked,
) -> e.OffsetChosen:
    number, step = (state.offsets + 1, 1) if state.plan is None else (state.plan.number, state.plan.step + 1)
    return e.OffsetChosen(
        state.account, number, step, state.settings_version, *loser.key, cash(max(0, ceil(needed))),
        tuple(shown_winner(winner, quantity) for winner, quantity in parts), len(losers), _shown(state, losers),
        len(winners), tuple(shown_winner(winner) for winner in winners[:SHOWN]),
    )  # fmt: skip


def _evaluated(
    state: RiskState, losers: Ranked, needed: Fraction | None, winners: Sequence[Valued]
) -> e.OffsetEvaluated:
    available = sum((can_pay(winner) for winner in winners[:WINNERS_MAX]), Fraction(0))
    return e.OffsetEvaluated(
        state.account, state.evaluations + 1, state.settings_version,
        "no_loser" if needed is None else "not_enough_profit", len(losers), _shown(state, losers), len(winners),
        tuple(shown_winner(winner) for winner in winners[:SHOWN]), cash(0 if needed is None else ceil(needed)),
        cash(floor(available)),
    )  # fmt: skip


def _said(state: RiskState, by_hand: bool, event: e.OffsetEvaluated) -> Events:  # noqa: FBT001
    return (event,) if by_hand or said(event) != state.said else ()


def _shown(state: RiskState, losers: Ranked) -> tuple[e.Loser, ...]:
    return tuple(
        shown_loser(loser, state.watched[loser.key], state.settings, verdict) for loser, verdict in losers[:SHOWN]
    )


def _abandoned(state: RiskState, plan: Plan, now: Now, code: e.Abandoned, reason: str) -> e.OffsetAbandoned:
    return e.OffsetAbandoned(state.account, plan.number, *plan.loser, code, reason, cash(plan.paid), now.at)
