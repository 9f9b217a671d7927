"""An execution pool decides who may enter: slots are reserved while there are any, else signals wait and are ranked.

A free slot and a waiting signal are never there at once: a slot is freed by a release or by new settings, and either
decision promotes in itself. So nothing has to look again later.
"""

from operator import attrgetter

from domain.decider import Decider, Now
from domain.errors import InputError
from domain.execution_pool import commands as c
from domain.execution_pool import events as e
from domain.execution_pool.ranking import rank
from domain.execution_pool.settings import PoolSettings, check_settings
from domain.execution_pool.state import FOLDS, PoolState, SignalKey, Slot, Waiting
from domain.message import Event

Events = tuple[Event, ...]

RANKING_SHOWN = 20
"""Candidates in a promotion's ranking at most."""


def open_pool(state: PoolState, command: c.OpenPool) -> Events:
    """A pool opens once."""
    return () if state.account else (e.PoolOpened(command.account, 1, PoolSettings()),)


def configure(state: PoolState, command: c.ConfigurePool, now: Now) -> Events:
    """Settings are checked before they are recorded; a higher limit lets in at once who waits.

    They may come in the same instant as the account, before its pool has been opened.
    """
    try:
        check_settings(command.settings)
    except InputError as error:
        return (e.PoolCommandRefused(command.account, "configure", "SETTINGS_INVALID", str(error)),)
    opened = open_pool(state, c.OpenPool(command.account))
    state = _evolve(state, *opened)
    if command.settings == state.settings:
        return opened
    changed = e.PoolConfigured(command.account, state.settings_version + 1, command.settings)
    return *opened, *_promoting(state, now, changed)


def request(state: PoolState, command: c.RequestSlot) -> Events:
    """A signal asks once. An account that is older than pools gets its pool with its first request."""
    opened = open_pool(state, c.OpenPool(command.account))
    state = _evolve(state, *opened)
    key = (command.bot, command.source, command.number)
    if key in state.slots or state.find(key) is not None:
        return ()
    signal = Waiting(
        command.bot, command.source, command.number, command.instrument, command.timeframe, command.direction,
        command.price, command.price_scale, command.group, state.places + 1,
    )  # fmt: skip
    if command.group and not state.settings.count_pyramids_toward_pool:
        return *opened, _exempted(state, signal)
    return *opened, _reserved(state, signal) if state.free else _queued(state, signal)


def assign(state: PoolState, command: c.AssignSlot) -> Events:
    slot = state.slots.get((command.bot, command.source, command.number))
    if slot is None or slot.group == command.group:
        return ()
    return (e.SlotAssigned(command.account, command.bot, command.source, command.number, command.group),)


def release(state: PoolState, command: c.ReleaseSlot, now: Now) -> Events:
    key = (command.bot, command.source, command.number)
    slot = state.slots.get(key)
    return () if slot is None else _promoting(state, now, _released(state, key, slot, command.reason, 1))


def release_group(state: PoolState, command: c.ReleaseGroupSlots, now: Now) -> Events:
    """All that the group had: its entry's slot, and those of its pyramids where they count."""
    mine = (command.bot, command.group)
    over = [(key, slot) for key, slot in state.slots.items() if (key[0], slot.group) == mine]
    freed = (_released(state, key, slot, command.reason, count) for count, (key, slot) in enumerate(over, 1))
    return _promoting(state, now, *freed)


def expire(state: PoolState, command: c.ExpireSignal) -> Events:
    """Its timer comes even where the signal has long been promoted or replaced."""
    signal = state.find((command.bot, command.source, command.number))
    if signal is None:
        return ()
    return (
        e.SignalExpired(
            state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe,
            state.settings_version,
        ),
    )  # fmt: skip


def remove_on_exit(state: PoolState, command: c.RemoveOnExit) -> Events:
    signal = state.waiting.get((command.instrument, command.timeframe))
    return () if signal is None else (_removed(state, signal, f"exit signal {command.source}/{command.number}"),)


def remove_of_bot(state: PoolState, command: c.RemoveOfBot) -> Events:
    return tuple(
        _removed(state, signal, "bot deleted") for signal in state.waiting.values() if signal.bot == command.bot
    )


