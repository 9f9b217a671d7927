"""What a position group is asked to do, and what it is told of its orders."""

from decimal import Decimal

from domain.account.events import Role
from domain.bot.settings import GroupSettings
from domain.market import Instrument
from domain.message import Command
from domain.values import Cash, Direction, Price, Quantity


class OpenGroup(Command, frozen=True, array_like=True):
    """Open a group around an entry price."""

    bot: str
    group: int
    account: str
    direction: Direction
    entry: Decimal
    instrument: Instrument
    settings: GroupSettings


class ExitGroup(Command, frozen=True, array_like=True):
    """Cancel what works and close what is held; `last_close` is the market's, where known."""

    bot: str
    group: int
    last_close: Price | None


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


class RecordOrderEnd(Command, frozen=True, array_like=True):
    """One of the group's orders ended with `remaining` unfilled: denied, rejected or cancelled."""

    bot: str
    group: int
    leg: int
    role: Role
    remaining: Quantity
    code: str
    reason: str
