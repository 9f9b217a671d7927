"""What a backtest leaves for its reader, beside the page: the summary, and fills, round trips, equity, events as tables."""

import csv
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import msgspec
import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from domain.account.events import InstrumentListed, OrderDenied, OrderFilled, OrderIntended
from domain.market import Instrument
from domain.message import Event, Record
from domain.values import decimal_text
from infrastructure.event_store.event_frames import SCHEMA, decimal_texts, event_frames, text_columns, time_texts
from infrastructure.event_store.readable import Reader
from infrastructure.market_data.atomic_file import written_whole
from projections.alerts import ALERTS, AlertRow
from projections.performance import RoundTrip
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.profit_and_loss import ProfitRow, by_account
from projections.rows import MemoryRows, day_text, fold_records
from replay.metrics.curve import Curve
from replay.metrics.drawdowns import depths
from replay.metrics.periods import day_ends, sampled

VERDICTS = ("accepted", "duplicate", "malformed", "refused", "stale", "queued", "replaced")
TRIP_COLUMNS = (
    "opened_at", "closed_at", "bot", "group", "instrument", "side", "quantity", "entry_cash", "exit_cash", "fees",
    "profit", "opening_order", "closing_order",
)  # fmt: skip
EQUITY_COLUMNS = ("day", "equity", "exposure", "return", "drawdown", "deepest_drawdown")
_FILL_FIELDS = ("venue_at", "order", "instrument", "side", "price", "quantity", "fee", "fee_asset")
FILLS_AT_ONCE = 10_000
FILL_COLUMNS = ("at", "order_id", "instrument", "side", "price", "quantity", "fee", "fee_asset")


def write_events(path: Path, records: Iterable[Record[Event]]) -> None:
    """One event per line, readable, in the order of the log."""
    reader, encoder = Reader(), msgspec.json.Encoder()
    with replacing(path) as file:
        for record in records:
            for line in reader.lines(record):
                file.write(encoder.encode(line).decode() + "\n")


def write_event_table(path: Path, records: Iterable[Record[Event]]) -> None:
    """Every event as a row of Parquet, `event_frames.SCHEMA`; memory holds a block of the records at a time."""
    frames = event_frames(records)

    def source(*_pushed_down: object) -> Iterator[pl.DataFrame]:
        return frames

    with written_whole(path) as part, part.open("wb") as file:
        register_io_source(source, schema=SCHEMA).sink_parquet(file, compression="zstd")


def write_fills(path: Path, records: Iterable[Record[Event]]) -> None:
    """One fill per line; `at` is the venue's time: on candles the candle's open time."""
    for _record in writing_fills(path, records):
        pass


def writing_fills(path: Path, records: Iterable[Record[Event]]) -> Iterator[Record[Event]]:
    """The same records, whose fills are written as they pass: one reading of a log can serve several files."""
    reader = Reader()
    waiting: list[OrderFilled] = []
    with written_whole(path) as part, part.open("wb") as file:
        file.write(_header(FILL_COLUMNS))
        for record in records:
            listed = InstrumentListed in map(type, record.events)
            if waiting and (listed or len(waiting) >= FILLS_AT_ONCE):
                # What was filled before a listing is read as it was known then.
                _write_rows(text_columns(reader, waiting, _FILL_FIELDS), file)
                waiting = []
            if listed:
                reader.learn(record)
            waiting += [event for event in record.events if type(event) is OrderFilled]
            yield record
        if waiting:
            _write_rows(text_columns(reader, waiting, _FILL_FIELDS), file)


def write_round_trips(path: Path, trips: Sequence[RoundTrip], instruments: Mapping[str, Instrument]) -> None:
    """One round trip per line, in the order in which they were first closed; amounts of cash are in the quote asset."""
    parts = []
    for name in dict.fromkeys(trip.instrument for trip in trips):
        own = [(row, trip) for row, trip in enumerate(trips) if trip.instrument == name]
        parts.append(_trip_texts(own, instruments[name]))
    with written_whole(path) as part, part.open("wb") as file:
        file.write(_header(TRIP_COLUMNS))
        if parts:
            _write_rows(pl.concat(parts).sort("row").drop("row"), file)


