"""A running strategy decides: what its code wants becomes an event, and what its code may not do ends it."""

from operator import attrgetter
from typing import Literal

import msgspec
from msgspec import Struct, structs

from domain.account.state import AccountState
from domain.decider import Decider, Now
from domain.errors import InputError
from domain.market import Instrument
from domain.message import Event
from domain.strategy import commands as c
from domain.strategy import events as e
from domain.strategy.feature import Values
from domain.strategy.intents import CLOSE, Cancel, Close, Intent, Place
from domain.strategy.plugin import FLAT, Act, Bounds, View, feature_names
from domain.strategy.registry import memory_of, parameters_of, read_parameters
from domain.values import LARGEST, Price, Quantity, Side, floor_to

Status = Literal["running", "paused", "failed"]
NO_PRICE = Price(0)
EVERY_CANDLE: Bounds = (LARGEST, 0)
NOTHING = b""
"""The memory of one that begins anew."""


class StrategyState(Struct, frozen=True):
    """A strategy that runs under a bot's name, with its parameters as JSON and its memory as MessagePack.

    `closing`: what it holds is to be closed as soon as none of its orders works. `code` is the digest of what decides.
    """

    bot: str = ""
    account: str = ""
    instrument: Instrument | None = None
    strategy: str = ""
    parameters: str = ""
    memory: bytes | None = None
    status: Status = "running"
    closing: bool = False
    code: str = ""


def start(state: StrategyState, command: c.StartStrategy) -> tuple[Event, ...]:
    """A bot's name stands for one strategy, for good."""
    if state.bot:
        return (e.StrategyRefused(command.bot, "start", "STATUS_WRONG", f"status={state.status}"),)
    try:
        names = _names(command.strategy, command.parameters, command.instrument)
    except InputError as error:
        return (e.StrategyRefused(command.bot, "start", "PARAMETERS_INVALID", str(error)),)
    return (
        e.StrategyStarted(
            command.bot, command.account, command.strategy, command.code, command.instrument, command.parameters, names
        ),
    )


def configure(state: StrategyState, command: c.ConfigureStrategy) -> tuple[Event, ...]:
    try:
        names = _names(state.strategy, command.parameters, state.instrument)
    except InputError as error:
        return (e.StrategyRefused(command.bot, "configure", "PARAMETERS_INVALID", str(error)),)
    return (e.StrategyConfigured(command.bot, command.code, command.parameters, names),)


def _names(name: str, text: str, instrument: Instrument | None) -> tuple[str, ...]:
    """The names of its features; raises InputError where the parameters make no sense."""
    try:
        strategy, parameters = parameters_of(name, text)
    except msgspec.MsgspecError as error:
        raise InputError(f"parameters of {name}: {error}") from None
    read_parameters(strategy, structs.asdict(parameters), instrument)
    try:
        return feature_names(strategy.features(parameters))
    except Exception as error:
        raise InputError(f"features of {name}: {type(error).__name__}: {error}") from error


def pause(state: StrategyState, command: c.PauseStrategy) -> tuple[Event, ...]:
    return (e.StrategyPaused(command.bot),) if state.status == "running" else _not_now(state, "pause")


def resume(state: StrategyState, command: c.ResumeStrategy, now: Now) -> tuple[Event, ...]:
    """Not while trading is halted: what it would place anew would all be denied."""
    if state.status == "running":
        return _not_now(state, "resume")
    account = now.account(state.account)
    scope = next((scope for scope in ("", state.bot) if account is not None and scope in account.halted), None)
    if scope is not None:
        reason = f"scope={scope or 'account'}, halt={account.halted[scope].number}; resume trading first"
        return (e.StrategyRefused(state.bot, "resume", "TRADING_HALTED", reason),)
    return (e.StrategyResumed(command.bot),)


def fail(state: StrategyState, command: c.FailStrategy) -> tuple[Event, ...]:
    return (e.StrategyFailed(state.bot, state.account, command.error),) if state.status == "running" else ()


