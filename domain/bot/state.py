"""A bot's state."""

from typing import Literal

from msgspec import Struct

from domain.account.events import AccountKind
from domain.bot.events import AimTaken, ReverseTaken
from domain.bot.settings import GroupSettings
from domain.market import Instrument
from domain.values import Direction

Status = Literal["created", "running", "paused", "stopped", "deleted"]


class BotState(Struct, frozen=True):
    """A bot, what it is doing, its last group's number and its live group's (0 where there is none).

    `aim` is the size that the alert named which is about to enter, `reverse` the signal that waits for the live group
    to close.
    """

    bot: str
    account: str
    account_kind: AccountKind
    instrument: Instrument
    settings: GroupSettings
    status: Status = "created"
    groups: int = 0
    live: int = 0
    direction: Direction = "long"
    pyramids: int = 0
    aim: AimTaken | None = None
    reverse: ReverseTaken | None = None