def _trip_texts(numbered: Sequence[tuple[int, RoundTrip]], instrument: Instrument) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {
        name: [getattr(trip, name) for _, trip in numbered] for name in TRIP_COLUMNS
    }  # fmt: skip
    frame = pl.DataFrame({"row": [row for row, _ in numbered], **columns})
    return frame.with_columns(
        # An empty text would be written as "", nothing as nothing.
        pl.when(pl.col("bot") != "").then(pl.col("bot")),
        time_texts("opened_at"),
        time_texts("closed_at"),
        decimal_texts("quantity", instrument.size_scale),
        *(decimal_texts(name, instrument.quote_scale) for name in ("entry_cash", "exit_cash", "fees", "profit")),
    )


def _header(columns: Sequence[str]) -> bytes:
    return f"{','.join(columns)}\n".encode()


def _write_rows(frame: pl.DataFrame, file: BinaryIO) -> None:
    frame.write_csv(file, include_header=False)


def write_equity(path: Path, curve: Curve) -> None:
    """One UTC day per line: the equity and exposure at its last close, and how far it was and fell below its height.

    Drawdowns are zero where the run began with nothing.
    """
    ends = day_ends(curve.times)
    before = sampled(curve.equity, curve.initial, ends).tolist()
    with_initial = np.concatenate(([np.int64(curve.initial)], curve.equity))
    falls = depths(with_initial)[1:] if curve.initial > 0 else np.zeros(len(curve))
    starts = np.append(0, ends[:-1] + 1)
    deepest = np.minimum.reduceat(falls, starts).tolist()
    days = (curve.times[ends] - 1).tolist()
    values = zip(days, curve.exposure[ends].tolist(), falls[ends].tolist(), deepest, strict=True)
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(EQUITY_COLUMNS)
        for row, (day, exposure, fall, lowest) in enumerate(values):
            old, equity = before[row], before[row + 1]
            writer.writerow(
                (
                    day_text(day),
                    decimal_text(equity, curve.cash_scale),
                    decimal_text(exposure, curve.cash_scale),
                    f"{equity / old - 1:.8f}" if old > 0 else "",
                    f"{fall:.8f}",
                    f"{lowest:.8f}",
                )
            )


def summarize(records: Iterable[Record[Event]], instrument: Instrument) -> dict[str, Any]:
    """Counts and results of a run in its instrument's quote asset, from its log alone."""
    counts: Counter[str] = Counter()
    rows = MemoryRows()
    fold_records((ALERTS, PORTFOLIO), rows, _counted(records, counts))
    balances = {row.asset: row for row in rows.all(BalanceRow)}
    books = balances.get(instrument.quote) or BalanceRow("", instrument.quote)
    profit = by_account(rows.all(ProfitRow))
    totals = [total for (_account, asset), total in profit.items() if asset == instrument.quote]
    verdicts: Counter[str] = Counter(row.verdict for row in rows.all(AlertRow))
    return {
        "counts": {
            "alerts": {"received": sum(verdicts.values()), **{verdict: verdicts[verdict] for verdict in VERDICTS}},
            "records": counts["records"],
            "events": counts["events"],
            "orders": counts["OrderIntended"],
            "denied": counts["OrderDenied"],
            "fills": counts["OrderFilled"],
        },
        "quote": instrument.quote,
        "final_equity": instrument.cash_text(books.equity),
        "realized_pnl": instrument.cash_text(sum(total.realized for total in totals)),
        "unrealized_pnl": instrument.cash_text(books.unrealized),
        "fees": instrument.cash_text(sum(total.fees for total in totals)),
        "turnover": instrument.cash_text(sum(total.turnover for total in totals)),
    }


def versions() -> dict[str, str]:
    """What the run was made with."""
    names = ("truetape", "eventsourcing", "msgspec", "polars")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """The summary as indented JSON."""
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write a text file that appears under its name only when it is whole."""
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


def _counted(records: Iterable[Record[Event]], counts: Counter[str]) -> Iterator[Record[Event]]:
    for record in records:
        counts["records"] += 1
        counts["events"] += len(record.events)
        for event in record.events:
            if type(event) in _COUNTED:
                counts[type(event).__name__] += 1
        yield record


_COUNTED = frozenset({OrderIntended, OrderDenied, OrderFilled})
