"""A year of six markets and 2,000 alerts, as a backtest and through the worker on paper: the same decisions.

Run by hand, with the folder of the candles (`binance_spot_*USDT_5m_*.parquet`):

    .venv/bin/python -m benchmarks.year_on_paper FOLDER              # everything
    .venv/bin/python -m benchmarks.year_on_paper FOLDER --mode hybrid --days 90
    .venv/bin/python -m benchmarks.year_on_paper FOLDER --days 30 --plant

In each way to take profit the year is traded by a backtest, whose log must explain every alert and add up
(`year_checks.py`). Then its candles and alerts go through the inbox of a worker on a PostgreSQL of its own, every instant
of the six markets as one, and each record is held against the backtest's: stream, version, time, actor, cause, events.
Only what opens the account may come in another order, and the tape's end values the account in a backtest only.
The script ends with 1 at the first difference. `--plant` sends one alert a candle late, which must be found.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from benchmarks.timing import table
from benchmarks.year import INTERVAL, MODES, Mode, Year, make_year
from benchmarks.year_checks import Checked, check_books, explain, play_whole
from domain.account.events import AccountValued
from domain.market import Candle
from domain.message import Event, Record
from domain.signal.commands import DeliverAlert
from domain.signal.events import AlertReceived
from domain.values import Price, Quantity, Time
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.runs import find_run, records_of
from infrastructure.inbox import Entry, Inbox, MarketCandle, instant
from infrastructure.venues.simulated_market import TimedAlert
from infrastructure.worker import Worker
from replay.game import Game
from replay.verify import verify

BATCH = 3_000
"""Rows that are put at once, and whole instants more."""
WAITING_MAX = 30_000
"""Rows that may wait for the worker."""
STUCK_SECONDS = 120
Decision = tuple[Any, ...]


class OnPaper(Struct, frozen=True):
    """The log of a paper run, how long its rows took, and whether a rerun of its inbox made the same."""

    records: list[Record[Event]]
    rows: int
    seconds: float
    verified: str


def instants(game: Game) -> Iterator[tuple[Time, list[Entry]]]:
    """Each time at which candles opened, and these, in the order of the markets. The last leave the time where it is."""
    tapes = [market.tape for market in game.markets]
    names = [market.instrument.id for market in game.markets]
    at = [0] * len(tapes)
    last = max(tape.open_times[-1] for tape in tapes)
    while True:
        heads = [tape.open_times[index] for tape, index in zip(tapes, at, strict=True) if index < len(tape)]
        if not heads:
            return
        opened = min(heads)
        ended = None if opened == last else Time(opened + INTERVAL)
        together: list[MarketCandle] = []
        for lane, (tape, name) in enumerate(zip(tapes, names, strict=True)):
            index = at[lane]
            if index < len(tape) and tape.open_times[index] == opened:
                at[lane] += 1
                candle = Candle(
                    Time(opened), Price(tape.opens[index]), Price(tape.highs[index]), Price(tape.lows[index]),
                    Price(tape.closes[index]), Quantity(tape.volumes[index]),
                )  # fmt: skip
                together.append(MarketCandle(name, candle, ended))
        yield Time(opened), [Entry("market", candle) for candle in instant(together)]


def inputs(game: Game, alerts: Sequence[TimedAlert]) -> Iterator[list[Entry]]:
    """What is put, in the order of things: an alert before the candles that open at its time."""
    yield [Entry(opening.actor, opening.message) for opening in game.opening]
    waiting = list(reversed(alerts))
    for opened, candles in instants(game):
        while waiting and waiting[-1].at <= opened:
            alert = waiting.pop()
            yield [Entry(alert.source, DeliverAlert(alert.source, alert.body))]
        yield candles
    assert not waiting, "an alert came after the tape"


def trade_on_paper(database: Database, home: Path, game: Game, alerts: Sequence[TimedAlert]) -> OnPaper:
    """Everything through the inbox and the worker, from an empty database."""
    inbox, began = Inbox(database), time.perf_counter()
    with Worker(database) as worker:
        batch: list[Entry] = []
        last = 0
        for number, entries in enumerate(inputs(game, alerts)):
            batch += entries
            if number == 0 or len(batch) >= BATCH:
                last = inbox.put(batch, game.start())[-1]
                batch = []
                wait(inbox, worker, last - WAITING_MAX)
        if batch:
            last = inbox.put(batch, game.start())[-1]
        wait(inbox, worker, last)
        run = worker.run
    seconds = time.perf_counter() - began
    records = [kept.decode() for kept in records_of(database, run) if kept.stream]
    return OnPaper(records, last, seconds, verify(database, home, find_run(database, run)).status)


def wait(inbox: Inbox, worker: Worker, upto: int) -> None:
    """Until the worker has taken so many rows; fails where it takes none for a long time."""
    taken, since = inbox.taken(), time.monotonic()
    while taken < upto:
        time.sleep(0.1)
        now = inbox.taken()
        if now > taken:
            taken, since = now, time.monotonic()
        assert worker.is_alive, "the worker has ended"
        assert time.monotonic() - since < STUCK_SECONDS, f"row {taken + 1} is not taken"


def decided(records: Sequence[Record[Event]]) -> list[Decision]:
    """Each record as what must be the same, its streams by name; before the first alert, event by event of each stream.

    A backtest opens everything at one instant, a worker row by row, so that the pool comes sooner, in a record of its own.
    """
    names = {record.stream: record.key for record in records if record.key is not None}
    first = next(index for index, record in enumerate(records) if isinstance(record.events[0], AlertReceived))
    opening = [
        (names[record.stream], record.version + offset, record.at, event)
        for record in records[:first]
        for offset, event in enumerate(record.events)
    ]
    decisions: list[Decision] = sorted(opening, key=lambda opened: opened[:2])
    for record in records[first:]:
        cause = record.cause and (names[record.cause[0]], record.cause[1])
        decisions.append((names[record.stream], record.version, record.at, record.actor, cause, record.events))
    return decisions


def without_the_end(records: Sequence[Record[Event]], game: Game) -> Sequence[Record[Event]]:
    """A backtest's records without what values the account at the end of the tapes."""
    end = max(market.tape.open_times[-1] for market in game.markets)
    last = records[-1]
    return records[:-1] if last.at == end and isinstance(last.events[0], AccountValued) else records


