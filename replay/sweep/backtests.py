"""The job of a search over a strategy: a backtest of it on tapes that each process loads once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from domain.account.events import OrderFilled
from domain.message import Event, Record
from domain.strategy.registry import read_parameters
from infrastructure.market_data.tape import Tape
from infrastructure.plugins import load_plugins
from infrastructure.strategy_file import strategy_of
from projections.performance import round_trips
from replay.backtest import Portfolio, StrategySetup, play, portfolio_game
from replay.metrics.curve import equity_curve
from replay.metrics.metrics import PERIODS_PER_YEAR, metrics_of
from replay.metrics.periods import day_returns
from replay.sweep.job import DAILY_RETURNS, Evaluate, Parameters, Window


class BacktestJob(Struct, frozen=True):
    """A strategy, named or in a file, on every market of a portfolio that has no strategies of its own, and where the markets' tapes lie."""

    strategy: str
    portfolio: Portfolio
    tapes: tuple[Path, ...]
    market: Window | None = None
    periods_per_year: float = PERIODS_PER_YEAR

    def prepare(self) -> Evaluate:
        load_plugins()
        tapes = [_cut(Tape.load(path), self.market) for path in self.tapes]

        def evaluate(parameters: Parameters, window: Window | None) -> Mapping[str, Any]:
            return self.outcome(parameters, [_cut(tape, window) for tape in tapes])

        return evaluate

    def outcome(self, parameters: Parameters, tapes: Sequence[Tape]) -> Mapping[str, Any]:
        """One backtest and what came of it; raises InputError for parameters that the strategy refuses."""
        strategy = strategy_of(self.strategy)
        setups = tuple(
            StrategySetup(
                bot_name(strategy.name, market.instrument.id, len(self.portfolio.markets)),
                strategy,
                read_parameters(strategy, parameters, market.instrument),
                market.instrument.id,
            )
            for market in self.portfolio.markets
        )
        game = portfolio_game(structs.replace(self.portfolio, strategies=setups), tapes, [])
        fills = _Fills()
        play(game, fills)
        trades = round_trips(fills.fills)
        markets = [(each.instrument, each.tape) for each in game.markets]
        curve = equity_curve(fills.fills, markets, game.cash, [each.position for each in game.markets])
        figures = metrics_of(curve, trades, periods_per_year=self.periods_per_year)
        risk, made = figures.risk, figures.trades
        return {
            "total_return": figures.growth.total_return,
            "sharpe": risk.sharpe,
            "sortino": risk.sortino,
            "calmar": risk.calmar,
            "max_drawdown": figures.drawdown.max_drawdown,
            "trades": made.trades,
            "profit": float(made.net_profit),
            "fees": float(made.fees),
            "win_rate": made.win_rate,
            "profit_factor": made.profit_factor,
            DAILY_RETURNS: day_returns(curve).tolist(),
        }


def bot_name(strategy: str, instrument: str, markets: int) -> str:
    """The name under which a strategy runs: its own, with the instrument where there are several."""
    return strategy if markets == 1 else f"{strategy}-{instrument.replace('/', '').lower()}"


class _Fills:
    """A ledger that keeps the fills and nothing else."""

    def __init__(self) -> None:
        self.fills: list[OrderFilled] = []

    def append(self, records: list[Record[Event]]) -> None:
        self.fills += [event for record in records for event in record.events if type(event) is OrderFilled]


def _cut(tape: Tape, window: Window | None) -> Tape:
    return tape if window is None else tape.slice(window.start, window.end)
