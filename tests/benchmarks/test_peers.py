import random
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.agreement import agreement, planted
from benchmarks.peers.market import rough_walk, write_candles
from benchmarks.peers.reference import Candles, Rule, fills_of, grid, read_candles, sma_cross
from benchmarks.peers.truetape import run
from benchmarks.peers.workload import GRID, SMA_CROSS, WORKLOADS, Fill, profit_of, read_fills, write_fills

CROSS: dict[str, Any] = SMA_CROSS | {"fast": 1, "slow": 2, "notional": "100"}
LADDER: dict[str, Any] = GRID | {"lower": "90", "upper": "110", "levels": 3, "quantity": "1"}
"""Levels 90, 100 and 110."""


def candles(*rows: tuple[float, float, float, float]) -> Candles:
    """Open, high, low, close; opening at 0, 1, 2 ..."""
    return Candles(list(range(len(rows))), *(list(column) for column in zip(*rows, strict=True)))


def closing_at(*closes: float) -> Candles:
    """Each opens one above its close."""
    return candles(*((close + 1, close + 1, close, close) for close in closes))


def test_cross_buys_and_sells_at_the_next_open() -> None:
    # The means of one and of two closes: level, above, below, above; the last candle decides nothing.
    found = sma_cross(closing_at(10, 10, 20, 10, 20), CROSS)
    assert found == [Fill(3, "buy", 1100, 500_000), Fill(4, "sell", 2100, 500_000)]


def test_cross_decides_nothing_where_the_means_have_no_values_before() -> None:
    assert sma_cross(closing_at(10, 20, 30, 40), CROSS) == []


def test_cross_of_closes_that_were_level_counts() -> None:
    found = sma_cross(closing_at(10, 10, 20, 20, 10, 10), CROSS)
    assert [(each.time, each.side) for each in found] == [(3, "buy"), (5, "sell")]


def test_cross_with_close_fill_trades_at_the_deciding_close() -> None:
    found = sma_cross(closing_at(10, 10, 20, 10, 20), CROSS, "close fill")
    assert found == [Fill(2, "buy", 2000, 500_000), Fill(3, "sell", 1000, 500_000)]


def test_grid_fills_at_its_level_and_answers_from_the_next_candle_on() -> None:
    # The buy at 90 is met; its sell at 100, though the candle goes there, only by the one after.
    found = grid(candles((100, 100, 100, 100), (95, 105, 90, 95), (95, 100, 95, 95)), LADDER)
    assert found == [Fill(1, "buy", 9000, 100_000), Fill(2, "sell", 10_000, 100_000)]


@pytest.mark.parametrize(("rule", "price"), [("candle-v1", 8500), ("own price", 9000), ("close fill", 9000)])
def test_grid_where_a_candle_opens_beyond_a_level(rule: Rule, price: int) -> None:
    assert grid(candles((100, 100, 100, 100), (85, 88, 80, 86)), LADDER, rule) == [Fill(1, "buy", price, 100_000)]


def test_grid_of_which_one_candle_meets_both_neighbours_rests_two_orders_on_one_level() -> None:
    found = grid(candles((100, 100, 100, 100), (100, 110, 90, 100), (100, 100, 100, 100)), LADDER)
    assert found == [
        Fill(1, "buy", 9000, 100_000),
        Fill(1, "sell", 11_000, 100_000),
        Fill(2, "sell", 10_000, 100_000),
        Fill(2, "buy", 10_000, 100_000),
    ]


def test_grid_with_close_fill_trades_at_once_where_the_close_lies_beyond_the_new_order() -> None:
    market = candles((100, 100, 100, 100), (100, 104, 90, 104), (104, 104, 104, 104))
    assert grid(market, LADDER, "close fill") == [Fill(1, "buy", 9000, 100_000), Fill(1, "sell", 10_400, 100_000)]


def test_profit_is_what_moved_less_fees_and_what_is_held_at_the_last_close() -> None:
    fills = [Fill(1, "buy", 9000, 200_000), Fill(2, "sell", 10_000, 100_000)]
    assert profit_of(fills, 0.01, 95) == pytest.approx(-180 - 1.8 + 100 - 1 + 95)


def test_agreement_sees_a_cent_and_a_fill_that_is_missing() -> None:
    fills = [Fill(at, "buy", 9000 + at, 100) for at in range(5)]
    assert agreement(fills, fills[::-1]).whole()
    found = agreement(fills, planted(fills))
    assert (found.same, found.missing, found.surplus) == (3, [fills[2], fills[4]], [fills[2]._replace(price=9003)])
    assert not agreement(fills, [*fills, fills[0]]).whole(), "a fill twice is one too many"


def test_fills_come_back_from_their_file(tmp_path: Path) -> None:
    fills = [Fill(1, "buy", 8_999_999, 1), Fill(2, "sell", 1, 100_000_001)]
    write_fills(tmp_path / "fills.csv", fills)
    assert read_fills(tmp_path / "fills.csv") == fills


def test_the_rough_market_has_gaps_and_meets_many_levels_at_once() -> None:
    rows = list(islice(rough_walk(random.Random(1)), 100))
    assert all(low <= min(opened, close) and high >= max(opened, close) for opened, high, low, close, _ in rows)
    assert any(opened != before[3] for before, (opened, *_) in pairwise(rows))
    assert max(high - low for _, high, low, *_ in rows) > 3 * 13_000


@pytest.mark.parametrize(("workload", "rough"), [("sma_cross", False), ("sma_cross", True), ("grid", False)])
def test_truetape_agrees_with_close_fill_too(workload: str, rough: bool, tmp_path: Path) -> None:
    """On the rough market's grid nautilus_trader answers a fill at the close a candle later than ours does."""
    path = tmp_path / "candles.parquet"
    write_candles(path, 2_000, rough=rough)
    answer = run(workload, {**WORKLOADS[workload], "rules": "close-fill"}, path)
    expected = fills_of(workload, read_candles(path), WORKLOADS[workload], "close fill")
    assert len(expected) > 50
    assert str(agreement(expected, list(answer.fills()))) == f"all {len(expected):,} fills agree"


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("workload", [*WORKLOADS])
def test_truetape_agrees_with_the_reference(workload: str, rough: bool, tmp_path: Path) -> None:
    write_candles(tmp_path / "candles.parquet", 2_000, rough=rough)
    answer = run(workload, WORKLOADS[workload], tmp_path / "candles.parquet")
    market = read_candles(tmp_path / "candles.parquet")
    expected = fills_of(workload, market, WORKLOADS[workload])
    assert len(expected) > 50
    assert str(agreement(expected, list(answer.fills()))) == f"all {len(expected):,} fills agree"
    fee = float(WORKLOADS[workload]["maker_fee" if workload == "grid" else "taker_fee"])
    assert answer.profit == pytest.approx(profit_of(expected, fee, market.close[-1]), abs=0.001)
