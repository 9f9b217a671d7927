"""What a signal means to a bot: a new group, a pyramid, an exit, a reverse, a size to hold, or nothing, with the reason.

On a spot account a sell is an exit; elsewhere it is a short. A signal against the live group closes it, and opens the
other way after that where the settings say `reverse`.
"""

from decimal import Decimal

from domain.bot import events as e
from domain.bot.commands import ActOnSignal, TakeEntry
from domain.bot.sizing import size_entry, with_capital
from domain.bot.state import BotState
from domain.decider import Now
from domain.market import Instrument
from domain.message import Event
from domain.values import LARGEST, POWERS, Direction, Quantity, floor_to

Events = tuple[Event, ...]


def act(state: BotState, command: ActOnSignal) -> Events:
    """Find the signal's class and take it, or refuse it."""
    if state.status not in {"running", "paused"}:
        return (_refused(command, "BOT_NOT_RUNNING", f"status={state.status}"),)
    if command.action == "target":
        return _aim(state, command)
    if command.action == "exit" or (command.action == "sell" and state.account_kind == "spot"):
        return _exit(state, command)
    direction: Direction = "long" if command.action == "buy" else "short"
    if state.live and direction != state.direction:
        return _against(state, command, direction, None)
    return _enter(state, command, direction)


def take_entry(state: BotState, command: TakeEntry, now: Now) -> Events:
    """The pool lets a signal in: it enters, unless the bot has changed meanwhile, or it cannot be said how large."""
    settings = state.settings
    if state.status != "running":
        return (_dropped(state, command, "BOT_NOT_RUNNING", f"status={state.status}"),)
    if command.group:
        if state.live != command.group or state.pyramids >= settings.max_pyramids:
            reason = f"live={state.live}, pyramids={state.pyramids}, max_pyramids={settings.max_pyramids}"
            return (_dropped(state, command, "PYRAMID_TOO_LATE", reason),)
    elif state.live:
        return (_dropped(state, command, "GROUP_LIVE", f"group={state.live}"),)
    aim, quantity = state.aim, None
    if aim is not None and (aim.source, aim.number) == (command.source, command.number):
        quantity = Quantity(abs(aim.size))
    sized = size_entry(state, command, now) if quantity is None else None
    if isinstance(sized, tuple):
        return (_dropped(state, command, *sized),)
    before = () if sized is None else (sized,)
    settings = with_capital(state, sized)
    if command.group:
        pyramid = e.PyramidTaken(
            state.bot, state.live, state.account, command.source, command.number, command.price, settings
        )
        return *before, pyramid
    entry = e.EntryTaken(
        state.bot, state.groups + 1, state.account, command.source, command.number, command.direction,
        command.price, state.instrument, settings, quantity,
    )  # fmt: skip
    return *before, entry


def wanted(
    state: BotState, source: str, number: int, timeframe: str, direction: Direction, price: Decimal, group: int = 0
) -> e.EntryWanted:
    """Ask the account's pool."""
    return e.EntryWanted(
        state.bot, state.account, source, number, state.instrument.id, timeframe, direction, price,
        state.instrument.price_scale, group,
    )  # fmt: skip


def not_entering(state: BotState) -> tuple[str, str]:
    """Why a bot that does not run takes no entries: code and reason."""
    return "BOT_PAUSED" if state.status == "paused" else "BOT_NOT_RUNNING", f"status={state.status}"


def reverse_dropped(state: BotState, source: str, number: int, code: str, reason: str) -> e.ReverseDropped:
    """The turn that the signal was to make comes to nothing."""
    return e.ReverseDropped(state.bot, source, number, code, reason, state.account)


def _enter(state: BotState, command: ActOnSignal, direction: Direction) -> Events:
    """A new group, or a pyramid of the live one."""
    if state.status == "paused":
        return (_refused(command, "BOT_PAUSED", "status=paused"),)
    limit = state.settings.max_pyramids
    if state.live and state.pyramids >= limit:
        reason = f"group={state.live}, pyramids={state.pyramids}, max_pyramids={limit}"
        return (_refused(command, "GROUP_LIVE", reason),)
    price = _price(state.instrument, command)
    if isinstance(price, e.AlertRefused):
        return (price,)
    return (wanted(state, command.source, command.number, command.timeframe, direction, price, state.live),)


