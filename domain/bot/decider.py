"""A bot decides what a signal means: a new group, an exit, or nothing, with the reason."""

from decimal import Decimal

from msgspec import Struct, structs

from domain.account.events import AccountKind
from domain.bot import events as e
from domain.bot.commands import ActOnSignal, CreateBot, ReleaseGroup
from domain.bot.settings import GroupSettings
from domain.decider import Decider
from domain.market import Instrument
from domain.message import Event
from domain.values import LARGEST, POWERS, Direction


class BotState(Struct, frozen=True):
    """A bot and its live group (0 where there is none)."""

    bot: str
    account: str
    account_kind: AccountKind
    instrument: Instrument
    settings: GroupSettings
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
    if command.action == "exit" or (command.action == "sell" and state.account_kind == "spot"):
        if not state.live:
            return (_refused(command, "NOTHING_TO_EXIT", "live groups=0"),)
        return (
            e.ExitTaken(
                command.bot, state.live, state.instrument.id, command.source, command.number, command.last_close
            ),
        )
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


def entered(state: BotState, event: e.EntryTaken) -> BotState:
    return structs.replace(state, groups=event.group, live=event.group)


def released(state: BotState, _event: e.GroupReleased) -> BotState:
    return structs.replace(state, live=0)


def unchanged(state: BotState, _event: Event) -> BotState:
    return state


DECIDER = Decider(
    kind="bot",
    key=lambda command: command.bot,
    initial=lambda: None,
    rules={CreateBot: create, ActOnSignal: act, ReleaseGroup: release},
    folds={
        e.BotCreated: created,
        e.EntryTaken: entered,
        e.ExitTaken: unchanged,
        e.AlertRefused: unchanged,
        e.GroupReleased: released,
    },
    opens=frozenset({CreateBot}),
    closed=lambda _state: False,
)
