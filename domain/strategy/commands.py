"""What a running strategy is asked to do, and what it is told."""

from domain.account.events import OrderFilled
from domain.market import Instrument
from domain.message import Command
from domain.strategy.feature import Values


class StartStrategy(Command, frozen=True, array_like=True):
    """Run a strategy under a bot's name; `parameters` as JSON, `code` the digest of the file it comes from."""

    bot: str
    account: str
    strategy: str
    code: str
    instrument: Instrument
    parameters: str


class ConfigureStrategy(Command, frozen=True, array_like=True):
    """Go on with other parameters, or another version of the code; its memory stays."""

    bot: str
    code: str
    parameters: str


class PauseStrategy(Command, frozen=True, array_like=True):
    """Decide nothing more; what works goes on working."""

    bot: str


class ResumeStrategy(Command, frozen=True, array_like=True):
    """Decide again."""

    bot: str


class CloseStrategy(Command, frozen=True, array_like=True):
    """Cancel all of its orders and close its position at market; decide nothing more until resumed, then begin anew."""

    bot: str
    reason: str = ""


class FailStrategy(Command, frozen=True, array_like=True):
    """Its code is not there: it decides nothing until it is resumed."""

    bot: str
    error: str


class SettleClose(Command, frozen=True, array_like=True):
    """Where it is closing and nothing of it works any more: close what it holds."""

    bot: str


class Consider(Command, frozen=True, array_like=True):
    """A candle has closed: decide. `values` are those of its features there."""

    bot: str
    values: Values


class HearFill(Command, frozen=True, array_like=True):
    """An order of the strategy was filled."""

    bot: str
    fill: OrderFilled
