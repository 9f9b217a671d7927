"""The pool's state: slots in use, signals that wait, and the folds that keep them."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct, field, structs

from domain.execution_pool import events as e
from domain.execution_pool.settings import PoolSettings
from domain.message import Event
from domain.values import Direction, InstrumentId

SignalKey = tuple[str, str, int]
"""(bot, source, number)"""
Place = tuple[InstrumentId, str]
"""(instrument, timeframe): one signal may wait at each."""


class Slot(Struct, frozen=True):
    """A slot in use: of an entry that is under way where `group` is 0, else of that group."""

    instrument: InstrumentId
    timeframe: str
    direction: Direction
    group: int


class Waiting(Struct, frozen=True):
    """A signal that waits; `place` is the order in which its instrument and timeframe came to wait."""

    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    direction: Direction
    price: Decimal
    price_scale: int
    group: int
    place: int
    replacements: int = 0
    preferred: int = 0


class PoolState(Struct, frozen=True):
    """The pool of an account. `places` and `preferences` are the last numbers given."""

    account: str = ""
    settings_version: int = 0
    settings: PoolSettings = PoolSettings()
    slots: Mapping[SignalKey, Slot] = field(default_factory=dict)
    waiting: Mapping[Place, Waiting] = field(default_factory=dict)
    places: int = 0
    preferences: int = 0

    @property
    def free(self) -> bool:
        """Whether a slot is."""
        return len(self.slots) < self.settings.max_open_groups

    def find(self, key: SignalKey) -> Waiting | None:
        """The signal, if it waits."""
        return next((each for each in self.waiting.values() if (each.bot, each.source, each.number) == key), None)


def settings_set(state: PoolState, event: e.PoolOpened | e.PoolConfigured) -> PoolState:
    return structs.replace(
        state, account=event.account, settings_version=event.settings_version, settings=event.settings
    )


def reserved(state: PoolState, event: e.SlotReserved) -> PoolState:
    slot = Slot(event.instrument, event.timeframe, event.direction, event.group)
    return structs.replace(state, slots={**state.slots, (event.bot, event.source, event.number): slot})


def assigned(state: PoolState, event: e.SlotAssigned) -> PoolState:
    key = (event.bot, event.source, event.number)
    slot = structs.replace(state.slots[key], group=event.group)
    return structs.replace(state, slots={**state.slots, key: slot})


def released(state: PoolState, event: e.SlotReleased) -> PoolState:
    gone = (event.bot, event.source, event.number)
    return structs.replace(state, slots={key: slot for key, slot in state.slots.items() if key != gone})


def queued(state: PoolState, event: e.SignalQueued) -> PoolState:
    signal = Waiting(
        event.bot, event.source, event.number, event.instrument, event.timeframe, event.direction, event.price,
        event.price_scale, event.group, event.place,
    )  # fmt: skip
    return structs.replace(_with(state, signal), places=event.place)


def replaced(state: PoolState, event: e.QueuedSignalReplaced) -> PoolState:
    signal = Waiting(
        event.bot, event.source, event.number, event.instrument, event.timeframe, event.direction, event.price,
        event.price_scale, event.group, event.place, event.replacements, event.preferred,
    )  # fmt: skip
    return _with(state, signal)


def preferred(state: PoolState, event: e.SignalPreferred) -> PoolState:
    signal = structs.replace(state.waiting[event.instrument, event.timeframe], preferred=event.preferred)
    return structs.replace(_with(state, signal), preferences=event.preferred)


def left(state: PoolState, event: e.SignalPromoted | e.SignalExpired | e.SignalRemoved) -> PoolState:
    gone = (event.instrument, event.timeframe)
    return structs.replace(state, waiting={key: signal for key, signal in state.waiting.items() if key != gone})


def unchanged(state: PoolState, _event: Event) -> PoolState:
    return state


def _with(state: PoolState, signal: Waiting) -> PoolState:
    return structs.replace(state, waiting={**state.waiting, (signal.instrument, signal.timeframe): signal})


FOLDS: Mapping[type[Event], Callable[[Any, Any], PoolState]] = {
    e.PoolOpened: settings_set,
    e.PoolConfigured: settings_set,
    e.PoolCommandRefused: unchanged,
    e.SlotReserved: reserved,
    e.SlotExempted: unchanged,
    e.SlotAssigned: assigned,
    e.SlotReleased: released,
    e.SignalQueued: queued,
    e.QueuedSignalReplaced: replaced,
    e.SignalPreferred: preferred,
    e.SignalPromoted: left,
    e.SignalExpired: left,
    e.SignalRemoved: left,
}
