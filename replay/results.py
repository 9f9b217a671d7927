"""What follows from a run's log and its tapes: fills, round trips, the equity curve, figures; and the folder they fill."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from domain.account.events import OrderFilled
from domain.market import Instrument
from domain.message import Event, Record
from projections.performance import Trades, round_trips
from replay.files import EQUITY_FILE
from replay.game import Game
from replay.gathered import Gathered
from replay.metrics.curve import Curve, closes_at, equity_curve
from replay.metrics.metrics import PERIODS_PER_YEAR, Metrics, metrics_of
from replay.result import write_equity
from replay.result_report.outcome import Outcome, report_of
from replay.result_report.page import write_page


class Results(Struct, frozen=True, eq=False):
    """A run in numbers; it is as exact as the log is."""

    fills: list[OrderFilled]
    trades: Trades
    curve: Curve
    metrics: Metrics
    instruments: dict[str, Instrument]


def results_of(
    game: Game, found: Gathered, periods_per_year: float = PERIODS_PER_YEAR, trades: Trades | None = None
) -> Results:
    """What a whole log, gathered, comes to; `trades` are its round trips, where they have been made.

    Raises InputError where its tapes have no candle.
    """
    markets = [(market.instrument, market.tape) for market in game.markets]
    curve = equity_curve(found.fills, markets, game.cash, [market.position for market in game.markets])
    if trades is None:
        trades = round_trips(found.fills, found.deposits, game.start())
    # One market is what the cash could have bought instead; of several it is none of them.
    beside = closes_at(markets[0][1], curve.times) if len(markets) == 1 else None
    metrics = metrics_of(curve, trades, beside, periods_per_year)
    return Results(found.fills, trades, curve, metrics, {instrument.id: instrument for instrument, _ in markets})


def write_tables(
    out: Path,
    game: Game,
    found: Gathered,
    records: Iterable[Record[Event]] | None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Results:
    """Write all but the summary and the page; returns what the log comes to, of which all is `found`.

    Without `records` somebody else writes the log's own tables.
    """
    trades = None
    if records is not None:
        from replay.log_tables import write_log_tables  # noqa: PLC0415  (polars, a fifth of a second: only who writes them)

        trades = write_log_tables(out, records, game.start())
    results = results_of(game, found, periods_per_year, trades)
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
