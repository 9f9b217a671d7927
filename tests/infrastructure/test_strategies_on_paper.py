"""Law 16 through the living worker: strategies decide on a pushed market as they do in a backtest, whatever stops it."""

import os
import random
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.account.events import AccountValued, OrderFilled
from domain.market import make_instrument
from domain.message import Event, Record
from domain.strategy.events import StrategyActed, StrategyFailed
from domain.strategy.registry import read_parameters, strategy_named
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run
from infrastructure.event_store.snapshots import newest_snapshot
from infrastructure.inbox import Content, Entry, Inbox
from infrastructure.read_models import update_all
from infrastructure.row_rebuild import differences
from infrastructure.shard_snapshots import ShardSnapshots
from infrastructure.venues.simulated import Terms
from replay.game import Game, MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from replay.verify import verify
from tests.domain.test_laws import random_walk
from tests.infrastructure.test_instants import units
from tests.infrastructure.test_take_over import another_process, until
from tests.infrastructure.test_worker import log_of, running, wait
from tests.simulator import MINUTE, ListLedger, tape_of

TERMS = Terms(Decimal("0.0002"), Decimal("0.0005"), Decimal("0.0001"))
CHOSEN = (
    ("cross", "sma_cross", {"notional": "900", "fast": 3, "slow": 8}, "BTC"),
    ("grid", "grid", {"quantity": "0.5", "spacing_pct": "0.2", "levels_each_side": 3, "recentre_after": 2}, "BTC"),
    ("cross-eth", "sma_cross", {"notional": "500", "fast": 2, "slow": 5}, "ETH"),
    ("grid-eth", "grid", {"quantity": "0.2", "spacing_pct": "0.3", "levels_each_side": 4, "recentre_after": 1}, "ETH"),
)
CANDLES = 120
MakeDatabase = Callable[[], AbstractContextManager[Database]]


