"""An account's risk offset decides: what it watches, when it looks, and what becomes of the offset that is under way.

A closing fill is noted before its group knows of it, so that the group still says what it held and at what cost.
"""

from math import floor
from operator import attrgetter

from domain.decider import Decider, Now
from domain.errors import InputError
from domain.message import Command, Event
from domain.portfolio_risk import commands as c
from domain.portfolio_risk import events as e
from domain.portfolio_risk.choosing import cash, fill_profit
from domain.portfolio_risk.offsetting import Events, evaluate, evolve, go_on, is_stuck, live
from domain.portfolio_risk.resting import quiet
from domain.portfolio_risk.settings import check_settings
from domain.portfolio_risk.state import FOLDS, RiskState
from domain.values import SECOND


def configure(state: RiskState, command: c.ConfigureOffset, now: Now) -> Events:
    """Groups that are live when it is first configured count from then, and as full."""
    try:
        check_settings(command.settings)
    except InputError as error:
        return (e.OffsetCommandRefused(command.account, "configure", "SETTINGS_INVALID", str(error)),)
    if state.settings_version and command.settings == state.settings:
        return ()
    configured = e.OffsetConfigured(command.account, state.settings_version + 1, command.settings)
    if state.settings_version:
        return (configured,)
    groups = now.groups(command.account)
    return configured, *(
        e.GroupWatched(command.account, each.bot, each.group, now.at, now.at, each.pyramids) for each in groups
    )


def watch(state: RiskState, command: c.WatchGroup, now: Now) -> Events:
    """What the bot says of a pyramid and what the group says of it are one; a group that has closed stays forgotten."""
    known = state.watched.get((command.bot, command.group))
    opened, most = (now.at, 1) if known is None else (known.opened_at, known.max_pyramids)
    most = command.max_pyramids or most
    if not state.settings_version or (known and (known.entered_at, known.max_pyramids) == (now.at, most)):
        return ()
    if (command.bot, command.group) not in live(state, now):
        return ()
    return (e.GroupWatched(command.account, command.bot, command.group, opened, now.at, most),)


def forget(state: RiskState, command: c.ForgetGroup, now: Now) -> Events:
    """With the loser the offset is over; where a winner has closed in between, the rest is planned anew."""
    key, plan = (command.bot, command.group), state.plan
    if key not in state.watched:
        return ()
    gone = e.GroupForgotten(command.account, command.bot, command.group)
    if plan is None:
        return (gone,)
    if key == plan.loser:
        if plan.closing:
            sums = cash(plan.paid), cash(plan.lost), cash(plan.paid + plan.lost)
            return gone, e.OffsetCompleted(command.account, plan.number, *key, *sums)
        return gone, e.OffsetAbandoned(
            command.account, plan.number, *key, "LOSER_GONE", "it closed before it was paid for", cash(plan.paid),
            now.at,
        )  # fmt: skip
    if key in plan.pending:
        return gone, *go_on(evolve(state, gone), now)
    return (gone,)


def restart_timer(state: RiskState, command: c.RestartTimer, now: Now) -> Events:
    if not state.settings.reset_on_replacement or (command.bot, command.group) not in state.watched:
        return ()
    return (e.TimerRestarted(command.account, command.bot, command.group, now.at),)


def evaluate_offset(state: RiskState, _command: c.EvaluateOffset, now: Now) -> Events:
    """While an offset is under way there is no other; what should be closing and is not is counted on no longer."""
    plan = state.plan
    if plan is None:
        return evaluate(state, now, by_hand=False)
    groups = live(state, now)
    stuck = tuple(key for key in sorted(plan.pending) if is_stuck(groups.get(key)))
    dropped = tuple(e.WinnerDropped(state.account, plan.number, *key, "nothing of it is being closed") for key in stuck)
    return *dropped, *go_on(evolve(state, *dropped), now, surely=True)


def run_offset(state: RiskState, command: c.RunOffset, now: Now) -> Events:
    if not state.settings_version:
        return (_refused(command, "run", "NOT_CONFIGURED", "settings=0"),)
    if state.plan is not None:
        return (_refused(command, "run", "OFFSET_UNDER_WAY", f"offset={state.plan.number}"),)
    return evaluate(state, now, by_hand=True)


