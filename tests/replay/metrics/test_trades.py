import math

import numpy as np
import pytest
from msgspec import structs

from domain.account.events import OrderFilled
from domain.values import Asset, Cash, Side, Time
from projections.performance import round_trips
from replay.metrics.trades import geometric_mean, kelly, profit_factor, sqn, trade_statistics
from tests.projections.story import fill_of, intended

HOUR = 3_600_000_000


def fill(order: int, side: Side, cash: int, fee: int = 0, hour: int = 0) -> OrderFilled:
    return structs.replace(fill_of(intended(order, side=side), fee=fee), cash=Cash(cash), venue_at=Time(hour * HOUR))


# A win of 300, a loss of 100, a loss of 50 and one that comes out even; one unit is 100 quanta.
FILLS = [
    fill(1, "buy", 100_000, 1_000, hour=0),
    fill(2, "sell", 132_000, 1_000, hour=2),
    fill(3, "sell", 100_000, hour=3),
    fill(4, "buy", 110_000, hour=4),
    fill(5, "buy", 50_000, hour=5),
    fill(6, "sell", 45_000, hour=11),
    fill(7, "buy", 50_000, hour=12),
    fill(8, "sell", 50_000, hour=13),
    fill(9, "buy", 30_000, 500, hour=14),
    fill(10, "buy", 40_000, hour=15),
]


def test_figures_by_hand() -> None:
    found = trade_statistics(round_trips(FILLS), scale=2)
    assert (found.fills, found.trades, found.wins, found.losses, found.open_lots) == (10, 4, 1, 2, 2)
    assert (found.turnover, found.fees, found.net_profit) == ("7070", "25", "150")
    assert (found.gross_win, found.gross_loss, found.best_trade, found.worst_trade) == ("300", "-150", "300", "-100")
    assert (found.average_win, found.average_loss, found.expectancy) == (300, -75, 37.5)
    assert (found.win_rate, found.payoff_ratio, found.profit_factor) == (0.25, 4, 2)
    assert found.kelly == pytest.approx(0.25 - 0.75 / 4)
    assert (found.average_trade_s, found.longest_trade_s) == (10 / 4 * 3600, 6 * 3600)
    assert (found.best_trade_return, found.worst_trade_return) == (0.3, -0.1)
    assert found.average_trade_return == pytest.approx((0.3 - 0.1 - 0.1) / 4)
    assert found.geometric_trade_return == pytest.approx((1.3 * 0.9 * 0.9) ** 0.25 - 1)
    assert found.return_profit_factor == pytest.approx(0.3 / 0.2)
    assert found.sqn == pytest.approx(2 * 37.5 / math.sqrt((262.5**2 + 137.5**2 + 87.5**2 + 37.5**2) / 3))


def test_without_trades_there_are_counts_and_no_figures() -> None:
    found = structs.asdict(trade_statistics(round_trips([]), scale=2))
    counts = {"fills", "open_lots", "trades", "wins", "losses"}
    sums = {"turnover", "fees", "net_profit", "gross_win", "gross_loss"}
    assert {name: found.pop(name) for name in counts} == dict.fromkeys(counts, 0)
    assert {name: found.pop(name) for name in sums} == dict.fromkeys(sums, "0")
    assert found.pop("other_fees") == ()
    assert set(found.values()) == {None}


def test_only_wins_have_no_factor_and_no_share_of_the_capital() -> None:
    found = trade_statistics(round_trips(FILLS[:2]), scale=2)
    assert (found.win_rate, found.average_loss, found.payoff_ratio, found.profit_factor) == (1, None, None, None)
    assert (found.kelly, found.sqn, found.return_profit_factor) == (None, None, None)


def test_a_fee_in_a_third_asset_is_said_to_be_left_out() -> None:
    fills = [structs.replace(each, fee_asset=Asset("BNB")) for each in FILLS[:2]]
    found = trade_statistics(round_trips(fills), scale=2)
    assert (found.other_fees, found.fees, found.net_profit) == (("BNB",), "0", "320")


def test_a_trade_that_lost_everything_has_no_geometric_mean() -> None:
    assert geometric_mean(np.array([0.5, -1.0])) is None
    assert geometric_mean(np.array([], np.float64)) is None


def test_equal_profits_have_no_quality_number() -> None:
    assert sqn(np.array([5.0, 5.0, 5.0])) is None
    assert sqn(np.array([5.0])) is None


def test_only_losses_bet_nothing_that_can_be_said() -> None:
    assert kelly(0.0, None) is None
    assert kelly(0.5, 0.0) is None
    assert profit_factor(np.array([-1.0, -2.0])) == 0
