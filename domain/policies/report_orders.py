"""What becomes of a group's orders is told to the group, a strategy's fills to the strategy; others concern none."""

from domain.account.events import OrderCanceled, OrderDenied, OrderFilled, OrderRejected
from domain.decider import Reactions
from domain.message import Command
from domain.position_group.commands import RecordFill, RecordOrderEnd
from domain.strategy.commands import HearFill


def report_fill(event: OrderFilled) -> tuple[Command, ...]:
    if not event.group:
        return (HearFill(event.bot, event),) if event.role == "strategy" else ()
    return (
        RecordFill(
            event.bot, event.group, event.leg, event.role, event.price, event.quantity, event.received, event.cash,
            event.remaining,
        ),
    )  # fmt: skip


def report_denial(event: OrderDenied) -> tuple[Command, ...]:
    if not event.group:
        return ()
    return (RecordOrderEnd(event.bot, event.group, event.leg, event.role, event.quantity, event.code, event.reason),)


def report_rejection(event: OrderRejected) -> tuple[Command, ...]:
    if not event.group:
        return ()
    return (RecordOrderEnd(event.bot, event.group, event.leg, event.role, event.remaining, event.code, event.reason),)


def report_cancel(event: OrderCanceled) -> tuple[Command, ...]:
    if not event.group:
        return ()
    return (RecordOrderEnd(event.bot, event.group, event.leg, event.role, event.remaining, "", event.reason),)


REACTIONS: Reactions = {
    OrderFilled: (report_fill,),
    OrderDenied: (report_denial,),
    OrderRejected: (report_rejection,),
    OrderCanceled: (report_cancel,),
}
