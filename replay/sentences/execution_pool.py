"""What happens to an execution pool and its queue, in words."""

from collections.abc import Mapping

from domain.execution_pool import events as e
from domain.execution_pool.settings import PoolSettings
from domain.message import Event
from domain.values import MINUTE
from replay.sentences.units import Sentence, Units, number, plural, span


def _settings(settings: PoolSettings) -> str:
    expiry = settings.queue_expiry_minutes
    waits = (
        "a signal waits for as long as it takes" if expiry is None else f"a signal waits for {span(expiry * MINUTE)}"
    )
    counted = "pyramids count" if settings.count_pyramids_toward_pool else "pyramids take no slot"
    return f"{plural(settings.max_open_groups, 'slot')}, {counted}, {waits}"


def _opened(event: e.PoolOpened, units: Units) -> str:
    return f"account {event.account} has a pool: {_settings(event.settings)}"


def _configured(event: e.PoolConfigured, units: Units) -> str:
    return f"the pool of {event.account} has settings version {event.settings_version}: {_settings(event.settings)}"


def _command_refused(event: e.PoolCommandRefused, units: Units) -> str:
    return f"the pool refuses to {event.command}, {event.code}: {event.reason}"


def _reserved(event: e.SlotReserved, units: Units) -> str:
    return f"a slot for {_signal(event)}, with it {plural(event.reserved, 'slot')} in use"


def _exempted(event: e.SlotExempted, units: Units) -> str:
    return f"{_signal(event)} adds to group {event.bot}/{event.group} and needs no slot"


def _assigned(event: e.SlotAssigned, units: Units) -> str:
    return f"the slot is group {event.bot}/{event.group}'s now"


def _released(event: e.SlotReleased, units: Units) -> str:
    whose = f"group {event.bot}/{event.group}" if event.group else _signal(event)
    return f"the slot of {whose} is free, {event.reserved} still in use: {event.reason}"


def _queued(event: e.SignalQueued, units: Units) -> str:
    return f"no slot is free: {_signal(event)} waits{_until(event.expiry_minutes)}, place {event.place}"


def _replaced(event: e.QueuedSignalReplaced, units: Units) -> str:
    older = f"alert {event.replaced_number} of {event.replaced_source}"
    times = f"{plural(event.replacements, 'replacement')} there so far"
    return f"no slot is free: {_signal(event)} waits in place of {older}{_until(event.expiry_minutes)}; {times}"


def _preferred(event: e.SignalPreferred, units: Units) -> str:
    return f"{_signal(event)} is put first in the queue by hand"


def _promoted(event: e.SignalPromoted, units: Units) -> str:
    ranked = "; ".join(f"{place}. {_rank(each)}" for place, each in enumerate(event.ranking, 1))
    more = event.candidates - len(event.ranking)
    rest = f"; and {more} more" if more else ""
    return f"a slot is free: {_signal(event)} is first of {event.candidates} that wait: {ranked}{rest}"


def _rank(each: e.Candidate) -> str:
    """What a waiting signal was ranked by, in the order in which it counts."""
    parts = [
        *(["put first by hand"] if each.preferred else []),
        *(["goes on with a live group"] if each.continues else []),
        f"wants {number(each.price)}, market {'unknown' if each.mark is None else number(each.mark)}",
        *([plural(each.replacements, "replacement")] if each.replacements else []),
        f"place {each.place}",
    ]
    return f"{each.instrument} {each.direction} ({', '.join(parts)})"


def _expired(event: e.SignalExpired, units: Units) -> str:
    return f"{_signal(event)} has waited for as long as it may: it expires and nothing is traded"


def _removed(event: e.SignalRemoved, units: Units) -> str:
    return f"{_signal(event)} waits no longer and nothing is traded: {event.reason}"


def _until(minutes: int | None) -> str:
    return "" if minutes is None else f" for {span(minutes * MINUTE)} at most"


def _signal(
    event: e.SlotReserved
    | e.SlotExempted
    | e.SlotReleased
    | e.SignalQueued
    | e.QueuedSignalReplaced
    | e.SignalPreferred
    | e.SignalPromoted
    | e.SignalExpired
    | e.SignalRemoved,
) -> str:
    return f"alert {event.number} of {event.source}"


SENTENCES: Mapping[type[Event], Sentence] = {
    e.PoolOpened: _opened,
    e.PoolConfigured: _configured,
    e.PoolCommandRefused: _command_refused,
    e.SlotReserved: _reserved,
    e.SlotExempted: _exempted,
    e.SlotAssigned: _assigned,
    e.SlotReleased: _released,
    e.SignalQueued: _queued,
    e.QueuedSignalReplaced: _replaced,
    e.SignalPreferred: _preferred,
    e.SignalPromoted: _promoted,
    e.SignalExpired: _expired,
    e.SignalRemoved: _removed,
}