def _not_now(state: StrategyState, command: str) -> tuple[Event, ...]:
    return (e.StrategyRefused(state.bot, command, "STATUS_WRONG", f"status={state.status}"),)


def consider(state: StrategyState, command: c.Consider, now: Now) -> tuple[Event, ...]:
    """Ask it at a candle's close; mostly it wants nothing, and nothing is recorded."""
    account = now.account(state.account)
    if state.status != "running" or state.closing or account is None:
        return ()
    try:
        strategy, parameters = parameters_of(state.strategy, state.parameters)
        view = _view(state, command.values, account, now)
        if not view.features and feature_names(strategy.features(parameters)):
            return _failed(state, InputError("its features cannot be computed"))
        act = strategy.on_candle(parameters, view)
        return () if act is None else _acted(state, act, view, 0)
    except Exception as error:  # noqa: BLE001  (whatever a strategy's code does, the loop goes on without it)
        return _failed(state, error)


def hear_fill(state: StrategyState, command: c.HearFill, now: Now) -> tuple[Event, ...]:
    """Ask it what to do about a fill, if it cares for any."""
    if state.closing:
        return _settled(state, now)
    account = now.account(state.account)
    if state.status != "running" or account is None:
        return ()
    try:
        strategy, parameters = parameters_of(state.strategy, state.parameters)
        if strategy.on_fill is None:
            return ()
        fill, view = command.fill, _view(state, (), account, now)
        act = strategy.on_fill(parameters, view, fill)
        return () if act is None else _acted(state, act, view, fill.order)
    except Exception as error:  # noqa: BLE001  (as in `consider`)
        return _failed(state, error)


def close(state: StrategyState, command: c.CloseStrategy, now: Now) -> tuple[Event, ...]:
    """What rests goes, what it holds is closed, and what it remembers is forgotten: it was about what is gone now."""
    account = now.account(state.account)
    if account is None:
        return ()
    act = _event(state, Act((CLOSE,), reason=command.reason or "close"), _outside(state, account, now), 0)
    paused = (e.StrategyPaused(state.bot),) if state.status == "running" else ()
    return *paused, structs.replace(act, memory=NOTHING)


def settle_close(state: StrategyState, _command: c.SettleClose, now: Now) -> tuple[Event, ...]:
    return _settled(state, now) if state.closing else ()


def _settled(state: StrategyState, now: Now) -> tuple[Event, ...]:
    """Orders that work hold back what they would sell: so the close waits for their end.

    A spot account is never short: a strategy that has sold what others held has nothing to close there.
    """
    account = now.account(state.account)
    if account is None:
        return ()
    view = _outside(state, account, now)
    if view.is_working():
        return ()
    held, instrument = view.position, view.instrument
    whole = Quantity(floor_to(abs(held), instrument.step))
    side: Side = "sell" if held > 0 else "buy"
    closes = whole and (held > 0 or account.kind == "margin")
    intents: tuple[Intent, ...] = (Place(side, "market", whole, reduce_only=True),) if closes else ()
    return (_event(state, Act(intents, reason="closed"), view, 0),)


def _outside(state: StrategyState, account: AccountState, now: Now) -> View:
    """What closing needs: nothing of its code, which may be gone, nor of what it remembers."""
    return _view(structs.replace(state, memory=None), (), account, now)


def _view(state: StrategyState, values: Values, account: AccountState, now: Now) -> View:
    bot, instrument, memory = state.bot, state.instrument, state.memory
    assert instrument is not None, "a strategy was started on an instrument"
    name = instrument.id
    remembered = None if memory is None else memory_of(state.strategy, memory)
    close, book = now.marks.get(name, NO_PRICE), account.books.get((bot, name), FLAT)
    return View(now.at, bot, instrument, close, values, remembered, account, book)


