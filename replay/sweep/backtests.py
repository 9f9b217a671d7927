"""The job of a search over a strategy: a backtest of it on tapes that each process loads once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from domain.account.events import OrderFilled, PositionDeposited
from domain.message import Event, Record
from domain.strategy.plugin import Strategy
from infrastructure.market_data.tape import Tape
from infrastructure.plugins import load_plugins
from infrastructure.strategy_file import strategy_of
from infrastructure.venues.scans import Scans
from projections.performance import round_trips
from replay.game import Portfolio, play, portfolio_game
from replay.inputs import InstrumentTable
from replay.metrics.curve import equity_curve
from replay.metrics.metrics import PERIODS_PER_YEAR, metrics_of
from replay.metrics.periods import day_returns
from replay.strategy_plan import setups_of
from replay.sweep.job import DAILY_RETURNS, Evaluate, Parameters, Window


class BacktestJob(Struct, frozen=True):
    """A strategy, named or in a file, on every market of a portfolio that has none of its own, and where the tapes lie.

    `tables` are the markets as they were asked for, each perhaps with a bot's name and parameters of its own.
    """

    strategy: str
    portfolio: Portfolio
    tables: tuple[InstrumentTable, ...]
    tapes: tuple[Path, ...]
    market: Window | None = None
    periods_per_year: float = PERIODS_PER_YEAR

    def prepare(self) -> Evaluate:
        load_plugins()
        strategy = strategy_of(self.strategy)
        tapes = [_cut(Tape.load(path), self.market) for path in self.tapes]

        scans = Scans()

        def evaluate(parameters: Parameters, window: Window | None) -> Mapping[str, Any]:
            return self._outcome(strategy, parameters, [_cut(tape, window) for tape in tapes], scans)

        return evaluate

    def _outcome(
        self, strategy: Strategy, parameters: Parameters, tapes: Sequence[Tape], scans: Scans
    ) -> Mapping[str, Any]:
        """One backtest and what came of it; raises InputError for parameters that the strategy refuses."""
        setups = setups_of(strategy, parameters, self.tables, self.portfolio)
        game = portfolio_game(structs.replace(self.portfolio, strategies=setups), tapes, [])
        ledger = _Traded()
        play(game, ledger, scans=scans)
        trades = round_trips(ledger.fills, ledger.deposits, game.start())
        markets = [(each.instrument, each.tape) for each in game.markets]
        curve = equity_curve(ledger.fills, markets, game.cash, [each.position for each in game.markets])
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


class _Traded:
    """A ledger that keeps the fills, and what was held before them, and nothing else."""

    def __init__(self) -> None:
        self.fills: list[OrderFilled] = []
        self.deposits: list[PositionDeposited] = []

    def append(self, records: list[Record[Event]]) -> None:
        for record in records:
            for event in record.events:
                if type(event) is OrderFilled:
                    self.fills.append(event)
                elif type(event) is PositionDeposited:
                    self.deposits.append(event)


def _cut(tape: Tape, window: Window | None) -> Tape:
    return tape if window is None else tape.slice(window.start, window.end)
