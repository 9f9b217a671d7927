"""What an execution pool is asked to do. A signal is named by its bot, its source and its number there."""

from decimal import Decimal

from domain.execution_pool.settings import PoolSettings
from domain.message import Command
from domain.values import Direction, InstrumentId


class OpenPool(Command, frozen=True, array_like=True):
    """Give an account its pool, with the settings that hold unless told otherwise."""

    account: str


class ConfigurePool(Command, frozen=True, array_like=True):
    """Change the settings from now on; what is open stays open."""

    account: str
    settings: PoolSettings


class RequestSlot(Command, frozen=True, array_like=True):
    """A bot wants to enter on a signal: a new group, or a pyramid of its live group where `group` names that.

    `price` is the signal's, exact; `price_scale` turns the instrument's price quanta into such a price.
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
    group: int = 0


class AssignSlot(Command, frozen=True, array_like=True):
    """The signal that has a slot has opened this group."""

    account: str
    bot: str
    source: str
    number: int
    group: int


class ReleaseSlot(Command, frozen=True, array_like=True):
    """The signal that has a slot came to nothing."""

    account: str
    bot: str
    source: str
    number: int
    reason: str


class ReleaseGroupSlots(Command, frozen=True, array_like=True):
    """The group is over."""

    account: str
    bot: str
    group: int
    reason: str


class ExpireSignal(Command, frozen=True, array_like=True):
    """The signal has waited for as long as it may."""

    account: str
    bot: str
    source: str
    number: int


class RemoveOnExit(Command, frozen=True, array_like=True):
    """An exit signal came for the instrument and timeframe."""

    account: str
    instrument: InstrumentId
    timeframe: str
    source: str
    number: int


class RemoveOfBot(Command, frozen=True, array_like=True):
    """The bot is deleted: another of its name has nothing to do with its signals."""

    account: str
    bot: str


class PromoteSignal(Command, frozen=True, array_like=True):
    """By hand: let the signal go before all others."""

    account: str
    bot: str
    source: str
    number: int


class RemoveSignal(Command, frozen=True, array_like=True):
    """By hand: let the signal wait no longer."""

    account: str
    bot: str
    source: str
    number: int
    reason: str
