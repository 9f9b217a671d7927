"""Closing a strategy: given orders and a holding, when it is to close, then the close waits until nothing works."""

from typing import Any

import pytest

from domain.account import commands as account
from domain.account.events import OrderFilled, OrderIntended
from domain.strategy.commands import (
    CloseStrategy,
    Consider,
    HearFill,
    PauseStrategy,
    ResumeStrategy,
    SettleClose,
    StartStrategy,
)
from domain.strategy.decider import DECIDER
from domain.strategy.events import StrategyActed, StrategyPaused, StrategyRefused, StrategyResumed, StrategyStarted
from domain.strategy.intents import CLOSE, Place
from domain.values import Price, Quantity
from tests import spec
from tests.spec import BTC, Story

MARKS = {BTC: 10_000}
GRID = '{"quantity":"1","lower":"90","upper":"110","levels":5}'


class Trader:
    """A strategy `s` on an account with 10,000 USDT; its orders are 1.000 BTC each."""

    def __init__(self, kind: str = "spot", held: int = 0) -> None:
        self.account = spec.opened_account(kind=kind, position=0)
        self.story = Story(DECIDER, ())
        self.when(StartStrategy("s", "main", "grid", "", spec.instrument(), GRID))
        if held:
            side = "buy" if held > 0 else "sell"
            (order, *_) = self.place(side=side, type="market", quantity=abs(held))
            self.account.when(spec.fill(order.order, "first", abs(held)))

    def when(self, command: Any) -> Any:
        return self.story.when(command, 0, MARKS, account=self.account.state)

    def place(self, **changes: Any) -> Any:
        """An order of the strategy's that the account lets pass."""
        happened = self.account.when(spec.order(bot="s", group=0, role="strategy", **changes), 0, MARKS)
        assert isinstance(happened[0], OrderIntended)
        assert spec.kinds(happened) == ["OrderIntended", "RiskPassed"], happened
        return happened

    def end(self, order: int) -> None:
        self.account.when(account.CancelReported("main", order, Quantity(0), "canceled"))

    def halt(self, bot: str = "") -> None:
        self.account.when(account.HaltTrading("main", bot, "by hand"))


def acted(position: int, *intents: Any, reason: str = "closed", memory: bytes | None = None) -> StrategyActed:
    return StrategyActed("s", "main", BTC, Price(10_000), Quantity(position), (), intents, 0, memory, reason)


def close_of(side: Any, quantity: int) -> Place:
    return Place(side, "market", Quantity(quantity), reduce_only=True)


def test_it_pauses_forgets_and_wants_all_gone() -> None:
    trader = Trader(held=2000)
    happened = trader.when(CloseStrategy("s", "enough"))
    assert happened == (StrategyPaused("s"), acted(2000, CLOSE, reason="enough", memory=b""))
    assert (trader.story.state.memory, trader.story.state.closing) == (None, True)


def test_what_works_holds_the_close_back() -> None:
    """A resting sell has the position reserved: sold at once, the close would be denied."""
    trader = Trader(held=2000)
    orders = [trader.place(side="sell", limit=11_000 + number)[0].order for number in range(2)]
    trader.when(CloseStrategy("s"))
    for order in orders:
        assert trader.when(SettleClose("s")) == ()
        trader.end(order)
    assert trader.when(SettleClose("s")) == (acted(2000, close_of("sell", 2000)),)
    assert trader.when(SettleClose("s")) == ()


def test_a_last_fill_is_an_end_too() -> None:
    trader = Trader(held=2000)
    (order, *_) = trader.place(side="sell", limit=11_000)
    trader.when(CloseStrategy("s"))
    (fill,) = trader.account.when(spec.fill(order.order, "last", 1000))
    assert isinstance(fill, OrderFilled)
    assert trader.when(HearFill("s", fill)) == (acted(1000, close_of("sell", 1000)),)


@pytest.mark.parametrize(
    ("kind", "held", "intents"),
    [
        ("spot", 0, ()),
        ("margin", 0, ()),
        ("margin", 1000, (close_of("sell", 1000),)),
        ("margin", -1000, (close_of("buy", 1000),)),
    ],
)
def test_what_it_holds_is_closed(kind: str, held: int, intents: tuple[Place, ...]) -> None:
    trader = Trader(kind, held)
    trader.when(CloseStrategy("s"))
    assert trader.when(SettleClose("s")) == (acted(held, *intents),)
    assert not trader.story.state.closing


def test_on_spot_there_is_no_short_to_close() -> None:
    """It sold what others held: to buy that back would be a new position, not the end of one."""
    trader = Trader()
    trader.account = spec.opened_account(position=5000)
    (order, *_) = trader.place(side="sell", type="market", quantity=1000)
    trader.account.when(spec.fill(order.order, "t", 1000))
    trader.when(CloseStrategy("s"))
    assert trader.when(SettleClose("s")) == (acted(-1000),)


def test_while_it_closes_nothing_else_is_decided() -> None:
    trader = Trader(held=2000)
    (order, *_) = trader.place(side="sell", limit=11_000)
    trader.when(CloseStrategy("s"))
    trader.when(ResumeStrategy("s"))
    assert trader.when(Consider("s", ())) == ()
    trader.end(order.order)
    assert trader.when(SettleClose("s")) == (acted(2000, close_of("sell", 2000)),)
    # It remembers nothing of before: the first close lays the grid anew.
    (laid,) = trader.when(Consider("s", ()))
    assert len(laid.intents) == 4


def test_nothing_to_settle_where_nothing_closes() -> None:
    trader = Trader(held=2000)
    assert trader.when(SettleClose("s")) == ()
    trader.when(PauseStrategy("s"))
    assert trader.when(SettleClose("s")) == ()


@pytest.mark.parametrize(("bot", "scope"), [("", "account"), ("s", "s")])
def test_it_is_not_resumed_while_trading_is_halted(bot: str, scope: str) -> None:
    trader = Trader()
    trader.when(PauseStrategy("s"))
    trader.halt(bot)
    reason = f"scope={scope}, halt=1; resume trading first"
    assert trader.when(ResumeStrategy("s")) == (StrategyRefused("s", "resume", "TRADING_HALTED", reason),)
    trader.account.when(account.ResumeTrading("main", bot, 1), 0, MARKS)
    assert trader.when(ResumeStrategy("s")) == (StrategyResumed("s"),)


def test_a_halt_of_another_does_not_matter() -> None:
    trader = Trader()
    trader.when(PauseStrategy("s"))
    trader.halt("other")
    assert trader.when(ResumeStrategy("s")) == (StrategyResumed("s"),)


def test_what_runs_is_not_resumed() -> None:
    assert trader_events(Trader().when(ResumeStrategy("s"))) == [("resume", "STATUS_WRONG")]


def trader_events(happened: Any) -> list[tuple[str, str]]:
    return [(event.command, event.code) for event in happened if isinstance(event, StrategyRefused)]


def test_it_starts_with_its_parameters() -> None:
    story = Story(DECIDER, ())
    (started,) = story.when(StartStrategy("s", "main", "grid", "c", spec.instrument(), GRID))
    assert isinstance(started, StrategyStarted)
    assert (started.parameters, started.features) == (GRID, ())