def game(seed: int, *bases: str, candles: int = CANDLES) -> Game:
    """A market for each base asset, and the strategies that trade on it."""
    chance = random.Random(seed)
    listed = {base: make_instrument(f"{base}/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5)) for base in bases}
    tapes = [tape_of(random_walk(chance, candles), MINUTE) for _ in bases]
    strategies = tuple(
        StrategySetup(bot, strategy_named(name), read_parameters(strategy_named(name), given, listed[base]), listed[base].id)
        for bot, name, given, base in CHOSEN
        if base in listed
    )  # fmt: skip
    balances = {"USDT": Decimal(100_000), **dict.fromkeys(bases, Decimal(20))}
    markets = tuple(MarketSetup(each, TERMS) for each in listed.values())
    return portfolio_game(Portfolio(markets, (), balances, "spot", strategies=strategies), tapes, [])


def rows_of(asked: Game) -> list[list[Content]]:
    """What is put at once: the opening, and each instant; the last leaves the time where it is, as the end of a tape does."""
    return list(units(asked, []))


def played(asked: Game) -> list[Record[Event]]:
    ledger = ListLedger()
    play(asked, ledger)
    return ledger.records


def put(database: Database, asked: Game, rows: Sequence[Sequence[Content]]) -> list[int]:
    return Inbox(database).put([Entry("test", content) for unit in rows for content in unit], asked.start())


def decided(asked: Game, records: Sequence[Record[Event]]) -> list[tuple[Any, ...]]:
    """Every decision from the strategies' first on and before the last candle, at which a backtest asks nobody."""
    names = {record.stream: record.key for record in records if record.key is not None}
    last = asked.markets[0].tape.open_times[-1]
    first = next(place for place, record in enumerate(records) if isinstance(record.events[0], StrategyActed))
    return [
        (
            names[record.stream], record.version, record.at, record.actor,
            record.cause and (names[record.cause[0]], record.cause[1]), record.events,
        )
        for record in records[first:]
        if record.at < last and not isinstance(record.events[0], AccountValued)
    ]  # fmt: skip


def count(records: Sequence[Record[Event]], kind: type[Event], bot: str) -> int:
    return sum(isinstance(event, kind) and event.bot == bot for record in records for event in record.events)  # type: ignore[attr-defined]  # both kinds name one


def check(database: Database, run: int) -> None:
    """A rerun of the inbox makes the same log, and the read models are what a fold of it is."""
    verdict = verify(database, Path("nowhere"), find_run(database, run))
    assert (verdict.status, verdict.divergence) == ("same", None)
    update_all(database)
    assert differences(database) == []


@pytest.mark.parametrize("bases", [("BTC",), ("BTC", "ETH")], ids=["one by one", "by instants"])
@pytest.mark.parametrize("seed", [1, 2])
def test_law_16_the_worker_asks_strategies_as_the_backtest_does(
    make_database: MakeDatabase, bases: tuple[str, ...], seed: int
) -> None:
    asked = game(seed, *bases)
    mine = played(asked)
    with make_database() as database, running(database) as worker:
        for unit in rows_of(asked):  # one by one, as they come
            ids = put(database, asked, [unit])
        wait(database, ids)
        theirs = log_of(database, worker.run)
        assert decided(asked, theirs) == decided(asked, mine)
        check(database, worker.run)
    for setup in asked.strategies:
        assert count(mine, StrategyActed, setup.bot) > 1, "a strategy that does nothing shows nothing"
        assert count(mine, OrderFilled, setup.bot) > 0
        assert count(theirs, StrategyFailed, setup.bot) == 0


def test_a_worker_stopped_and_started_at_any_candle_decides_the_same(make_database: MakeDatabase) -> None:
    """Features come back from the inbox, to the bit; each stop leaves a snapshot, from which the next start goes on."""
    asked = game(4, "BTC", "ETH")
    rows, mine = rows_of(asked), decided(asked, played(asked))
    for stops in ([], [1, 2, 9, 10, 40, 77], list(range(3, len(rows), 17))):
        with make_database() as database:
            for start, end in zip([0, *stops], [*stops, len(rows)], strict=True):
                ids = put(database, asked, rows[start:end])
                with running(database) as worker:
                    wait(database, ids)
                if stops:
                    assert newest_snapshot(database, worker.run) is not None
            assert decided(asked, log_of(database, worker.run)) == mine
            check(database, worker.run)


def test_without_snapshots_the_log_alone_does(make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardSnapshots, "keep", lambda *_: None)
    asked = game(5, "BTC")
    rows = rows_of(asked)
    with make_database() as database:
        for start, end in ((0, 30), (30, 31), (31, len(rows))):
            ids = put(database, asked, rows[start:end])
            with running(database) as worker:
                wait(database, ids)
        assert newest_snapshot(database, worker.run) is None
        assert decided(asked, log_of(database, worker.run)) == decided(asked, played(asked))


def test_features_that_do_not_come_back_are_found(make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: after a start features warm up anew, so that a crossing is missed."""
    monkeypatch.setattr(Inbox, "features_of", lambda *_: iter(()))
    asked = game(4, "BTC", "ETH")
    rows = rows_of(asked)
    with make_database() as database:
        for start, end in ((0, 40), (40, 77), (77, len(rows))):
            ids = put(database, asked, rows[start:end])
            with running(database) as worker:
                wait(database, ids)
        assert decided(asked, log_of(database, worker.run)) != decided(asked, played(asked))
        assert verify(database, Path("nowhere"), find_run(database, worker.run)).status == "diverged"


@pytest.mark.timeout(300)
def test_a_worker_killed_at_any_moment_decides_the_same(database: Database) -> None:
    asked = game(6, "BTC", "ETH", candles=400)
    rows = rows_of(asked)
    chance = random.Random(8)
    inbox = Inbox(database)
    ids: list[int] = []
    sent = 0
    for kill in range(4):
        with another_process(database.url) as child:
            more = rows[sent : sent + 100] if kill < 3 else rows[sent:]
            sent += len(more)
            ids += put(database, asked, more)
            if kill < 3:
                some = ids[-chance.randint(20, len(more) - 1)]
                until(lambda some=some: inbox.taken() >= some)  # type: ignore[misc]  # bound in the loop
                os.kill(child.pid, signal.SIGKILL)
                child.wait()
            else:
                wait(database, ids, 60)
    records = log_of(database, 1)
    assert decided(asked, records) == decided(asked, played(asked))
    check(database, 1)
