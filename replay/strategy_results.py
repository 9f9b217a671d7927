"""What strategies made of an account, from what one reading of the log gives instead of from its projections."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field

from domain.account.events import OrderDenied, OrderFilled, OrderIntended
from domain.market import Instrument
from domain.message import Event, Record
from domain.strategy.events import StrategyFailed
from projections.cost_basis import Pool, change, flow_of
from replay.results import Results


class Counted(Struct):
    """How many there were of each; `failed` are the strategies that broke."""

    records: int = 0
    events: int = 0
    orders: int = 0
    denied: int = 0
    fills: int = 0
    failed: list[StrategyFailed] = field(default_factory=list)

    def passing(self, records: Iterable[Record[Event]]) -> Iterator[Record[Event]]:
        """The same records, counted as they pass."""
        for record in records:
            self.records += 1
            self.events += len(record.events)
            for event in record.events:
                kind = type(event)
                if kind is OrderFilled:
                    self.fills += 1
                elif kind is OrderIntended:
                    self.orders += 1
                elif kind is OrderDenied:
                    self.denied += 1
                elif isinstance(event, StrategyFailed):
                    self.failed.append(event)
            yield record

    def counts(self) -> dict[str, int]:
        """The counts of a summary."""
        names = ("records", "events", "orders", "denied", "fills")
        return {name: getattr(self, name) for name in names}


def account_results(results: Results, instrument: Instrument) -> dict[str, Any]:
    """What the account made, in the quote asset, as the projections would say it.

    Realized by average cost, of each bot by itself. What the equity gained beside it, fees given back, is unrealized.
    """
    realized, curve, trades = _realized(results.fills), results.curve, results.trades
    final = int(curve.equity[-1])
    text = instrument.cash_text
    return {
        "quote": instrument.quote,
        "final_equity": text(final),
        "realized_pnl": text(realized),
        "unrealized_pnl": text(final - curve.initial - realized + trades.fees),
        "fees": text(trades.fees),
        "turnover": text(trades.turnover),
    }


def _realized(fills: Sequence[OrderFilled]) -> int:
    pools: dict[tuple[str, str], Pool] = {}
    total = 0
    for fill in fills:
        key, flow = (fill.bot, fill.instrument), flow_of(fill)
        pools[key], realized = change(pools.get(key) or Pool(), flow.quantity, flow.cost)
        total += realized
    return total