def _exit(state: BotState, command: ActOnSignal, *, turns: bool = False) -> Events:
    """What waits to enter waits no longer, and the live group closes; where `turns`, the signal waits instead."""
    heard = e.ExitWanted(
        state.bot, state.account, command.source, command.number, state.instrument.id, command.timeframe
    )
    if not state.live:
        return heard, _refused(command, "NOTHING_TO_EXIT", "live groups=0")
    held, name = state.reverse, f"{command.source}/{command.number}"
    if held is None:
        return heard, _exit_taken(state, command)
    code, reason = ("REPLACED", f"by {name}") if turns else ("REVERSE_WITHDRAWN", f"exit signal {name}")
    gone = reverse_dropped(state, held.source, held.number, code, reason)
    return heard, gone, _exit_taken(state, command)


def _against(state: BotState, command: ActOnSignal, direction: Direction, size: Quantity | None) -> Events:
    """Close the live group; the other way follows when it has closed, if that is wanted and the bot may enter."""
    if size is None and not state.settings.reverse:
        return _exit(state, command)
    if state.status != "running":
        return *_exit(state, command), reverse_dropped(state, command.source, command.number, *not_entering(state))
    price = _price(state.instrument, command)
    if isinstance(price, e.AlertRefused):
        exits = _exit(state, command)
        return *exits, reverse_dropped(state, command.source, command.number, price.code, price.reason)
    turn = e.ReverseTaken(
        state.bot, state.account, command.source, command.number, command.timeframe, direction, price, size
    )
    return *_exit(state, command, turns=True), turn


def _aim(state: BotState, command: ActOnSignal) -> Events:
    """The alert says what to hold: the difference is traded. Sizes floor to the step, towards nothing held."""
    assert command.target is not None, "the source has read it"
    instrument = state.instrument
    numerator, denominator = abs(command.target).as_integer_ratio()
    size = floor_to(numerator * POWERS[instrument.size_scale] // denominator, instrument.step)
    if not size:
        return _exit(state, command)
    if size > LARGEST:
        return (_refused(command, "SIZE_TOO_LARGE", f"target={command.target}"),)
    direction: Direction = "long" if command.target > 0 else "short"
    if direction == "short" and state.account_kind == "spot":
        return (_refused(command, "SHORT_ON_SPOT", f"target={command.target}"),)
    signed = Quantity(size if direction == "long" else -size)
    if state.live and direction != state.direction:
        return _against(state, command, direction, signed)
    if state.status == "paused":
        return (_refused(command, "BOT_PAUSED", "status=paused"),)
    price = _price(instrument, command)
    if isinstance(price, e.AlertRefused):
        return (price,)
    aim = e.AimTaken(state.bot, state.live, state.account, command.source, command.number, signed, price)
    if state.live:
        return (aim,)
    return aim, wanted(state, command.source, command.number, command.timeframe, direction, price)


def _exit_taken(state: BotState, command: ActOnSignal) -> e.ExitTaken:
    return e.ExitTaken(state.bot, state.live, state.instrument.id, command.source, command.number, command.last_close)


def _price(instrument: Instrument, command: ActOnSignal) -> Decimal | e.AlertRefused:
    """The alert's price, or else the last close."""
    price = command.price
    if price is None:
        if command.last_close is None:
            return _refused(command, "PRICE_UNKNOWN", "the alert has no price and the market has no close yet")
        price = Decimal(command.last_close).scaleb(-instrument.price_scale)
    if price * POWERS[instrument.price_scale] > LARGEST:
        return _refused(command, "PRICE_TOO_LARGE", f"price={price}")
    return price


def _refused(command: ActOnSignal, code: str, reason: str) -> e.AlertRefused:
    return e.AlertRefused(command.bot, command.source, command.number, code, reason)


def _dropped(state: BotState, command: TakeEntry, code: str, reason: str) -> e.EntryDropped:
    return e.EntryDropped(state.bot, command.source, command.number, code, reason, state.account)
