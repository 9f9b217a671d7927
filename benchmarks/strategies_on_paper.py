"""What a candle costs the paper worker with so many strategies: through the core alone, and from the inbox to the log.

Run by hand: `.venv/bin/python -m benchmarks.strategies_on_paper`, under a minute.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles

from benchmarks.timing import in_turns, table
from domain.account.commands import DepositCash, ListInstrument, OpenAccount
from domain.engine import Core, run
from domain.market import Candle, make_instrument
from domain.message import Command, Event, Record
from domain.strategy.commands import StartStrategy
from domain.strategy.registry import parameters_text, read_parameters, strategy_named
from domain.values import Asset, Cash, Price, Quantity, Time
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from infrastructure.inbox import Content, Entry, Inbox, InboxRow, MarketCandle, encode_content
from infrastructure.market_data.tape import Tape
from infrastructure.venues.paper import PaperMarket
from infrastructure.worker import Worker
from replay.demo import demo_tape

COUNTS = (0, 1, 10, 50)
CANDLES = 1000
SINGLE = 150
"""Candles that are pushed one at a time."""
REPEATS = 3
INSTRUMENT = make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5), price_scale=2)


def opening(strategies: int) -> Iterator[Command]:
    """An account, and strategies on it, by turns of both kinds and none like another."""
    yield OpenAccount("main", "margin")
    yield ListInstrument("main", INSTRUMENT, Decimal("0.0002"), Decimal("0.0005"))
    yield DepositCash("main", Asset("USDT"), Cash(10**9 * 10**8))
    for number in range(strategies):
        if number % 2:
            spacing = f"{Decimal(5 + number) / 100}"
            name, given = "grid", {"quantity": "0.001", "spacing_pct": spacing, "levels_each_side": 5}
        else:
            name, given = "sma_cross", {"notional": "100", "fast": f"{5 + number}", "slow": f"{20 + 2 * number}"}
        text = parameters_text(read_parameters(strategy_named(name), given, INSTRUMENT))
        yield StartStrategy(f"s{number}", "main", name, "", INSTRUMENT, text)


def candles(tape: Tape) -> list[Content]:
    rows = zip(tape.open_times, tape.opens, tape.highs, tape.lows, tape.closes, tape.volumes, strict=True)
    return [
        MarketCandle(
            INSTRUMENT.id,
            Candle(Time(at), Price(open_), Price(high), Price(low), Price(close), Quantity(volume)),
            Time(at + tape.interval),
        )
        for at, open_, high, low, close, volume in rows
    ]


class Counting:
    """A ledger that keeps nothing and knows how many events there were."""

    def __init__(self) -> None:
        self.events = 0

    def append(self, records: list[Record[Event]]) -> None:
        self.events += sum(len(record.events) for record in records)


def alone(contents: Sequence[Content]) -> int:
    """Core and simulated venue without a database; how many events there were."""
    made = (
        InboxRow(number, kind, "benchmark", body, Time(0))
        for number, (kind, _, body) in enumerate(map(encode_content, contents), 1)
    )
    core, ledger = Core(), Counting()
    paper = PaperMarket(core, lambda: next(made, None), lambda _row: None, _refused)
    run(core, paper, ledger, paper)
    return ledger.events


def _refused(row: InboxRow, reason: str) -> None:
    raise AssertionError(f"row {row.id}: {reason}")


def living(database: Database, commands: Sequence[Content], market: Sequence[Content]) -> tuple[float, list[float]]:
    """(seconds a candle of many at once, seconds from a push to its outcome, each behind the other)."""
    inbox = Inbox(database)
    with Worker(database):
        _through(inbox, commands)
        many, single = market[:-SINGLE], market[-SINGLE:]
        start = time.perf_counter()
        _through(inbox, many)
        together = (time.perf_counter() - start) / len(many)
        answered = []
        for each in single:
            start = time.perf_counter()
            _through(inbox, [each])
            answered.append(time.perf_counter() - start)
    return together, answered


def _through(inbox: Inbox, contents: Sequence[Content]) -> None:
    ids = inbox.put([Entry("benchmark", content) for content in contents])
    while inbox.taken() < ids[-1]:
        time.sleep(0.0005)
    errors = [each.error for each in inbox.outcomes(ids).values() if each.error is not None]
    assert not errors, errors[0]


def main() -> None:
    market = candles(demo_tape(1, 7))[:CANDLES]
    asked = {count: [*opening(count), *market] for count in COUNTS}
    events = {count: alone(contents) for count, contents in asked.items()}
    spent = in_turns({str(count): (lambda rows=rows: alone(rows)) for count, rows in asked.items()}, REPEATS)  # type: ignore[misc]  # bound in the loop
    table(
        "the core and the simulated venue alone, us of processor a candle",
        [(f"{count} strategies", spent[str(count)].per(CANDLES), f"{events[count]:,} events") for count in COUNTS],
    )
    rows = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(Path(folder)) as server:
            migrations.migrate(server.owner_url)
            with connect(server.url) as database:
                together, answered = living(database, list(opening(count)), market)
        slow = quantiles(answered, n=100)[98]
        figure = f"{together * 1e6:9.0f} us, {median(answered) * 1e3:.1f} ms, {slow * 1e3:.1f} ms"
        rows.append((f"{count} strategies", figure, ""))
    table("through worker and Postgres: a candle of many, one alone p50, p99", rows)


if __name__ == "__main__":
    main()
