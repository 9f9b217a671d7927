"""Statistics of round trips, which is what a backtest's reader calls its trades."""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from domain.values import POWERS, SECOND, Asset, decimal_text
from projections.performance import RoundTrip, Trades
from replay.metrics.statistics import Floats, deviation, finite, ratio


class TradeStatistics(Struct, frozen=True, kw_only=True):
    """Of completed round trips, net of fees; exact amounts are text, averages numbers, both in the quote asset.

    A trade's return is its profit over the cash of its entry. `turnover`, `fees` and `fills` are of all fills, also those of
    what is still open; `other_fees` were taken in assets that have no value here.
    """

    fills: int
    turnover: str
    fees: str
    other_fees: tuple[Asset, ...]
    open_lots: int
    trades: int
    wins: int
    losses: int
    win_rate: float | None
    net_profit: str
    gross_win: str
    gross_loss: str
    average_win: float | None
    average_loss: float | None
    payoff_ratio: float | None
    profit_factor: float | None
    expectancy: float | None
    best_trade: str | None
    worst_trade: str | None
    average_trade_return: float | None
    geometric_trade_return: float | None
    best_trade_return: float | None
    worst_trade_return: float | None
    return_profit_factor: float | None
    average_trade_s: float | None
    longest_trade_s: float | None
    sqn: float | None
    kelly: float | None


def trade_statistics(trades: Trades, scale: int) -> TradeStatistics:
    """Sum up round trips whose cash is in quanta of 10^-scale."""
    profits = [trip.profit for trip in trades.trips]
    wins, losses = [p for p in profits if p > 0], [p for p in profits if p < 0]
    gross_win, gross_loss = sum(wins), sum(losses)
    count, unit = len(profits), POWERS[scale]
    won = ratio(len(wins), count)
    payoff = _quotient(gross_win * len(losses), -gross_loss * len(wins))
    returns = trade_returns(trades.trips)
    durations = [trip.closed_at - trip.opened_at for trip in trades.trips]
    return TradeStatistics(
        fills=trades.fills,
        turnover=decimal_text(trades.turnover, scale),
        fees=decimal_text(trades.fees, scale),
        other_fees=tuple(sorted(trades.other_fees)),
        open_lots=sum(len(book.lots) for book in trades.books),
        trades=count,
        wins=len(wins),
        losses=len(losses),
        win_rate=won,
        net_profit=decimal_text(sum(profits), scale),
        gross_win=decimal_text(gross_win, scale),
        gross_loss=decimal_text(gross_loss, scale),
        average_win=_quotient(gross_win, len(wins) * unit),
        average_loss=_quotient(gross_loss, len(losses) * unit),
        payoff_ratio=payoff,
        profit_factor=_quotient(gross_win, -gross_loss),
        expectancy=_quotient(sum(profits), count * unit),
        best_trade=decimal_text(max(profits), scale) if profits else None,
        worst_trade=decimal_text(min(profits), scale) if profits else None,
        average_trade_return=float(returns.mean()) if len(returns) else None,
        geometric_trade_return=geometric_mean(returns),
        best_trade_return=float(returns.max()) if len(returns) else None,
        worst_trade_return=float(returns.min()) if len(returns) else None,
        return_profit_factor=profit_factor(returns),
        average_trade_s=_quotient(sum(durations), count * SECOND),
        longest_trade_s=max(durations) / SECOND if durations else None,
        sqn=sqn(np.array(profits, np.float64)),
        kelly=kelly(won, payoff),
    )


def trade_returns(trips: Sequence[RoundTrip]) -> Floats:
    """Profit over the cash of the entry, of the trips that had any."""
    return np.array([trip.profit / trip.entry_cash for trip in trips if trip.entry_cash], np.float64)


def geometric_mean(returns: Floats) -> float | None:
    """The return that, made by every trade, compounds to the same; None where one lost all or more."""
    if not len(returns) or returns.min() <= -1:
        return None
    return math.expm1(float(np.log1p(returns).mean()))


def profit_factor(gains: Floats) -> float | None:
    """Sum of the gains over the sum of the losses."""
    return ratio(float(gains[gains > 0].sum()), -float(gains[gains < 0].sum()))


def sqn(profits: Floats) -> float | None:
    """System quality number: sqrt(n) x mean / deviation of the profits (Tharp 2008)."""
    spread = deviation(profits)
    return None if not spread else ratio(math.sqrt(len(profits)) * float(profits.mean()), spread)


def kelly(win_rate: float | None, payoff_ratio: float | None) -> float | None:
    """The share of the capital that grows it fastest: W - (1 - W) / R (Kelly 1956); None without wins or losses."""
    if win_rate is None or not payoff_ratio:
        return None
    return finite(win_rate - (1 - win_rate) / payoff_ratio)


def _quotient(numerator: int, denominator: int) -> float | None:
    """Of integers, rounded once; None over zero."""
    return numerator / denominator if denominator else None
