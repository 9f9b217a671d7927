"""A halt that flattens closes a strategy for good: nothing more happens until somebody resumes trading, and then it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from domain.account.commands import ResumeTrading, SetRiskLimits
from domain.account.events import OrderDenied, OrderFilled, OrderIntended, RiskPassed, TradingHalted, TradingResumed
from domain.engine import Core
from domain.message import Command, Event
from domain.ports import Input, Moment
from domain.strategy.commands import ResumeStrategy
from domain.strategy.events import StrategyActed, StrategyPaused, StrategyRefused, StrategyResumed
from replay.game import Game, market_of
from tests.domain.risk.limited import limits
from tests.simulator import ListLedger
from tests.strategy_game import BALANCES, CROSS, GRID, candles, game_of, played, setup_of

LIMITS = SetRiskLimits("main", limits(daily_loss_max="60", value_every_seconds=60, flatten=True))
CASH = {"USDT": Decimal(100_000)}
TAPE = candles(1500)
QUIET = {"AccountValued", "SessionStarted"}


def game(name: str, parameters: Any, kind: Any, balances: dict[str, Decimal]) -> Game:
    return game_of([setup_of("s", name, parameters)], TAPE, kind=kind, balances=balances, commands=(LIMITS,))


def held(ledger: ListLedger, bot: str = "s") -> int:
    """The sum of its fills."""
    fills = (fill for fill in ledger.of(OrderFilled) if fill.bot == bot)
    return sum(fill.received if fill.side == "buy" else -fill.received for fill in fills)


def since(ledger: ListLedger, kind: type[Event]) -> list[Event]:
    """All events from the first of a kind on."""
    events = [event for record in ledger.records for event in record.events]
    return events[next(place for place, event in enumerate(events) if isinstance(event, kind)) :]


@pytest.mark.parametrize(
    ("name", "parameters", "kind", "balances"),
    [
        ("grid", {**GRID, "quantity": "0.05"}, "spot", CASH),
        ("grid", {**GRID, "quantity": "0.05"}, "spot", BALANCES),
        ("grid", {**GRID, "quantity": "0.05"}, "margin", CASH),
        ("sma_cross", CROSS, "spot", CASH),
        ("sma_cross", CROSS, "margin", CASH),
    ],
    ids=["grid", "grid beside a holding", "grid on margin", "cross", "cross on margin"],
)
def test_it_closes_and_does_nothing_more(name: str, parameters: Any, kind: Any, balances: dict[str, Decimal]) -> None:
    ledger = played(game(name, parameters, kind, balances))
    assert [halt.code for halt in ledger.of(TradingHalted)] == ["DAILY_LOSS"]
    (halt,) = ledger.of(TradingHalted)
    assert any(holding.bot == "s" and holding.quantity > 0 for holding in halt.flatten)
    assert held(ledger) == 0
    after = since(ledger, TradingHalted)
    assert not [event for event in after if isinstance(event, OrderDenied) and event.bot == "s"]
    (paused,) = (place for place, event in enumerate(after) if isinstance(event, StrategyPaused))
    acts = [event for event in after[paused:] if isinstance(event, StrategyActed)]
    assert [act.reason for act in acts] == ["DAILY_LOSS", "closed"]
    # From its last fill on the account is valued, and that is all.
    last = max(place for place, event in enumerate(after) if isinstance(event, OrderFilled))
    assert {type(event).__name__ for event in after[last + 1 :]} <= QUIET


def test_all_it_has_open_is_gone_before_it_sells() -> None:
    """A resting sell holds the position back: the close would be denied as long as one works."""
    ledger = played(game("grid", {**GRID, "quantity": "0.05"}, "spot", CASH))
    after = since(ledger, TradingHalted)
    names = [type(event).__name__ for event in after]
    (close,) = (
        place for place, event in enumerate(after) if isinstance(event, OrderIntended) and event.type == "market"
    )
    assert "OrderCanceled" in names[:close]
    assert "OrderCanceled" not in names[close:]


class Interrupted:
    """A run in which somebody says something after the first candle behind a halt."""

    def __init__(self, game: Game, said: Sequence[Command]) -> None:
        market, core, self.ledger, waiting = market_of(game), Core(), ListLedger(), list(said)
        while (moments := market.next(core.interest)) is not None:
            while moments:
                at = moments[-1].at
                records, effects = core.step(moments)
                self.ledger.append(records)
                moments = market.send(effects)
            account = core.state("account", "main")
            if account is not None and account.halted and not account.orders and waiting:
                # As many people speak as there are things to say, one after the other.
                facts = [Moment(at, (Input("user:ann", command),)) for command in waiting]
                waiting.clear()
                for fact in facts:
                    records, effects = core.step([fact])
                    self.ledger.append(records)
                    assert not effects
        self.core = core


def test_a_strategy_is_resumed_after_trading_and_begins_anew() -> None:
    said = (ResumeStrategy("s"), ResumeTrading("main", "", 1), ResumeStrategy("s"))
    about_the_price = {"quantity": "0.05", "spacing_pct": "0.05", "levels_each_side": 10}
    one = Interrupted(game("grid", about_the_price, "margin", CASH), said)
    (refused,) = one.ledger.of(StrategyRefused)
    assert (refused.command, refused.code) == ("resume", "TRADING_HALTED")
    assert (len(one.ledger.of(TradingResumed)), len(one.ledger.of(StrategyResumed))) == (1, 1)
    after = since(one.ledger, StrategyResumed)
    acts = [event for event in after if isinstance(event, StrategyActed)]
    # As on the first day: an order at every level but one, about the price of now.
    assert (acts[0].position, len(acts[0].intents), acts[0].order) == (0, 20, 0)
    assert acts[0].close != one.ledger.of(StrategyActed)[0].close
    assert any(act.order for act in acts)


def test_trading_resumed_alone_leaves_it_paused() -> None:
    one = Interrupted(game("grid", {**GRID, "quantity": "0.05"}, "spot", CASH), (ResumeTrading("main", "", 1),))
    assert {type(event).__name__ for event in since(one.ledger, TradingResumed)} <= {"TradingResumed", *QUIET}
    assert one.core.state("strategy", "s").status == "paused"


@pytest.mark.parametrize(("limit", "code"), [("bot_exposure_max", "EXPOSURE_BOT"), ("open_orders_max", "OPEN_ORDERS")])
def test_limits_of_a_bot_hold_for_a_strategy(limit: str, code: str) -> None:
    """Whatever the grid wants, no more than ten orders, or 5,000 USDT, are let through."""
    most: Any = {"bot_exposure_max": "5000", "open_orders_max": 10}
    wanted = SetRiskLimits("main", limits(**{limit: most[limit]}))
    ledger = played(game_of([setup_of("s", "grid", GRID)], TAPE, kind="margin", balances=CASH, commands=(wanted,)))
    assert {denied.code for denied in ledger.of(OrderDenied)} == {code}
    working, quantity, highest = set(), 0, (0, 0)
    for record in ledger.records:
        for event in record.events:
            if isinstance(event, RiskPassed):
                working.add(event.order)
            elif isinstance(event, OrderFilled):
                working.discard(event.order)
                quantity += event.received if event.side == "buy" else -event.received
            highest = max(highest[0], len(working)), max(highest[1], abs(quantity))
    assert highest[0] <= 10 or limit != "open_orders_max"
    # 0.01 BTC is worth 900 USDT.
    assert highest[1] <= 5 * 1000 or limit != "bot_exposure_max"
    assert min(highest) > 0
