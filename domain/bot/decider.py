"""A bot decides what a signal means: a new group, an exit, or nothing, with the reason."""

from decimal import Decimal
from operator import attrgetter
from typing import Literal

from msgspec import Struct, structs

from domain.account.events import AccountKind
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
)
from domain.bot.settings import GroupSettings, check_settings
from domain.decider import Decider
from domain.errors import InputError
from domain.market import Instrument
from domain.message import Event
from domain.values import LARGEST, POWERS, Direction

Status = Literal["created", "running", "paused", "stopped", "deleted"]


class BotState(Struct, frozen=True):
    """A bot, what it is doing, and its live group (0 where there is none)."""

    bot: str
    account: str
    account_kind: AccountKind
    instrument: Instrument
    settings: GroupSettings
    status: Status = "created"
    groups: int = 0
    live: int = 0


def create(state: BotState | None, command: CreateBot) -> tuple[Event, ...]:
    """A bot is created once."""
    if state is not None:
        return ()
    return (
        e.BotCreated(
            command.bot, command.account, command.account_kind, command.strategy, command.instrument, command.settings
        ),
    )


def act(state: BotState, command: ActOnSignal) -> tuple[Event, ...]:
    """On a spot account a sell is an exit; elsewhere it opens a short."""
    if state.status not in {"running", "paused"}:
        return (_refused(command, "BOT_NOT_RUNNING", f"status={state.status}"),)
    if command.action == "exit" or (command.action == "sell" and state.account_kind == "spot"):
        if not state.live:
            return (_refused(command, "NOTHING_TO_EXIT", "live groups=0"),)
        return (
            e.ExitTaken(
                command.bot, state.live, state.instrument.id, command.source, command.number, command.last_close
            ),
        )
    if state.status == "paused":
        return (_refused(command, "BOT_PAUSED", "status=paused"),)
    if state.live:
        limit = state.settings.max_pyramids
        return (_refused(command, "GROUP_LIVE", f"group={state.live}, pyramids={limit}, max_pyramids={limit}"),)
    price = _price(state.instrument, command)
    if price is None:
        return (_refused(command, "PRICE_UNKNOWN", "the alert has no price and the market has no close yet"),)
    if price * POWERS[state.instrument.price_scale] > LARGEST:
        return (_refused(command, "PRICE_TOO_LARGE", f"price={price}"),)
    direction: Direction = "long" if command.action == "buy" else "short"
    return (
        e.EntryTaken(
            command.bot, state.groups + 1, state.account, command.source, command.number, direction, price,
            state.instrument, state.settings,
        ),
    )  # fmt: skip


def release(state: BotState, command: ReleaseGroup) -> tuple[Event, ...]:
    return (e.GroupReleased(command.bot, command.group),) if state.live == command.group else ()


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
    return (e.BotDeleted(command.bot),) if allowed else _not_now(state, "delete")


def close_group(state: BotState, command: CloseGroup) -> tuple[Event, ...]:
    if not state.live:
        return (e.CommandRefused(command.bot, "close_group", "NOTHING_TO_CLOSE", "live groups=0"),)
    return (e.CloseTaken(command.bot, state.live, state.instrument.id, command.last_close),)


def _not_now(state: BotState, command: str) -> tuple[Event, ...]:
    return (e.CommandRefused(state.bot, command, "STATUS_WRONG", f"status={state.status}"),)


def _price(instrument: Instrument, command: ActOnSignal) -> Decimal | None:
    """The alert's price, or else the last close."""
    if command.price is not None:
        return command.price
    if command.last_close is None:
        return None
    return Decimal(command.last_close).scaleb(-instrument.price_scale)


def _refused(command: ActOnSignal, code: str, reason: str) -> e.AlertRefused:
    return e.AlertRefused(command.bot, command.source, command.number, code, reason)


def created(_state: BotState | None, event: e.BotCreated) -> BotState:
    return BotState(event.bot, event.account, event.account_kind, event.instrument, event.settings)


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
    return structs.replace(state, groups=event.group, live=event.group)


def released(state: BotState, _event: e.GroupReleased) -> BotState:
    return structs.replace(state, live=0)


def unchanged(state: BotState, _event: Event) -> BotState:
    return state


DECIDER = Decider(
    kind="bot",
    key=attrgetter("bot"),
    initial=lambda: None,
    rules={
        CreateBot: create,
        ConfigureBot: configure,
        StartBot: start,
        PauseBot: pause,
        ResumeBot: resume,
        StopBot: stop,
        DeleteBot: delete,
        CloseGroup: close_group,
        ActOnSignal: act,
        ReleaseGroup: release,
    },
    folds={
        e.BotCreated: created,
        e.BotConfigured: configured,
        e.BotStarted: running,
        e.BotResumed: running,
        e.BotPaused: paused,
        e.BotStopped: stopped,
        e.BotDeleted: deleted,
        e.CommandRefused: unchanged,
        e.EntryTaken: entered,
        e.ExitTaken: unchanged,
        e.CloseTaken: unchanged,
        e.AlertRefused: unchanged,
        e.GroupReleased: released,
    },
    opens=frozenset({CreateBot}),
    closed=lambda state: state.status == "deleted",
)
