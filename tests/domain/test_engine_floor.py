"""What the machine has found in the whole engine, each told as one short story."""

from collections import Counter
from decimal import Decimal

from domain.account.commands import CancelOrderById, PlaceOrder
from domain.account.events import OrderFilled
from domain.account.limits import NO_LIMITS
from domain.bot.commands import CloseGroup
from domain.execution_pool.settings import PoolSettings
from domain.position_group.events import CloseFailed
from domain.values import InstrumentId, Price, Quantity
from tests import spec
from tests.domain.engine_floor import Floor, Setup


def test_a_part_being_closed_and_a_stop_sell_together_what_the_group_holds() -> None:
    """Another group on the instrument must not lose what reduce-only would have let the venue sell twice."""
    group = spec.settings(("0", "100", "40"), capital="100", stop_loss_pct=Decimal(2))
    floor = Floor(Setup("spot", 100_000, [group] * 3, PoolSettings(3), None, NO_LIMITS))
    floor.habit = "fill"
    floor.alert("one", action="buy", price="100")
    floor.alert("three", action="buy", price="100", timeframe="1h")
    floor.habit = "accept"
    floor.alert("one", action="target", position="0.6", price="100")
    floor.candle(InstrumentId("BTC/USDT"), 9700, 0)
    floor.check()
    sold = Counter({(fill.bot, fill.role): fill.quantity for fill in floor.events(OrderFilled) if fill.side == "sell"})
    assert sold == {("one", "close"): 400, ("one", "stop"): 600, ("three", "stop"): 1000}


def test_a_group_that_can_neither_be_guarded_nor_closed_waits_and_says_why() -> None:
    """A hand has sold what the group holds, so that its stop is denied, and its close too: once that had no end."""
    group = spec.settings(("0", "100", "40"), capital="100", stop_loss_pct=Decimal(2), max_pyramids=2)
    floor = Floor(Setup("spot", 100_000, [group] * 3, PoolSettings(3), None, NO_LIMITS))
    name = InstrumentId("BTC/USDT")
    floor.habit = "fill"
    floor.alert("one", action="buy", price="100")
    orders = floor.core.state("account", "main").orders.values()
    floor.tell(*(CancelOrderById("main", order.id, "by hand") for order in list(orders)))
    size, price = Quantity(1000), Price(10_000)
    floor.tell(PlaceOrder("main", "", 0, 0, "manual", name, "sell", "market", size, None, None, price, False))
    floor.tell(CloseGroup("one"))
    floor.check()
    assert [event.reason.partition(":")[0] for event in floor.events(CloseFailed)] == ["POSITION_INSUFFICIENT"]
    assert floor.core.state("position_group", ("one", 1)).held == 1000
    floor.go_home()
