"""What a strategy wants becomes orders of its account; what its account's halt closes, it closes."""

from domain.account.commands import CancelOrders, PlaceOrder
from domain.account.events import OrderCanceled, OrderRejected, TradingHalted
from domain.decider import Reactions
from domain.message import Command
from domain.strategy.commands import CloseStrategy, SettleClose
from domain.strategy.events import StrategyActed
from domain.strategy.intents import CLOSE, Cancel, Intent, Place


def carry_out(event: StrategyActed) -> tuple[Command, ...]:
    commands: list[Command] = []
    for intent in event.intents:
        if type(intent) is Place:
            commands.append(
                PlaceOrder(
                    event.account, event.bot, 0, intent.leg, "strategy", event.instrument, intent.side, intent.type,
                    intent.quantity, intent.limit, intent.stop, event.close, intent.reduce_only,
                )
            )  # fmt: skip
        else:
            commands.append(_cancel(event, intent))
    if CLOSE in event.intents:
        commands.append(SettleClose(event.bot))
    return tuple(commands)


def _cancel(event: StrategyActed, intent: Intent) -> Command:
    """A close begins with the end of all that works."""
    legs = intent.legs if type(intent) is Cancel else None
    return CancelOrders(event.account, event.bot, 0, ("strategy",), event.reason or "strategy", legs)


def flatten(event: TradingHalted) -> tuple[Command, ...]:
    bots = dict.fromkeys(holding.bot for holding in event.flatten if holding.bot)
    return tuple(CloseStrategy(bot, event.code) for bot in bots)


def settle(event: OrderCanceled | OrderRejected) -> tuple[Command, ...]:
    """One order less that a close waits for; what fills ends is told as a fill."""
    return (SettleClose(event.bot),) if event.role == "strategy" else ()


REACTIONS: Reactions = {
    StrategyActed: (carry_out,),
    OrderCanceled: (settle,),
    OrderRejected: (settle,),
    TradingHalted: (flatten,),
}
