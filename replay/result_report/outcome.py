"""What a run came to, told as the page's report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from domain.account.events import OrderFilled
from domain.market import Instrument
from domain.values import POWERS, SECOND
from infrastructure.market_data.columns_file import integers
from infrastructure.market_data.tape import Tape
from projections.performance import Trades
from replay.metrics.curve import Curve
from replay.metrics.drawdowns import depths
from replay.metrics.metrics import Metrics
from replay.result_report.figures import UNDEFINED, figure_tables, headline, lasting, moment
from replay.result_report.report import Figure, Fills, Market, Report, Series, Table

TRIPS_MIN = 30
"""Fewer round trips than these say little of a strategy."""
EVEN, SURE = 0.5, 0.95
"""Between these probabilities a Sharpe ratio above zero may be luck."""


class Outcome(Struct, frozen=True, eq=False):
    """All that is known of a run. `parameters` are the strategy's, `settings` the market's and the account's.

    `summary` is that of summary.json. `warnings` are added to those that the figures give.
    """

    summary: Mapping[str, Any]
    parameters: Mapping[str, Any]
    settings: Mapping[str, Any]
    curve: Curve
    trades: Trades
    metrics: Metrics
    markets: Sequence[tuple[Instrument, Tape]]
    fills: Sequence[OrderFilled]
    warnings: tuple[str, ...] = ()


def report_of(outcome: Outcome) -> Report:
    """The page of a run whose tapes have at least one candle."""
    summary, curve, metrics = outcome.summary, outcome.curve, outcome.metrics
    names = ", ".join(str(instrument.id) for instrument, _ in outcome.markets)
    unit = POWERS[curve.cash_scale]
    times = np.concatenate(([np.int64(curve.start)], curve.times))
    quanta = np.concatenate(([np.int64(curve.initial)], curve.equity))
    return Report(
        title=f"{summary['strategy']} on {names}",
        subtitle=(
            f"{moment(metrics.growth.start)} to {moment(metrics.growth.end)} UTC, {summary['counts']['candles']:,} candles, "
            f"fills by {summary['rules']}"
        ),
        currency=str(curve.currency),
        headline=headline(metrics),
        equity=Series(times, quanta / unit),
        drawdown=Series(times, depths(quanta) if curve.initial > 0 else np.zeros(len(quanta))),
        months={each.period: each.change for each in metrics.by_month},
        markets=tuple(_market(instrument, tape, outcome.fills) for instrument, tape in outcome.markets),
        profits=np.array([trip.profit for trip in outcome.trades.trips], np.int64) / unit,
        tables=(*_asked(outcome), *figure_tables(metrics), _made(summary)),
        warnings=(*_warnings(outcome), *outcome.warnings),
        benchmark=_held(outcome) if len(outcome.markets) == 1 else None,
    )


def _market(instrument: Instrument, tape: Tape, fills: Sequence[OrderFilled]) -> Market:
    own = [fill for fill in fills if fill.instrument == instrument.id]
    unit = POWERS[instrument.price_scale]
    closes = Series(integers(tape.open_times) + tape.interval, integers(tape.closes) / POWERS[tape.price_scale])
    times = np.array([fill.venue_at for fill in own], np.int64)
    prices = np.array([fill.price for fill in own], np.int64) / unit
    is_buy = np.array([fill.side == "buy" for fill in own], np.bool_)
    order = np.argsort(times, kind="stable")
    fills_on = Fills(times[order], prices[order], is_buy[order])
    return Market(str(instrument.id), closes, fills_on, instrument.price_scale)


def _held(outcome: Outcome) -> Series | None:
    """The initial equity, had it bought the one market at its first close."""
    _, tape = outcome.markets[0]
    closes = integers(tape.closes)
    if not len(closes):
        return None
    start = outcome.curve.initial / POWERS[outcome.curve.cash_scale]
    return Series(integers(tape.open_times) + tape.interval, closes / closes[0] * start)


def _asked(outcome: Outcome) -> list[Table]:
    found = []
    for title, values in (("Parameters", outcome.parameters), ("Market and account", outcome.settings)):
        rows = tuple(Figure(str(name), str(value)) for name, value in values.items())
        if rows:
            found.append(Table(title, rows))
    return found


def _made(summary: Mapping[str, Any]) -> Table:
    """What it takes to do the run again, and to know that it was the same."""
    tapes = summary.get("tape_digests") or {"": summary.get("tape_digest", UNDEFINED)}
    return Table(
        "The run",
        (
            Figure("fill rules", str(summary["rules"])),
            *(Figure(f"tape {name}".strip(), str(digest)) for name, digest in tapes.items()),
            Figure("log", str(summary["log_sha256"]), "SHA-256 of every record"),
            *(Figure(name, f"{summary['counts'][name]:,}") for name in ("events", "records", "orders", "denied")),
            *([Figure("kept as run", str(summary["run"]))] if summary.get("run") is not None else []),
            *(Figure(str(name), str(version)) for name, version in summary["versions"].items()),
        ),
    )


def _warnings(outcome: Outcome) -> list[str]:
    risk, trades = outcome.metrics.risk, outcome.metrics.trades
    said = []
    if trades.trades < TRIPS_MIN:
        said.append(f"{trades.trades:,} round trips: fewer than {TRIPS_MIN} say little of a strategy.")
    probability = risk.sharpe_probability
    if probability is not None and EVEN < probability < SURE:
        said.append(
            f"That the true Sharpe ratio is above zero has a probability of {probability:.1%}: "
            "what was earned may be chance, the more so the more variants were tried."
        )
    if trades.open_lots:
        said.append("The run ended with something held: it counts at the last close, and no round trip holds it.")
    if trades.other_fees:
        said.append(f"Fees in {', '.join(trades.other_fees)} have no value here: no figure has them.")
    for instrument, tape in outcome.markets:
        gaps = tape.gaps
        if gaps.count:
            said.append(
                f"The tape of {instrument.id} has holes: {gaps.count:,}, the longest of {lasting(gaps.longest / SECOND)}."
            )
    return said