def first_difference(backtest: Sequence[Decision], paper: Sequence[Decision]) -> str | None:
    """Where the two part, and how; None where they do not."""
    for number, (one, other) in enumerate(zip_longest(backtest, paper), 1):
        if one != other:
            return f"record {number}\n  backtest {one}\n  paper    {other}"
    return None


def late(alerts: Sequence[TimedAlert], game: Game) -> list[TimedAlert]:
    """The same, but the first entry alert of the second half comes a candle late, by the market's time."""
    half = next(index for index in range(len(alerts) // 2, len(alerts)) if '"buy"' in alerts[index].body)
    times = game.markets[0].tape.open_times
    later = next(Time(at) for at in times if at > alerts[half].at)
    moved = structs.replace(alerts[half], at=later)
    return sorted([*alerts[:half], moved, *alerts[half + 1 :]], key=lambda alert: alert.at)


def compare(year: Year, mode: Mode, postgres: EmbeddedPostgres, *, plant: bool) -> bool:
    """Both runs of a mode, what each was worth, and whether they are the same."""
    game, began = year.game(mode), time.perf_counter()
    records, core = play_whole(game)
    spent = time.perf_counter() - began
    checked = Checked(explain(records), check_books(records, core))
    alerts = late(year.alerts, game) if plant else year.alerts
    migrations.migrate(postgres.owner_url)
    with tempfile.TemporaryDirectory(prefix="truetape-") as home, connect(postgres.url) as database:
        paper = trade_on_paper(database, Path(home), game, alerts)
    report(mode, records, checked, paper, (game.candles, spent))
    difference = first_difference(decided(without_the_end(records, game)), decided(paper.records))
    print(f"\n  {mode}: {'the same decisions' if difference is None else difference[:3_000]}", flush=True)
    return difference is None and paper.verified == "same"


def report(
    mode: Mode, records: Sequence[Record[Event]], checked: Checked, paper: OnPaper, played: tuple[int, float]
) -> None:
    candles, seconds = played
    counts = Counter(type(event).__name__ for record in records for event in record.events)
    shown = (
        "OrderIntended", "OrderDenied", "OrderFilled", "GroupOpened", "PyramidAdded", "SignalQueued", "SignalPromoted",
        "SignalExpired", "OffsetEvaluated", "OffsetChosen", "OffsetCompleted",
    )  # fmt: skip
    table(
        f"{mode}: the backtest",
        [
            ("candles", f"{candles:,}", f"{seconds:.1f} s"),
            ("records", f"{len(records):,}", ""),
            *((name, f"{counts[name]:,}", "") for name in shown),
            *((f"alerts: {end}", f"{count:,}", "") for end, count in sorted(checked.ends.items())),
            ("books", f"{checked.fills:,} fills", "cash, positions, groups, equity: every one adds up"),
        ],
    )
    table(
        f"{mode}: on paper",
        [
            ("rows of the inbox", f"{paper.rows:,}", f"in {paper.seconds:.0f} s"),
            ("records", f"{len(paper.records):,}", f"a rerun of the inbox: {paper.verified}"),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the candles")
    parser.add_argument("--mode", choices=MODES, help="this one only")
    parser.add_argument("--days", type=int, help="the first of the candles only")
    parser.add_argument("--alerts", type=int, default=2_000)
    parser.add_argument("--plant", action="store_true", help="send one alert a candle late, which must be found")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    same = True
    with tempfile.TemporaryDirectory(prefix="truetape-") as home:
        year = make_year(asked.folder, Path(home), asked.days, asked.alerts)
    for mode in MODES if asked.mode is None else (asked.mode,):
        with tempfile.TemporaryDirectory(prefix="truetape-") as data, EmbeddedPostgres(Path(data)) as postgres:
            same = compare(year, mode, postgres, plant=asked.plant) and same
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
