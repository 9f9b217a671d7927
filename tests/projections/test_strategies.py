"""The rows of running strategies: given a log, then what each decided last, how it is, and what its fills sum to."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.account.commands import PlaceOrder, SetRiskLimits
from domain.account.events import OrderFilled
from domain.engine import Core
from domain.market import make_instrument
from domain.message import Event
from domain.strategy.events import (
    StrategyActed,
    StrategyConfigured,
    StrategyFailed,
    StrategyPaused,
    StrategyRefused,
    StrategyResumed,
    StrategyStarted,
)
from domain.strategy.intents import Cancel
from domain.values import InstrumentId, Price, Quantity
from projections.bots import BotRow
from projections.catalogue import PROJECTIONS
from projections.fills import FillRow
from projections.orders import OrderRow
from projections.portfolio import BalanceRow
from projections.position_groups import GroupRow, LegRow
from projections.positions import PoolRow, PositionRow
from projections.profit_and_loss import ProfitRow, Totals, by_group
from projections.rows import MemoryRows, fold_records
from projections.strategies import STRATEGIES, StrategyRow
from replay.game import Game, play
from tests.domain.risk.limited import limits
from tests.projections.story import START, Story
from tests.simulator import ListLedger
from tests.strategy_game import CROSS, GRID, RICH_GRID, candles, game_of, setup_of

BTC = make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5), fee_asset="base")
TAPE = candles(1500)


class Run:
    """A backtest with all rows of its log."""

    def __init__(self, game: Game) -> None:
        self.ledger = ListLedger()
        self.core: Core = play(game, self.ledger)
        self.rows = MemoryRows()
        fold_records(PROJECTIONS, self.rows, self.ledger.records)


def trio(fee_asset: str) -> Run:
    strategies = [
        setup_of("rich", "grid", RICH_GRID), setup_of("cross", "sma_cross", CROSS), setup_of("grid", "grid", GRID),
    ]  # fmt: skip
    if fee_asset == "quote":
        return Run(game_of(strategies, TAPE))
    return Run(game_of(strategies, TAPE, instrument=BTC))


@pytest.mark.parametrize("fee_asset", ["quote", "base"])
def test_each_has_what_its_own_fills_come_to(fee_asset: str) -> None:
    run = trio(fee_asset)
    books = run.core.state("account", "main").books
    profits = by_group(run.rows.all(ProfitRow))
    for row in run.rows.all(StrategyRow):
        fills = [fill for fill in run.ledger.of(OrderFilled) if fill.bot == row.bot]
        assert (row.fills, row.fills > 10) == (len(fills), True)
        assert row.held == sum(fill.received if fill.side == "buy" else -fill.received for fill in fills)
        # What the account itself keeps of a bot: its fills' sum, and their cash with fees.
        book = books[row.bot, InstrumentId("BTC/USDT")]
        assert (row.held, row.realized - row.cost - row.fees) == (book.quantity, book.cash)
        pool = run.rows.get(PoolRow, "main", "BTC/USDT", row.bot, 0)
        assert pool is not None
        assert (row.held, row.cost, row.realized, row.fees) == (pool.quantity, pool.cost, pool.realized, pool.fees)
        turnover = sum(fill.cash for fill in fills)
        assert profits["main", row.bot, 0, "USDT"] == Totals(row.realized, row.fees, turnover, len(fills))


@pytest.mark.parametrize("fee_asset", ["quote", "base"])
def test_together_they_are_the_account(fee_asset: str) -> None:
    run = trio(fee_asset)
    account = run.core.state("account", "main")
    (position,) = run.rows.all(PositionRow)
    pools = run.rows.all(PoolRow)
    assert position.quantity == sum(pool.quantity for pool in pools) == account.positions["BTC/USDT"]
    assert {(pool.bot, pool.group) for pool in pools} == {("", 0), ("rich", 0), ("cross", 0), ("grid", 0)}
    (balance,) = run.rows.all(BalanceRow)
    assert balance.cash == account.cash["USDT"]
    realized, fees = (sum(getattr(pool, name) for pool in pools) for name in ("realized", "fees"))
    assert balance.equity == balance.deposited + realized + balance.unrealized - fees


def test_their_orders_are_no_position_groups() -> None:
    run = trio("quote")
    assert not any(run.rows.all(row_type) for row_type in (GroupRow, LegRow, BotRow))
    orders, fills = run.rows.all(OrderRow), run.rows.all(FillRow)
    assert {(order.role, order.group) for order in orders} == {("strategy", 0)}
    assert len(fills) == len(run.ledger.of(OrderFilled))
    open_ = run.core.state("account", "main").orders
    assert {order.order for order in orders if order.status == "ACCEPTED"} == set(open_)


def test_a_hand_and_a_strategy_keep_apart() -> None:
    """What somebody buys beside a strategy is nobody's."""
    hand = PlaceOrder(
        "main", "", 0, 0, "manual", InstrumentId("BTC/USDT"), "buy", "market", 700, None, None, 9_000_000, False,  # type: ignore[arg-type]
    )  # fmt: skip
    run = Run(game_of([setup_of("cross", "sma_cross", CROSS)], TAPE, commands=(hand,)))
    (row,) = run.rows.all(StrategyRow)
    pools = {pool.bot: pool.quantity for pool in run.rows.all(PoolRow)}
    assert pools == {"": 100_000 + 700, "cross": row.held}


