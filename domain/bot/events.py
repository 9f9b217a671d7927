"""What happens to a bot."""

from decimal import Decimal

from domain.account.events import AccountKind
from domain.bot.settings import GroupSettings, Sizing
from domain.market import Instrument
from domain.message import Event
from domain.values import Asset, Cash, Direction, InstrumentId, Price, Quantity


class BotCreated(Event, frozen=True, array_like=True, tag="bot.created.v1"):
    """A bot trades one instrument of one account by a strategy, with these group settings."""

    bot: str
    account: str
    account_kind: AccountKind
    strategy: str
    instrument: Instrument
    settings: GroupSettings


class BotConfigured(Event, frozen=True, array_like=True, tag="bot.configured.v1"):
    """New group settings are in force, for the next group."""

    bot: str
    settings: GroupSettings


class BotStarted(Event, frozen=True, array_like=True, tag="bot.started.v1"):
    """The bot acts on signals from now on."""

    bot: str


class BotPaused(Event, frozen=True, array_like=True, tag="bot.paused.v1"):
    """The bot takes no entries; exits and its live group go on."""

    bot: str


class BotResumed(Event, frozen=True, array_like=True, tag="bot.resumed.v1"):
    """The bot takes entries again."""

    bot: str


class BotStopped(Event, frozen=True, array_like=True, tag="bot.stopped.v1"):
    """The bot acts on no signals; its live group, if any, keeps its orders until it is told to close."""

    bot: str


class BotDeleted(Event, frozen=True, array_like=True, tag="bot.deleted.v1"):
    """The bot is over; its history stays, and a bot created under its name counts its groups on."""

    bot: str
    account: str = ""


class CommandRefused(Event, frozen=True, array_like=True, tag="bot.command_refused.v1"):
    """Somebody asked the bot for what its state does not allow."""

    bot: str
    command: str
    code: str
    reason: str


class CloseTaken(Event, frozen=True, array_like=True, tag="bot.close_taken.v1"):
    """The live group closes because somebody said so."""

    bot: str
    group: int
    instrument: InstrumentId
    last_close: Price | None


class EntrySized(Event, frozen=True, array_like=True, tag="bot.entry_sized.v1"):
    """What the group or pyramid that is being taken may cost (`capital`), and what that was counted from.

    `equity` is the account's at these `marks`, None where it is not counted from. `risk` is what may be lost at the stop,
    `stop_loss_pct` from the average; both are None where the capital itself is a percent of the equity.
    """

    bot: str
    group: int
    account: str
    source: str
    number: int
    asset: Asset
    sizing: Sizing
    equity: Cash | None
    marks: tuple[tuple[InstrumentId, Price], ...]
    risk: Cash | None
    stop_loss_pct: Decimal | None
    capital: Cash


class EntryTaken(Event, frozen=True, array_like=True, tag="bot.entry_taken.v1"):
    """A signal opens group `group` (counted from 1 per name of a bot) with the settings in force.

    Where these size by equity or risk, `capital` in them is what that came to (`EntrySized`, in the same decision).
    Where the alert named the size to hold, `quantity` is entered at market instead of the settings' legs.
    """

    bot: str
    group: int
    account: str
    source: str
    number: int
    direction: Direction
    entry: Decimal
    instrument: Instrument
    settings: GroupSettings
    quantity: Quantity | None = None


class PyramidTaken(Event, frozen=True, array_like=True, tag="bot.pyramid_taken.v1"):
    """A signal adds a further entry to the live group, with the settings in force and `capital` as in `EntryTaken`."""

    bot: str
    group: int
    account: str
    source: str
    number: int
    entry: Decimal
    settings: GroupSettings


class AimTaken(Event, frozen=True, array_like=True, tag="bot.aim_taken.v1"):
    """An alert names the size to hold, in size quanta, signed; `group` is the live group that moves to it, 0 where none."""

    bot: str
    group: int
    account: str
    source: str
    number: int
    size: Quantity
    entry: Decimal


class ReverseTaken(Event, frozen=True, array_like=True, tag="bot.reverse_taken.v1"):
    """A signal against the live group: that closes, and when it has closed the signal asks to enter."""

    bot: str
    account: str
    source: str
    number: int
    timeframe: str
    direction: Direction
    price: Decimal
    size: Quantity | None = None


class ReverseDropped(Event, frozen=True, array_like=True, tag="bot.reverse_dropped.v1"):
    """The signal closes the live group and does not enter after it: it was withdrawn, or the bot may not enter."""

    bot: str
    source: str
    number: int
    code: str
    reason: str
    account: str = ""


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
    account: str = ""


class EntryWanted(Event, frozen=True, array_like=True, tag="bot.entry_wanted.v1"):
    """A signal should open a group, or add a pyramid to the live group that `group` names: the account's pool decides when.

    `price` is exact; `price_scale` turns the instrument's price quanta into such a price.
    """

    bot: str
    account: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
    direction: Direction
    price: Decimal
    price_scale: int
    group: int = 0


class EntryDropped(Event, frozen=True, array_like=True, tag="bot.entry_dropped.v1"):
    """The pool let the signal in, and the bot cannot take it any more."""

    bot: str
    source: str
    number: int
    code: str
    reason: str
    account: str = ""


class ExitWanted(Event, frozen=True, array_like=True, tag="bot.exit_wanted.v1"):
    """An exit signal came, whether there is a group to close or not: what waits to enter waits no longer."""

    bot: str
    account: str
    source: str
    number: int
    instrument: InstrumentId
    timeframe: str
