"""Limits and halts as rows."""

from decimal import Decimal

from domain.account.events import RiskLimitsSet, TradingHalted, TradingResumed
from domain.account.limits import RiskLimits
from domain.message import Event
from projections.risk import RISK, RiskLimitsRow, TradingHaltRow, limits_of
from projections.rows import MemoryRows, fold_records
from tests.projections.story import HOUR, START, Story


def after(*events: Event) -> MemoryRows:
    """Rows after the events, each an hour after the one before."""
    story, rows = Story(), MemoryRows()
    for event in events:
        story.tell(1, event)
        story.at += HOUR
    fold_records([RISK], rows, story.records)
    return rows


def test_the_limits_in_force_are_the_last_ones() -> None:
    first, second = RiskLimits(open_orders_max=5), RiskLimits(price_collar_pct=Decimal("2.50"))
    (row,) = after(RiskLimitsSet("main", 1, first), RiskLimitsSet("main", 2, second)).all(RiskLimitsRow)
    assert (row.version, row.set_at) == (2, START + HOUR)
    assert limits_of(row) == second


def test_a_halt_stands_until_it_is_resumed() -> None:
    halted = TradingHalted("main", "dca", "loss=1", "HALTED", "DAILY_LOSS", 3)
    (row,) = after(halted).all(TradingHaltRow)
    assert row == TradingHaltRow("main", 3, "dca", "HALTED", "DAILY_LOSS", "loss=1", START)
    (row,) = after(halted, TradingResumed("main", "dca", 3)).all(TradingHaltRow)
    assert row.resumed_at == START + HOUR


def test_a_halt_that_was_outdone_ends_with_the_one_that_did() -> None:
    rows = after(
        TradingHalted("main", "", "drift", "REDUCING", "KILL", 1),
        TradingHalted("main", "dca", "kill", "HALTED", "KILL", 2),
        TradingHalted("main", "", "kill", "HALTED", "KILL", 3),
        TradingResumed("main", "", 3),
        TradingHalted("main", "", "kill", "HALTED", "KILL", 4),
        TradingResumed("main", "", 4),
    ).all(TradingHaltRow)
    hour = [None if row.resumed_at is None else (row.resumed_at - START) // HOUR for row in rows]
    assert hour == [3, None, 3, 5]


def test_halts_of_before_they_had_numbers_are_told() -> None:
    (row,) = after(TradingHalted("main", "", "kill"), TradingResumed("main", "")).all(TradingHaltRow)
    assert (row.number, row.resumed_at) == (0, START + HOUR)
