"""What an event is about: a signal, a position group, an order; and which of them an explanation follows."""

from collections.abc import Iterable

from domain.account.events import CancelRequested, OrderIntended
from domain.bot.events import AimTaken, CloseTaken, EntryTaken, ExitTaken, PyramidTaken
from domain.execution_pool.events import QueuedSignalReplaced
from domain.message import Event
from domain.portfolio_risk.events import OffsetChosen

Subject = tuple[str, str, int]
"""(kind, owner, number): `("signal", source, 12)`, `("group", bot, 3)`, `("order", account, 17)`."""

_TAKES = (AimTaken, CloseTaken, EntryTaken, ExitTaken, PyramidTaken)
"""What ties a signal to the group that acts on it."""


def signal_of(source: str, number: int) -> Subject:
    return "signal", source, number


def group_of(bot: str, group: int) -> Subject:
    return "group", bot, group


def order_of(account: str, order: int) -> Subject:
    return "order", account, order


def subjects(event: Event) -> frozenset[Subject]:
    """What the event is about, told by the fields that name it."""
    found: set[Subject] = set()
    source, number = getattr(event, "source", ""), getattr(event, "number", 0)
    if source and number:
        found.add(signal_of(source, number))
    bot, group = getattr(event, "bot", ""), getattr(event, "group", 0)
    if bot and group:
        found.add(group_of(bot, group))
    order = getattr(event, "order", 0)
    if order:
        found.add(order_of(getattr(event, "account", ""), order))
    if isinstance(event, QueuedSignalReplaced):
        found.add(signal_of(event.replaced_source, event.replaced_number))
    if isinstance(event, OffsetChosen):
        found |= {group_of(part.bot, part.group) for part in event.parts}
    return frozenset(found)


def kin(event: Event, other: Event) -> bool:
    """Whether two events of one decision belong to one story."""
    mine, others = subjects(event), subjects(other)
    return not mine or not others or bool(mine & others)


class Scope:
    """The subjects whose story is followed; what is about others only is told, and not followed further.

    It grows with the story: by the group that a signal opens, by the orders that a group places or calls back. An empty
    one follows everything.
    """

    def __init__(self, *first: Subject) -> None:
        self._followed = set(first)
        self._all = not first
        self._placed: set[Subject] = set()

    def has(self, event: Event) -> bool:
        about = subjects(event)
        return self._all or not about or bool(about & self._followed)

    def widen(self, event: Event) -> None:
        """Take in what an event of the story brings into it."""
        if isinstance(event, _TAKES) and event.group:
            self._followed.add(group_of(event.bot, event.group))
        elif isinstance(event, OrderIntended):
            self._followed.add(order_of(event.account, event.order))
            self._placed.add(order_of(event.account, event.order))

    def call_back(self, events: Iterable[Event]) -> None:
        """Take in the orders that a decision of the story cancels."""
        called = (event for event in events if isinstance(event, CancelRequested))
        self._followed |= {order_of(event.account, event.order) for event in called}

    def has_placed(self, event: Event) -> bool:
        """Whether the event is about an order whose intent is in the story, so that all its reports are."""
        return bool(subjects(event) & self._placed)

    def shows(self, event: Event) -> bool:
        """Whether the event is worth telling beside others of its decision: orders of others are not."""
        orders = {each for each in subjects(event) if each[0] == "order"}
        return self._all or not orders or self.has(event)
