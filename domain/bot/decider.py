"""A bot decides: its life, and what becomes of signals and of its group."""

from operator import attrgetter

from msgspec import structs

from domain.bot import events as e
from domain.bot.commands import (
    ActOnSignal,
    CloseGroup,
    ConfigureBot,
    CreateBot,
    DeleteBot,
    PauseBot,
    ReleaseGroup,
    ResumeBot,
    StartBot,
    StopBot,
    TakeEntry,
)
from domain.bot.settings import check_settings
from domain.bot.signals import act, not_entering, reverse_dropped, take_entry, wanted
from domain.bot.state import BotState
from domain.decider import Decider, Rule
from domain.errors import InputError
from domain.message import Command, Event


def create(state: BotState | None, command: CreateBot) -> tuple[Event, ...]:
    """A bot is created once; the name of one that was deleted may be used again."""
    if state is not None and state.status != "deleted":
        return ()
    return (
        e.BotCreated(
            command.bot, command.account, command.account_kind, command.strategy, command.instrument, command.settings
        ),
    )


def release(state: BotState, command: ReleaseGroup) -> tuple[Event, ...]:
    """The live group has closed; a signal that reversed it asks to enter now."""
    if state.live != command.group:
        return ()
    gone = e.GroupReleased(command.bot, command.group, state.account)
    held = state.reverse
    if held is None:
        return (gone,)
    if state.status != "running":
        return gone, reverse_dropped(state, held.source, held.number, *not_entering(state))
    return gone, wanted(state, held.source, held.number, held.timeframe, held.direction, held.price)


def configure(state: BotState, command: ConfigureBot) -> tuple[Event, ...]:
    """Settings are checked before they are recorded; what they were stays on the log."""
    try:
        check_settings(command.settings)
    except InputError as error:
        return (e.CommandRefused(command.bot, "configure", "SETTINGS_INVALID", str(error)),)
    return () if command.settings == state.settings else (e.BotConfigured(command.bot, command.settings),)


def start(state: BotState, command: StartBot) -> tuple[Event, ...]:
    allowed = state.status in {"created", "stopped"}
    return (e.BotStarted(command.bot),) if allowed else _not_now(state, "start")


def pause(state: BotState, command: PauseBot) -> tuple[Event, ...]:
    return (e.BotPaused(command.bot),) if state.status == "running" else _not_now(state, "pause")


def resume(state: BotState, command: ResumeBot) -> tuple[Event, ...]:
    return (e.BotResumed(command.bot),) if state.status == "paused" else _not_now(state, "resume")


def stop(state: BotState, command: StopBot) -> tuple[Event, ...]:
    allowed = state.status in {"running", "paused"}
    return (e.BotStopped(command.bot),) if allowed else _not_now(state, "stop")


def delete(state: BotState, command: DeleteBot) -> tuple[Event, ...]:
    """Only what neither acts nor holds can go."""
    if state.live:
        reason = f"group {state.live} is live: close it first"
        return (e.CommandRefused(command.bot, "delete", "GROUP_LIVE", reason),)
    allowed = state.status in {"created", "stopped"}
    return (e.BotDeleted(command.bot, state.account),) if allowed else _not_now(state, "delete")


def close_group(state: BotState, command: CloseGroup) -> tuple[Event, ...]:
    if not state.live:
        return (e.CommandRefused(command.bot, "close_group", "NOTHING_TO_CLOSE", "live groups=0"),)
    return (e.CloseTaken(command.bot, state.live, state.instrument.id, command.last_close),)


def _unless_deleted(rule: Rule) -> Rule:
    """What still addresses a deleted bot finds nobody."""

    def decide(state: BotState, command: Command) -> tuple[Event, ...]:
        return () if state.status == "deleted" else rule(state, command)

    return decide


def _not_now(state: BotState, command: str) -> tuple[Event, ...]:
    return (e.CommandRefused(state.bot, command, "STATUS_WRONG", f"status={state.status}"),)


