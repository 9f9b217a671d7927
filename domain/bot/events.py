"""What happens to a bot."""

from decimal import Decimal

from domain.account.events import AccountKind
from domain.bot.settings import GroupSettings
from domain.market import Instrument
from domain.message import Event
from domain.values import Direction, InstrumentId, Price


class BotCreated(Event, frozen=True, array_like=True, tag="bot.created.v1"):
    """A bot trades one instrument of one account by a strategy, with these group settings."""

    bot: str
    account: str
    account_kind: AccountKind
    strategy: str
    instrument: Instrument
    settings: GroupSettings


class EntryTaken(Event, frozen=True, array_like=True, tag="bot.entry_taken.v1"):
    """A signal opens group `group` (counted from 1 per bot) with the settings in force."""

    bot: str
    group: int
    account: str
    source: str
    number: int
    direction: Direction
    entry: Decimal
    instrument: Instrument
    settings: GroupSettings


class ExitTaken(Event, frozen=True, array_like=True, tag="bot.exit_taken.v1"):
    """A signal closes the live group; `last_close` is the market's, where known: the alert's own price decides nothing."""

    bot: str
    group: int
    instrument: InstrumentId
    source: str
    number: int
    last_close: Price | None


class AlertRefused(Event, frozen=True, array_like=True, tag="bot.alert_refused.v1"):
    """A signal was understood and not acted on."""

    bot: str
    source: str
    number: int
    code: str
    reason: str


class GroupReleased(Event, frozen=True, array_like=True, tag="bot.group_released.v1"):
    """The live group has closed; the bot may open another."""

    bot: str
    group: int
