"""What a backtest leaves for its reader: summary.json, fills.csv, events.jsonl."""

import csv
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import msgspec

from domain.account.events import OrderDenied, OrderFilled, OrderIntended
from domain.market import Instrument
from domain.message import Event, Record
from domain.values import time_text
from infrastructure.event_store.readable import Reader
from infrastructure.market_data.atomic_file import written_whole
from projections.alerts import ALERTS, AlertRow
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.profit_and_loss import ProfitRow, by_account
from projections.rows import MemoryRows, fold_records

VERDICTS = ("accepted", "duplicate", "malformed", "refused", "stale", "queued", "replaced")
FILL_COLUMNS = ("at", "order_id", "instrument", "side", "price", "quantity", "fee", "fee_asset")


def write_events(path: Path, records: Iterable[Record[Event]]) -> None:
    """One event per line, readable, in the order of the log."""
    reader, encoder = Reader(), msgspec.json.Encoder()
    with replacing(path) as file:
        for record in records:
            for line in reader.lines(record):
                file.write(encoder.encode(line).decode() + "\n")


def write_fills(path: Path, records: Iterable[Record[Event]]) -> None:
    """One fill per line; `at` is the venue's time: on candles the candle's open time."""
    reader = Reader()
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FILL_COLUMNS)
        for record in records:
            reader.learn(record)
            for event in record.events:
                if isinstance(event, OrderFilled):
                    writer.writerow(_fill(event, reader))


def _fill(event: OrderFilled, reader: Reader) -> list[object]:
    fields = reader.fields(event)
    return [
        time_text(event.venue_at),
        event.order,
        event.instrument,
        event.side,
        fields["price"],
        fields["quantity"],
        fields["fee"],
        event.fee_asset,
    ]


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
