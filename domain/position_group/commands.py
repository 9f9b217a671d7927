"""What a position group is asked to do, and what it is told of its orders."""

from decimal import Decimal

from domain.account.events import Role
from domain.bot.settings import GroupSettings
from domain.market import Instrument
from domain.message import Command
from domain.position_group.events import ExitReason
from domain.values import Cash, Direction, Price, Quantity
from domain.wakes import Watch


class OpenGroup(Command, frozen=True, array_like=True):
    """Open a group around an entry price; where `quantity` is given, with one market leg of that size."""

    bot: str
    group: int
    account: str
    direction: Direction
    entry: Decimal
    instrument: Instrument
    settings: GroupSettings
    quantity: Quantity | None = None


class AimGroup(Command, frozen=True, array_like=True):
    """Hold this size: what is missing is bought (sold for a short) at market, what is too much is closed."""

    bot: str
    group: int
    size: Quantity
    entry: Decimal
    source: str = ""
    number: int = 0


class AddPyramid(Command, frozen=True, array_like=True):
    """Enter once more around another price, with the bot's settings of now."""

    bot: str
    group: int
    entry: Decimal
    settings: GroupSettings
    source: str = ""
    number: int = 0


class ExitGroup(Command, frozen=True, array_like=True):
    """Cancel what works and close what is held; `last_close` is the market's, where known."""

    bot: str
    group: int
    last_close: Price | None
    reason: ExitReason = "exit"


class ReduceGroup(Command, frozen=True, array_like=True):
    """Close a part of what is held at market."""

    bot: str
    group: int
    quantity: Quantity
    reason: str
    last_close: Price | None = None


class RecordFill(Command, frozen=True, array_like=True):
    """One of the group's orders filled; `remaining` is what it still has to fill."""

    bot: str
    group: int
    leg: int
    role: Role
    price: Price
    quantity: Quantity
    received: Quantity
    cash: Cash
    remaining: Quantity


class ReviewFlat(Command, frozen=True, array_like=True):
    """A target left nothing held; all that was known at that instant has been recorded since."""

    bot: str
    group: int


class ReviewGuards(Command, frozen=True, array_like=True):
    """What is held has changed; all that was known at that instant has been recorded since."""

    bot: str
    group: int


class ExpireLegs(Command, frozen=True, array_like=True):
    """Entries of these legs that still rest have rested long enough."""

    bot: str
    group: int
    legs: tuple[int, ...]


class ExpireGroup(Command, frozen=True, array_like=True):
    """The group's time is over."""

    bot: str
    group: int


class RecordOrderEnd(Command, frozen=True, array_like=True):
    """One of the group's orders ended with `remaining` unfilled: denied, rejected or cancelled."""

    bot: str
    group: int
    leg: int
    role: Role
    remaining: Quantity
    code: str
    reason: str


class LookAtPrice(Command, frozen=True, array_like=True):
    """The market has been at a price that the group waits for; `watch` is what it waited for when it came."""

    bot: str
    group: int
    close: Price
    low: Price
    high: Price
    watch: Watch
