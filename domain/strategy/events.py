"""What happens to a running strategy: its life, and what it decided from which features."""

from domain.market import Instrument
from domain.message import Event
from domain.strategy.feature import Values
from domain.strategy.intents import Intent
from domain.values import InstrumentId, Price, Quantity


class StrategyStarted(Event, frozen=True, array_like=True, tag="strategy.started.v1"):
    """A strategy decides for a bot from now on. `code` is the SHA-256 of the file that it came from."""

    bot: str
    account: str
    strategy: str
    code: str
    instrument: Instrument
    parameters: str
    features: tuple[str, ...]


class StrategyConfigured(Event, frozen=True, array_like=True, tag="strategy.configured.v1"):
    """Other parameters or another version of the code are in force from now on."""

    bot: str
    code: str
    parameters: str
    features: tuple[str, ...]


class StrategyActed(Event, frozen=True, array_like=True, tag="strategy.acted.v1"):
    """It decided, at this close and position, from these values of its features.

    `order` is the order whose fill it reacts to, 0 at a candle's close. `memory` is what it remembers from here on, in
    MessagePack; None where that has not changed, empty where it begins anew.
    """

    bot: str
    account: str
    instrument: InstrumentId
    close: Price
    position: Quantity
    values: Values
    intents: tuple[Intent, ...]
    order: int = 0
    memory: bytes | None = None
    reason: str = ""


class StrategyPaused(Event, frozen=True, array_like=True, tag="strategy.paused.v1"):
    """It decides nothing until it is resumed."""

    bot: str


class StrategyResumed(Event, frozen=True, array_like=True, tag="strategy.resumed.v1"):
    """It decides again."""

    bot: str


class StrategyFailed(Event, frozen=True, array_like=True, tag="strategy.failed.v1"):
    """Its code broke: it decides nothing until it is resumed; what it has working goes on."""

    bot: str
    account: str
    error: str


class StrategyRefused(Event, frozen=True, array_like=True, tag="strategy.command_refused.v1"):
    """Somebody asked for what makes no sense, or what its state does not allow."""

    bot: str
    command: str
    code: str
    reason: str
