"""What a bot is asked to do."""

from decimal import Decimal

from domain.account.events import AccountKind
from domain.bot.settings import GroupSettings
from domain.market import Instrument
from domain.message import Command
from domain.signal.events import Action
from domain.values import Direction, Price


class CreateBot(Command, frozen=True, array_like=True):
    """Create a bot that trades one instrument of an account."""

    bot: str
    account: str
    account_kind: AccountKind
    strategy: str
    instrument: Instrument
    settings: GroupSettings


class ConfigureBot(Command, frozen=True, array_like=True):
    """Change the group settings, for the next group."""

    bot: str
    settings: GroupSettings


class StartBot(Command, frozen=True, array_like=True):
    """Begin to act on signals."""

    bot: str


class PauseBot(Command, frozen=True, array_like=True):
    """Take no entries for a while."""

    bot: str


class ResumeBot(Command, frozen=True, array_like=True):
    """Take entries again."""

    bot: str


class StopBot(Command, frozen=True, array_like=True):
    """Act on no signals any more."""

    bot: str


class DeleteBot(Command, frozen=True, array_like=True):
    """End a bot that is stopped and has no live group."""

    bot: str


class CloseGroup(Command, frozen=True, array_like=True):
    """Close the bot's live group, whatever the bot's state."""

    bot: str
    last_close: Price | None = None


class ActOnSignal(Command, frozen=True, array_like=True):
    """Act on an accepted signal, or refuse it. `target` is the signed size to hold, with the action `target` only."""

    bot: str
    source: str
    number: int
    action: Action
    price: Decimal | None
    last_close: Price | None
    timeframe: str = ""
    target: Decimal | None = None


class ReleaseGroup(Command, frozen=True, array_like=True):
    """The bot's live group has closed."""

    bot: str
    group: int


class TakeEntry(Command, frozen=True, array_like=True):
    """The pool lets the signal in: open a group, or add a pyramid to the live group that `group` names."""

    bot: str
    source: str
    number: int
    direction: Direction
    price: Decimal
    group: int = 0