def created(state: BotState | None, event: e.BotCreated) -> BotState:
    """Under a name that was used before, groups are counted on: bot and group name one group for good."""
    groups = 0 if state is None else state.groups
    return BotState(event.bot, event.account, event.account_kind, event.instrument, event.settings, groups=groups)


def configured(state: BotState, event: e.BotConfigured) -> BotState:
    return structs.replace(state, settings=event.settings)


def running(state: BotState, _event: e.BotStarted | e.BotResumed) -> BotState:
    return structs.replace(state, status="running")


def paused(state: BotState, _event: e.BotPaused) -> BotState:
    return structs.replace(state, status="paused")


def stopped(state: BotState, _event: e.BotStopped) -> BotState:
    return structs.replace(state, status="stopped")


def deleted(state: BotState, _event: e.BotDeleted) -> BotState:
    return structs.replace(state, status="deleted")


def entered(state: BotState, event: e.EntryTaken) -> BotState:
    groups = max(state.groups, event.group)
    return structs.replace(state, groups=groups, live=event.group, direction=event.direction, pyramids=1, aim=None)


def pyramid_taken(state: BotState, _event: e.PyramidTaken) -> BotState:
    return structs.replace(state, pyramids=state.pyramids + 1)


def aim_taken(state: BotState, event: e.AimTaken) -> BotState:
    return state if event.group else structs.replace(state, aim=event)


def reverse_taken(state: BotState, event: e.ReverseTaken) -> BotState:
    return structs.replace(state, reverse=event)


def exit_wanted(state: BotState, _event: e.ExitWanted) -> BotState:
    """A signal that waits to reverse waits no longer."""
    return state if state.reverse is None else structs.replace(state, reverse=None)


def released(state: BotState, _event: e.GroupReleased) -> BotState:
    """The size that a reversing alert named is what the next entry aims at."""
    held, aim = state.reverse, None
    if held is not None and held.size is not None:
        aim = e.AimTaken(held.bot, 0, held.account, held.source, held.number, held.size, held.price)
    return structs.replace(state, live=0, pyramids=0, reverse=None, aim=aim)


def unchanged(state: BotState, _event: Event) -> BotState:
    return state


DECIDER = Decider(
    kind="bot",
    key=attrgetter("bot"),
    initial=lambda: None,
    rules={
        CreateBot: create,
        ConfigureBot: _unless_deleted(configure),
        StartBot: _unless_deleted(start),
        PauseBot: _unless_deleted(pause),
        ResumeBot: _unless_deleted(resume),
        StopBot: _unless_deleted(stop),
        DeleteBot: _unless_deleted(delete),
        CloseGroup: _unless_deleted(close_group),
        ActOnSignal: act,  # of a deleted bot too: its sources may still deliver, and every signal is answered
        ReleaseGroup: _unless_deleted(release),
    },
    timed={TakeEntry: take_entry},  # of a deleted bot too: it gives its slot back
    folds={
        e.BotCreated: created,
        e.BotConfigured: configured,
        e.BotStarted: running,
        e.BotResumed: running,
        e.BotPaused: paused,
        e.BotStopped: stopped,
        e.BotDeleted: deleted,
        e.CommandRefused: unchanged,
        e.EntrySized: unchanged,
        e.EntryTaken: entered,
        e.EntryWanted: unchanged,
        e.EntryDropped: unchanged,
        e.PyramidTaken: pyramid_taken,
        e.AimTaken: aim_taken,
        e.ReverseTaken: reverse_taken,
        e.ReverseDropped: unchanged,
        e.ExitWanted: exit_wanted,
        e.ExitTaken: unchanged,
        e.CloseTaken: unchanged,
        e.AlertRefused: unchanged,
        e.GroupReleased: released,
    },
    opens=frozenset({CreateBot}),
    closed=lambda _state: False,  # a deleted bot's count of groups is needed by the next of its name
    settles=frozenset(),
)