def test_a_row_says_what_was_decided_last() -> None:
    run = trio("quote")
    for row in run.rows.all(StrategyRow):
        acts = [act for act in run.ledger.of(StrategyActed) if act.bot == row.bot]
        last = acts[-1]
        assert row.decisions == len(acts)
        assert (row.close, row.intents, row.reacted_to, row.reason) == (
            last.close, len(last.intents), last.order, last.reason,
        )  # fmt: skip
        assert msgspec.json.decode(row.values or "") == list(last.values)
        assert (row.account, row.instrument, row.status, row.error) == ("main", "BTC/USDT", "running", None)
    cross = run.rows.get(StrategyRow, "cross")
    assert cross is not None
    assert msgspec.json.decode(cross.features) == ["fast", "slow", "fast_before", "slow_before"]
    assert msgspec.json.decode(cross.parameters)["notional"] == "10000"


def test_a_halt_that_closes_shows_in_the_row() -> None:
    wanted = SetRiskLimits("main", limits(daily_loss_max="60", value_every_seconds=60, flatten=True))
    grid = setup_of("grid", "grid", {**GRID, "quantity": "0.05"})
    run = Run(game_of([grid], TAPE, balances={"USDT": Decimal(100_000)}, commands=(wanted,)))
    (row,) = run.rows.all(StrategyRow)
    assert (row.status, row.held, row.cost, row.reason) == ("paused", 0, 0, "closed")
    assert row.realized < 0


def rows_of(*events: Event) -> StrategyRow:
    """The row after these, a second from one to the next."""
    story = Story()
    story.tell(1, StrategyStarted("s", "main", "grid", "code", BTC, "{}", ("a",)))
    for event in events:
        story.at += 1_000_000
        story.tell(1, event)
    rows = MemoryRows()
    fold_records([STRATEGIES], rows, story.records)
    (row,) = rows.all(StrategyRow)
    return row


def at(seconds: int) -> int:
    return START + seconds * 1_000_000


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ((), {"status": "running", "acted_at": None, "close": None, "values": None, "decisions": 0}),
        ((StrategyPaused("s"),), {"status": "paused", "updated_at": at(1)}),
        ((StrategyPaused("s"), StrategyResumed("s")), {"status": "running", "updated_at": at(2)}),
        ((StrategyFailed("s", "main", "ZeroDivisionError: x"),), {"status": "failed", "error": "ZeroDivisionError: x"}),
        ((StrategyFailed("s", "main", "x"), StrategyResumed("s")), {"status": "running", "error": None}),
        ((StrategyRefused("s", "pause", "STATUS_WRONG", "x"),), {"status": "running", "updated_at": at(0)}),
        (
            (StrategyConfigured("s", "other", '{"x":1}', ("b", "c")),),
            {"code": "other", "parameters": '{"x":1}', "features": '["b","c"]', "started_at": at(0)},
        ),
        (
            (StrategyActed("s", "main", BTC.id, Price(7), Quantity(3), (1, 2.5), (Cancel(), Cancel()), 12, b"x", "why"),),
            {
                "decisions": 1, "acted_at": at(1), "close": 7, "values": "[1,2.5]", "intents": 2, "reacted_to": 12,
                "reason": "why",
            },
        ),
    ],
)  # fmt: skip
def test_folds(events: tuple[Event, ...], wanted: dict[str, Any]) -> None:
    row = rows_of(*events)
    assert {name: getattr(row, name) for name in wanted} == wanted
