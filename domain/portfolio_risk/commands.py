"""What an account's risk offset is asked to do, and what it is told of groups and their closing orders."""

from domain.message import Command
from domain.portfolio_risk.settings import OffsetSettings
from domain.values import Asset, Cash, Fee, InstrumentId, Price, Quantity


class ConfigureOffset(Command, frozen=True, array_like=True):
    """These settings are in force from now on; an offset that is under way goes on."""

    account: str
    settings: OffsetSettings


class RunOffset(Command, frozen=True, array_like=True):
    """By hand: evaluate now, by all the rules, and say what came of it."""

    account: str


class SkipOffset(Command, frozen=True, array_like=True):
    """By hand: the next loser that would be closed is passed over once, and its wait starts anew."""

    account: str


class BlockGroup(Command, frozen=True, array_like=True):
    """By hand: the group is neither closed nor reduced by offsets."""

    account: str
    bot: str
    group: int


class UnblockGroup(Command, frozen=True, array_like=True):
    """By hand: the group takes part in offsets again."""

    account: str
    bot: str
    group: int


class EvaluateOffset(Command, frozen=True, array_like=True):
    """A period is over: look for a loser, or after the offset that is under way."""

    account: str


class ReviewOffset(Command, frozen=True, array_like=True):
    """A closing order of the offset is over: see what comes next."""

    account: str


class WatchGroup(Command, frozen=True, array_like=True):
    """A group has opened or has a further pyramid; `max_pyramids` is 0 where it is what it was."""

    account: str
    bot: str
    group: int
    max_pyramids: int


class ForgetGroup(Command, frozen=True, array_like=True):
    """The group is over."""

    account: str
    bot: str
    group: int


class RestartTimer(Command, frozen=True, array_like=True):
    """A signal that waits to add to the group was replaced by a newer one."""

    account: str
    bot: str
    group: int


class NoteClose(Command, frozen=True, array_like=True):
    """A group's closing order filled; told before the group itself knows."""

    account: str
    bot: str
    group: int
    instrument: InstrumentId
    price: Price
    quantity: Quantity
    cash: Cash
    received: Quantity
    fee: Fee
    fee_asset: Asset
    remaining: Quantity


class NoteCloseEnd(Command, frozen=True, array_like=True):
    """A group's closing order ended with `remaining` unfilled."""

    account: str
    bot: str
    group: int
    remaining: Quantity
    reason: str