def promote(state: PoolState, command: c.PromoteSignal) -> Events:
    """No slot is free while something waits, and none is taken from a group: the signal gets the next one."""
    signal = state.find((command.bot, command.source, command.number))
    if signal is None:
        return (_not_waiting(command, "promote"),)
    if signal.preferred and signal.preferred == state.preferences:
        return ()
    return (
        e.SignalPreferred(
            state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe,
            state.preferences + 1, state.settings_version,
        ),
    )  # fmt: skip


def remove(state: PoolState, command: c.RemoveSignal) -> Events:
    signal = state.find((command.bot, command.source, command.number))
    return (_not_waiting(command, "remove") if signal is None else _removed(state, signal, command.reason),)


def _promoting(state: PoolState, now: Now, *happened: Event) -> Events:
    """What happened, and who comes in on what it freed, each ranked against those who are left."""
    state = _evolve(state, *happened)
    events = list(happened)
    while state.free and state.waiting:
        ranking = rank(state, now.marks)
        signal = state.waiting[ranking[0].instrument, ranking[0].timeframe]
        promoted = e.SignalPromoted(
            state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe,
            len(ranking), tuple(ranking[:RANKING_SHOWN]), state.settings_version,
        )  # fmt: skip
        step = promoted, _reserved(state, signal)
        state = _evolve(state, *step)
        events += step
    return tuple(events)


def _queued(state: PoolState, signal: Waiting) -> Event:
    """At the end of the queue, or in the place of what waits there for the same instrument and timeframe."""
    older = state.waiting.get((signal.instrument, signal.timeframe))
    expiry = state.settings.queue_expiry_minutes
    if older is None:
        return e.SignalQueued(
            state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe,
            signal.direction, signal.price, signal.price_scale, signal.group, signal.place, expiry,
            state.settings_version,
        )  # fmt: skip
    preferred = older.preferred if older.direction == signal.direction else 0
    return e.QueuedSignalReplaced(
        state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe,
        signal.direction, signal.price, signal.price_scale, signal.group, older.place, preferred,
        older.replacements + 1, older.bot, older.source, older.number, expiry, state.settings_version,
    )  # fmt: skip


def _reserved(state: PoolState, signal: Waiting) -> Event:
    return e.SlotReserved(
        state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe, signal.direction,
        signal.price, signal.group, len(state.slots) + 1, state.settings_version,
    )  # fmt: skip


def _exempted(state: PoolState, signal: Waiting) -> Event:
    return e.SlotExempted(
        state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe, signal.direction,
        signal.price, signal.group, state.settings_version,
    )  # fmt: skip


def _released(state: PoolState, key: SignalKey, slot: Slot, reason: str, count: int) -> Event:
    """`count` slots are free with this one that were not before the decision."""
    return e.SlotReleased(state.account, *key, slot.group, reason, len(state.slots) - count, state.settings_version)


def _removed(state: PoolState, signal: Waiting, reason: str) -> Event:
    return e.SignalRemoved(
        state.account, signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe, reason,
        state.settings_version,
    )  # fmt: skip


def _not_waiting(command: c.PromoteSignal | c.RemoveSignal, name: str) -> Event:
    reason = f"signal {command.source}/{command.number} of bot {command.bot} does not wait"
    return e.PoolCommandRefused(command.account, name, "NOT_WAITING", reason)


def _evolve(state: PoolState, *happened: Event) -> PoolState:
    for event in happened:
        state = FOLDS[type(event)](state, event)
    return state


DECIDER = Decider(
    kind="execution_pool",
    key=attrgetter("account"),
    initial=PoolState,
    rules={
        c.OpenPool: open_pool,
        c.RequestSlot: request,
        c.AssignSlot: assign,
        c.ExpireSignal: expire,
        c.RemoveOnExit: remove_on_exit,
        c.RemoveOfBot: remove_of_bot,
        c.PromoteSignal: promote,
        c.RemoveSignal: remove,
    },
    timed={c.ConfigurePool: configure, c.ReleaseSlot: release, c.ReleaseGroupSlots: release_group},
    folds=FOLDS,
    opens=frozenset({c.OpenPool, c.ConfigurePool, c.RequestSlot}),
    closed=lambda _state: False,
    settles=frozenset(),
)
