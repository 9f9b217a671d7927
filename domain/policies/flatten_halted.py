"""What must be closed because trading was halted is closed: a bot closes its group, the rest is sold off."""

from collections.abc import Iterator

from domain.account.commands import PlaceOrder, ReviewRisk
from domain.account.events import Holding, RiskLimitsSet, SessionStarted, TradingHalted
from domain.bot.commands import CloseGroup
from domain.decider import Reactions
from domain.message import Command
from domain.values import Quantity, Time


def flatten(event: TradingHalted) -> tuple[Command, ...]:
    marks = {holding.bot: holding.mark for holding in event.flatten if holding.bot}
    closes = (CloseGroup(bot, mark) for bot, mark in marks.items())
    return *closes, *(_close(event.account, holding) for holding in event.flatten if not holding.bot)


def _close(account: str, holding: Holding) -> PlaceOrder:
    return PlaceOrder(
        account, "", 0, 0, "close", holding.instrument, "sell" if holding.quantity > 0 else "buy", "market",
        Quantity(abs(holding.quantity)), None, None, holding.mark, reduce_only=True,
    )  # fmt: skip


def review_at_events(event: RiskLimitsSet, at: Time) -> Iterator[tuple[Time, Command]]:
    """When an event of the calendar begins, what rests and would raise exposure goes."""
    for window in event.limits.event_windows:
        if window.start > at:
            yield window.start, ReviewRisk(event.account)


def review_at_the_end(event: SessionStarted, _at: Time) -> Iterator[tuple[Time, Command]]:
    """The next session begins where this one ends."""
    yield event.ends, ReviewRisk(event.account)


REACTIONS: Reactions = {TradingHalted: (flatten,)}
