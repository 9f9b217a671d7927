"""The tables that follow from a log alone: events, fills, round trips; written through polars, column by column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from polars.io.plugins import register_io_source

from domain.account.events import InstrumentListed, OrderFilled
from domain.market import Instrument
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.event_frames import SCHEMA, decimal_texts, event_frames, text_columns, time_texts
from infrastructure.event_store.readable import Reader
from infrastructure.market_data.atomic_file import written_whole
from projections.performance import RoundTrip, Trades, round_trips
from replay.files import EVENTS_FILE, FILLS_FILE, TRIPS_FILE
from replay.gathered import Gathered

TRIP_COLUMNS = (
    "opened_at", "closed_at", "bot", "group", "instrument", "side", "quantity", "entry_cash", "exit_cash", "fees",
    "profit", "opening_order", "closing_order",
)  # fmt: skip
_FILL_FIELDS = ("venue_at", "order", "instrument", "side", "price", "quantity", "fee", "fee_asset")
FILLS_AT_ONCE = 10_000
FILL_COLUMNS = ("at", "order_id", "instrument", "side", "price", "quantity", "fee", "fee_asset")


def write_log_tables(out: Path, records: Iterable[Record[Event]], start: Time) -> Trades:
    """Write all tables of a log, which is read once, and return its round trips; `start` is when the run began."""
    found = Gathered()
    write_event_table(out / EVENTS_FILE, writing_fills(out / FILLS_FILE, found.passing(records)))
    trades = round_trips(found.fills, found.deposits, start)
    write_round_trips(out / TRIPS_FILE, trades.trips, found.instruments)
    return trades


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
            for event in record.events:
                if type(event) is OrderFilled:
                    waiting.append(event)
                listed = type(event) is InstrumentListed
                if waiting and (listed or len(waiting) >= FILLS_AT_ONCE):
                    # What was filled before a listing is read as it was known then.
                    _write_rows(text_columns(reader, waiting, _FILL_FIELDS), file)
                    waiting = []
                if listed:
                    reader.learn(record)
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
