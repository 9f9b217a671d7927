"""What follows from a run's log and its tapes: fills, round trips, the equity curve, figures; and the folder they fill."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from domain.account.events import OrderFilled, PositionDeposited
from domain.market import Instrument
from domain.message import Event, Record
from projections.performance import Trades, round_trips
from replay.game import Game
from replay.metrics.curve import Curve, closes_at, equity_curve
from replay.metrics.metrics import PERIODS_PER_YEAR, Metrics, metrics_of
from replay.result import write_equity, write_event_table, write_round_trips, writing_fills
from replay.result_report.outcome import Outcome, report_of
from replay.result_report.page import write_page

FILLS_FILE, TRIPS_FILE, EQUITY_FILE = "fills.csv", "round_trips.csv", "equity.csv"
EVENTS_FILE, REPORT_FILE = "events.parquet", "report.html"
FILES = (FILLS_FILE, TRIPS_FILE, EQUITY_FILE, EVENTS_FILE, REPORT_FILE)


class Results(Struct, frozen=True, eq=False):
    """A run in numbers; it is as exact as the log is."""

    fills: list[OrderFilled]
    trades: Trades
    curve: Curve
    metrics: Metrics
    instruments: dict[str, Instrument]


def results_of(
    game: Game, records: Iterable[Record[Event]], periods_per_year: float = PERIODS_PER_YEAR
) -> Results:  # fmt: skip
    """Read a run's log once. Raises InputError where its tapes have no candle."""
    found = _Found()
    for _record in found.passing(records):
        pass
    return found.results(game, periods_per_year)


def write_tables(
    out: Path,
    game: Game,
    records: Iterable[Record[Event]],
    periods_per_year: float = PERIODS_PER_YEAR,
    *,
    events: bool = True,
) -> Results:
    """Write all but the summary and the page, with the log read once; returns what it comes to.

    Without `events` somebody else writes their table.
    """
    found = _Found()
    passing = writing_fills(out / FILLS_FILE, found.passing(records))
    if events:
        write_event_table(out / EVENTS_FILE, passing)
    else:
        deque(passing, maxlen=0)
    results = found.results(game, periods_per_year)
    write_round_trips(out / TRIPS_FILE, results.trades.trips, results.instruments)
    write_equity(out / EQUITY_FILE, results.curve)
    return results


def write_report(
    path: Path,
    game: Game,
    results: Results,
    summary: Mapping[str, Any],
    parameters: Mapping[str, Any],
    warnings: tuple[str, ...] = (),
) -> None:
    """Write the page of a run; `summary` is that of summary.json."""
    markets = [(market.instrument, market.tape) for market in game.markets]
    outcome = Outcome(
        summary=summary,
        parameters=parameters,
        settings=_settings(game),
        curve=results.curve,
        trades=results.trades,
        metrics=results.metrics,
        markets=markets,
        fills=results.fills,
        warnings=warnings,
    )
    write_page(path, report_of(outcome))


class _Found:
    """What is remembered of records that pass."""

    def __init__(self) -> None:
        self.fills: list[OrderFilled] = []
        self.deposits: list[PositionDeposited] = []

    def passing(self, records: Iterable[Record[Event]]) -> Iterator[Record[Event]]:
        for record in records:
            for event in record.events:
                if type(event) is OrderFilled:
                    self.fills.append(event)
                elif type(event) is PositionDeposited:
                    self.deposits.append(event)
            yield record

    def results(self, game: Game, periods_per_year: float) -> Results:
        markets = [(market.instrument, market.tape) for market in game.markets]
        curve = equity_curve(self.fills, markets, game.cash, [market.position for market in game.markets])
        trades = round_trips(self.fills, self.deposits, game.start())
        # One market is what the cash could have bought instead; of several it is none of them.
        beside = closes_at(markets[0][1], curve.times) if len(markets) == 1 else None
        metrics = metrics_of(curve, trades, beside, periods_per_year)
        return Results(self.fills, trades, curve, metrics, {instrument.id: instrument for instrument, _ in markets})


def _settings(game: Game) -> dict[str, str]:
    """The market's and the account's terms, of each instrument where there are several."""
    first = game.markets[0].instrument
    told = {"account": game.kind, f"{first.quote} at the start": first.cash_text(game.cash)}
    for market in game.markets:
        instrument, terms = market.instrument, market.terms
        of = f" of {instrument.id}" if len(game.markets) > 1 else ""
        told |= {
            f"{instrument.base} at the start": instrument.size_text(market.position),
            f"tick{of}": instrument.price_text(instrument.tick),
            f"step{of}": instrument.size_text(instrument.step),
            f"least order{of}": instrument.cash_text(instrument.minimum_notional),
            f"maker fee{of}": f"{terms.maker_fee:f}",
            f"taker fee{of}": f"{terms.taker_fee:f}",
            f"slippage{of}": f"{terms.slippage:f}",
            f"fees are taken in{of}": instrument.fee_asset,
        }
    return told
