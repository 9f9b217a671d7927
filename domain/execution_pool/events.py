"""What happens to an execution pool: slots reserved and released, signals that wait and what becomes of them.

A signal is named by its bot, its source and its number there. `settings_version` names the settings in force.
"""

from decimal import Decimal

from msgspec import Struct

from domain.execution_pool.settings import PoolSettings
from domain.message import Event
from domain.values import Direction, InstrumentId


class Candidate(Struct, frozen=True, array_like=True):
    """A waiting signal with all that it was ranked by.

    `preferred` is above 0 where somebody put it first, the higher the later; `continues` says that a group of its side
    is live on its instrument and timeframe; `mark` is the market's last price, None where not known; `replacements`
    counts the signals it stands for beside itself; `place` is the order in which they came.
    """

    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    direction: Direction
    preferred: int
    continues: bool
    price: Decimal
    mark: Decimal | None
    replacements: int
    place: int


class PoolOpened(Event, frozen=True, array_like=True, tag="execution_pool.opened.v1"):
    """The account has a pool; versions of its settings count from 1."""

    account: str
    settings_version: int
    settings: PoolSettings


class PoolConfigured(Event, frozen=True, array_like=True, tag="execution_pool.configured.v1"):
    """New settings are in force."""

    account: str
    settings_version: int
    settings: PoolSettings


class PoolCommandRefused(Event, frozen=True, array_like=True, tag="execution_pool.command_refused.v1"):
    """Somebody asked the pool for what its state does not allow."""

    account: str
    command: str
    code: str
    reason: str


class SlotReserved(Event, frozen=True, array_like=True, tag="execution_pool.slot_reserved.v1"):
    """The signal may enter; `reserved` counts the slots in use with this one.

    `group` is the live group that it is a pyramid of, 0 where it opens a new one.
    """

    account: str
    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    direction: Direction
    price: Decimal
    group: int
    reserved: int
    settings_version: int


class SlotExempted(Event, frozen=True, array_like=True, tag="execution_pool.slot_exempted.v1"):
    """The signal is a pyramid of a live group, and pyramids take no slot: it may enter."""

    account: str
    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    direction: Direction
    price: Decimal
    group: int
    settings_version: int


class SlotAssigned(Event, frozen=True, array_like=True, tag="execution_pool.slot_assigned.v1"):
    """The signal's slot is this group's now, until the group is over."""

    account: str
    bot: str
    source: str
    number: int
    group: int


class SlotReleased(Event, frozen=True, array_like=True, tag="execution_pool.slot_released.v1"):
    """The slot is free again; `reserved` counts those still in use."""

    account: str
    bot: str
    source: str
    number: int
    group: int
    reason: str
    reserved: int
    settings_version: int


class SignalQueued(Event, frozen=True, array_like=True, tag="execution_pool.signal_queued.v1"):
    """No slot is free: the signal waits, for `expiry_minutes` at most (None: for ever)."""

    account: str
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
    expiry_minutes: int | None
    settings_version: int


class QueuedSignalReplaced(Event, frozen=True, array_like=True, tag="execution_pool.signal_replaced.v1"):
    """A newer signal of the same instrument and timeframe waits instead, and keeps the place.

    `replacements` counts how often that has happened there; what was put first by hand stays `preferred` unless the
    newer one is of the other side.
    """

    account: str
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
    preferred: int
    replacements: int
    replaced_bot: str
    replaced_source: str
    replaced_number: int
    expiry_minutes: int | None
    settings_version: int


class SignalPreferred(Event, frozen=True, array_like=True, tag="execution_pool.signal_preferred.v1"):
    """Somebody put the signal first: the next slot is its own. `preferred` counts these wishes; the last one leads."""

    account: str
    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    preferred: int
    settings_version: int


class SignalPromoted(Event, frozen=True, array_like=True, tag="execution_pool.signal_promoted.v1"):
    """A slot is free and this signal is the first in rank: it waits no longer.

    `ranking` shows the candidates as they were ranked, best first, cut off after a bound; `candidates` counts them all.
    """

    account: str
    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    candidates: int
    ranking: tuple[Candidate, ...]
    settings_version: int


class SignalExpired(Event, frozen=True, array_like=True, tag="execution_pool.signal_expired.v1"):
    """The signal has waited for as long as it might."""

    account: str
    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    settings_version: int


class SignalRemoved(Event, frozen=True, array_like=True, tag="execution_pool.signal_removed.v1"):
    """The signal waits no longer: by hand, because an exit signal came, or because its bot is deleted."""

    account: str
    bot: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    reason: str
    settings_version: int
