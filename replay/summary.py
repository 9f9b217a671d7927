"""Counts and results of a run from its log alone, through the projections: also of bots that hear alerts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from domain.account.events import OrderDenied, OrderFilled, OrderIntended
from domain.market import Instrument
from domain.message import Event, Record
from projections.alerts import ALERTS, AlertRow
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.profit_and_loss import ProfitRow, by_account
from projections.rows import MemoryRows, fold_records

VERDICTS = ("accepted", "duplicate", "malformed", "refused", "stale", "queued", "replaced")


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


def _counted(records: Iterable[Record[Event]], counts: Counter[str]) -> Iterator[Record[Event]]:
    for record in records:
        counts["records"] += 1
        counts["events"] += len(record.events)
        for event in record.events:
            if type(event) in _COUNTED:
                counts[type(event).__name__] += 1
        yield record


_COUNTED = frozenset({OrderIntended, OrderDenied, OrderFilled})