def skip_offset(state: RiskState, command: c.SkipOffset) -> Events:
    if not state.settings_version:
        return (_refused(command, "skip", "NOT_CONFIGURED", "settings=0"),)
    return () if state.skip else (e.SkipRequested(command.account),)


def block_group(state: RiskState, command: c.BlockGroup) -> Events:
    known = state.watched.get((command.bot, command.group))
    if known is None:
        return (_unknown(command, "block"),)
    return () if known.blocked else (e.GroupBlocked(command.account, command.bot, command.group),)


def unblock_group(state: RiskState, command: c.UnblockGroup) -> Events:
    known = state.watched.get((command.bot, command.group))
    if known is None:
        return (_unknown(command, "unblock"),)
    return (e.GroupUnblocked(command.account, command.bot, command.group),) if known.blocked else ()


def review_offset(state: RiskState, _command: c.ReviewOffset, now: Now) -> Events:
    return go_on(state, now)


def note_close(state: RiskState, command: c.NoteClose, now: Now) -> Events:
    """What a closing fill of the offset brought, after its fee in the quote asset; floored, so that it never says more.

    A fee in the base asset is in what was received; one in a third asset has no price here and is in the margin.
    """
    key, plan = (command.bot, command.group), state.plan
    if plan is None or not _concerns(state, key):
        return ()
    group = live(state, now).get(key)
    if group is None:
        return ()
    profit = fill_profit(group, command.cash, command.received)
    if command.fee_asset == group.instrument.quote:
        profit -= command.fee
    return (
        e.OffsetFilled(
            command.account, plan.number, "loser" if key == plan.loser else "winner", *key, command.instrument,
            command.price, command.quantity, command.remaining, cash(floor(profit)), command.fee, command.fee_asset,
        ),
    )  # fmt: skip


def note_close_end(state: RiskState, command: c.NoteCloseEnd) -> Events:
    key, plan = (command.bot, command.group), state.plan
    if plan is None or not _concerns(state, key):
        return ()
    return (e.OffsetOrderEnded(command.account, plan.number, *key, command.remaining, command.reason),)


def _concerns(state: RiskState, key: tuple[str, int]) -> bool:
    """Whether a closing order of this group is the offset's."""
    plan = state.plan
    return plan is not None and (key in plan.pending or (plan.closing and key == plan.loser))


def _refused(command: c.RunOffset | c.SkipOffset, name: str, code: str, reason: str) -> Event:
    return e.OffsetCommandRefused(command.account, name, code, reason)


def _unknown(command: c.BlockGroup | c.UnblockGroup, name: str) -> Event:
    reason = f"group {command.group} of bot {command.bot} is not live, or the offset is not configured"
    return e.OffsetCommandRefused(command.account, name, "GROUP_UNKNOWN", reason)


def rounds(state: RiskState) -> tuple[int, Command] | None:
    """It looks at every full period while it is on; what is under way is brought to its end even when it is off."""
    if not state.settings.enabled and state.plan is None:
        return None
    return state.settings.evaluate_seconds * SECOND, c.EvaluateOffset(state.account)


DECIDER = Decider(
    kind="portfolio_risk",
    key=attrgetter("account"),
    initial=RiskState,
    rules={
        c.SkipOffset: skip_offset,
        c.BlockGroup: block_group,
        c.UnblockGroup: unblock_group,
        c.NoteCloseEnd: note_close_end,
    },
    timed={
        c.ConfigureOffset: configure,
        c.WatchGroup: watch,
        c.ForgetGroup: forget,
        c.RestartTimer: restart_timer,
        c.EvaluateOffset: evaluate_offset,
        c.RunOffset: run_offset,
        c.ReviewOffset: review_offset,
        c.NoteClose: note_close,
    },
    folds=FOLDS,
    opens=frozenset({c.ConfigureOffset, c.RunOffset, c.SkipOffset, c.BlockGroup, c.UnblockGroup}),
    closed=lambda _state: False,
    rounds=rounds,
    quiet=quiet,
)