def _acted(state: StrategyState, act: Act, view: View, order: int) -> tuple[Event, ...]:
    """A strategy's code may hand over anything: what is no whole number of quanta is no order."""
    for intent in act.intents:
        if type(intent) is Place:
            quantity, limit = intent.quantity, intent.limit
            if type(quantity) is not int or not 0 < quantity <= LARGEST:
                raise InputError(f"quantity {quantity!r} is no positive number of quanta")
            if limit is not None:
                _check_price(limit)
            if intent.stop is not None:
                _check_price(intent.stop)
        elif type(intent) is not Cancel and type(intent) is not Close:
            raise InputError(f"{intent!r} is neither Place nor Cancel nor Close")
    return (_event(state, act, view, order),)


def _check_price(price: object) -> None:
    if type(price) is not int or not 0 < price <= LARGEST:
        raise InputError(f"price {price!r} is no positive number of quanta")


def _event(state: StrategyState, act: Act, view: View, order: int) -> e.StrategyActed:
    memory = None if act.memory is None else msgspec.msgpack.encode(act.memory)
    return e.StrategyActed(
        state.bot, state.account, view.instrument.id, view.close, Quantity(view.book.quantity), view.features,
        act.intents, order, memory, act.reason,
    )  # fmt: skip


def _failed(state: StrategyState, error: Exception) -> tuple[Event, ...]:
    return (e.StrategyFailed(state.bot, state.account, f"{type(error).__name__}: {error}"[:500]),)


def watch_of(state: StrategyState) -> Bounds | None:
    """At which prices it wants to be asked, beside the candles that its features name."""
    if state.status != "running":
        return None
    try:
        strategy, parameters = parameters_of(state.strategy, state.parameters)
        if strategy.watch is None:
            return None
        return strategy.watch(parameters, memory_of(state.strategy, state.memory))
    except Exception:  # noqa: BLE001  (history cannot fail: whoever cannot say is asked at the next candle, and fails there)
        return EVERY_CANDLE


def started(_state: StrategyState, event: e.StrategyStarted) -> StrategyState:
    return StrategyState(
        event.bot, event.account, event.instrument, event.strategy, event.parameters, code=event.code
    )  # fmt: skip


def configured(state: StrategyState, event: e.StrategyConfigured) -> StrategyState:
    return structs.replace(state, parameters=event.parameters, code=event.code)


def acted(state: StrategyState, event: e.StrategyActed) -> StrategyState:
    closing = CLOSE in event.intents
    if event.memory is None:
        return state if closing is state.closing else structs.replace(state, closing=closing)
    return structs.replace(state, memory=event.memory or None, closing=closing)


def paused(state: StrategyState, _event: e.StrategyPaused) -> StrategyState:
    return structs.replace(state, status="paused")


def resumed(state: StrategyState, _event: e.StrategyResumed) -> StrategyState:
    return structs.replace(state, status="running")


def failed(state: StrategyState, _event: e.StrategyFailed) -> StrategyState:
    return structs.replace(state, status="failed")


def unchanged(state: StrategyState, _event: Event) -> StrategyState:
    return state


DECIDER = Decider(
    kind="strategy",
    key=attrgetter("bot"),
    initial=StrategyState,
    rules={
        c.StartStrategy: start,
        c.ConfigureStrategy: configure,
        c.PauseStrategy: pause,
        c.FailStrategy: fail,
    },
    timed={
        c.Consider: consider,
        c.HearFill: hear_fill,
        c.ResumeStrategy: resume,
        c.CloseStrategy: close,
        c.SettleClose: settle_close,
    },
    folds={
        e.StrategyStarted: started,
        e.StrategyConfigured: configured,
        e.StrategyActed: acted,
        e.StrategyPaused: paused,
        e.StrategyResumed: resumed,
        e.StrategyFailed: failed,
        e.StrategyRefused: unchanged,
    },
    opens=frozenset({c.StartStrategy}),
    closed=lambda _state: False,
    settles=frozenset({e.StrategyStarted, e.StrategyConfigured, e.StrategyPaused, e.StrategyResumed, e.StrategyFailed}),
)
