"""What a bot is asked to do."""

from decimal import Decimal

from domain.account.events import AccountKind
from domain.bot.settings import GroupSettings
from domain.market import Instrument
from domain.message import Command
from domain.signal.events import Action
from domain.values import Price


class CreateBot(Command, frozen=True, array_like=True):
    """Create a bot that trades one instrument of an account."""

    bot: str
    account: str
    account_kind: AccountKind
    strategy: str
    instrument: Instrument
    settings: GroupSettings


class ActOnSignal(Command, frozen=True, array_like=True):
    """Act on an accepted signal, or refuse it."""

    bot: str
    source: str
    number: int
    action: Action
    price: Decimal | None
    last_close: Price | None


class ReleaseGroup(Command, frozen=True, array_like=True):
    """The bot's live group has closed."""

    bot: str
    group: int
