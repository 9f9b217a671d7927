"""The worker: every inbox row once, in order, whatever crashes; and law 16: it decides as the backtest does."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.account import commands as account
from domain.bot.commands import CreateBot, PauseBot, StartBot, StopBot
from domain.bot.decider import DECIDER as BOT
from domain.deciders import ROUTES
from domain.errors import StoreError
from domain.market import Candle, Trade
from domain.message import Event, Record
from domain.signal.commands import DeliverAlert, OpenSource
from domain.values import Cash, Price, Quantity, Time
from infrastructure import worker as worker_module
from infrastructure.event_store.database import Database
from infrastructure.event_store.leases import current_epoch
from infrastructure.event_store.runs import records_of
from infrastructure.inbox import Content, Entry, Inbox, MarketCandle, MarketTrade, Outcome
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from infrastructure.worker import Worker
from replay.game import Setup, backtest
from tests.domain.test_laws import LEGS, MODES, STOPS, make_alert, random_walk
from tests.simulator import MINUTE, START, ListLedger, tape_of
from tests.spec import BTC, USDT, instrument
from tests.spec import settings as group_settings

CASH = Cash(100_000 * 10**8)


def opening(legs: Any = LEGS[1], **changes: Any) -> list[Content]:
    listed = instrument()
    return [
        account.OpenAccount("main"),
        account.ListInstrument("main", listed, Decimal("0.0002"), Decimal("0.001")),
        account.DepositCash("main", USDT, CASH),
        CreateBot("dca_signals", "main", "spot", "dca_signals", listed, group_settings(*legs, **changes)),
        StartBot("dca_signals"),
        OpenSource("signals", "dca_signals", BTC),
    ]


def candle(index: int, prices: tuple[int, int, int, int]) -> MarketCandle:
    open_, high, low, close = map(Price, prices)
    return MarketCandle(BTC, Candle(Time(START + index * MINUTE), open_, high, low, close, Quantity(1)))


def in_order(walk: list[tuple[int, int, int, int]], alerts: list[TimedAlert]) -> list[Content]:
    """Candles and alerts as they would be pushed: an alert at t before the first candle that opens at or after t."""
    waiting = sorted(alerts, key=lambda alert: alert.at)
    rows: list[Content] = []
    for index, prices in enumerate(walk):
        while waiting and waiting[0].at <= START + index * MINUTE:
            rows.append(DeliverAlert("signals", waiting.pop(0).body))
        rows.append(candle(index, prices))
    return [*rows, *(DeliverAlert("signals", alert.body) for alert in waiting)]


def put(database: Database, contents: list[Content]) -> list[int]:
    return Inbox(database).put([Entry("test", content) for content in contents])


def wait(database: Database, ids: list[int], seconds: float = 20) -> dict[int, Outcome]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        outcomes = Inbox(database).outcomes(ids)
        if len(outcomes) == len(set(ids)):
            return outcomes
        time.sleep(0.01)
    raise AssertionError(f"no outcome in {seconds} s")


@contextmanager
def running(database: Database) -> Iterator[Worker]:
    with Worker(database) as worker:
        yield worker


def log_of(database: Database, run: int) -> list[Record[Event]]:
    records = [kept.decode() for kept in records_of(database, run)]
    return [record for record in records if record.stream]


PRICED_ENDS = st.builds(
    lambda mode, stops, pyramids: {**mode, **stops, "max_pyramids": pyramids},
    st.sampled_from(MODES), st.sampled_from(STOPS[:4]), st.sampled_from([1, 3]),
)  # fmt: skip
"""Those that look at prices. In the inbox only pushed data is the clock, so what is due between two candles comes later
there than in a backtest, where an alert has a time too."""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(0, 20), st.sampled_from(LEGS), PRICED_ENDS)
def test_law_16_the_worker_decides_as_the_backtest_does(
    make_database: Any, seed: int, candles: int, alerts: int, legs: Any, ends: dict[str, Any]
) -> None:
    chance = random.Random(seed)
    walk = random_walk(chance, candles)
    sent = [make_alert(chance, number, candles) for number in range(alerts)]
    ledger = ListLedger()
    terms = Terms(Decimal("0.0002"), Decimal("0.001"))
    asked = Setup(instrument(), terms, {"USDT": Decimal(100_000)}, group_settings(*legs, **ends))
    backtest(asked, tape_of(walk), sent, ledger)
    with make_database() as database, running(database) as worker:
        wait(database, put(database, [*opening(legs, **ends), *in_order(walk, sent)]))
        assert fills(log_of(database, worker.run)) == fills(ledger.records)
        assert kinds(log_of(database, worker.run)) == kinds(ledger.records)


def fills(records: list[Record[Event]]) -> list[Event]:
    return [event for record in records for event in record.events if type(event).__name__ == "OrderFilled"]


def kinds(records: list[Record[Event]]) -> list[str]:
    """Every event but the valuations, which end with the tape in a backtest, and the pool's own opening.

    What opens a backtest is one instant, so that the pool follows after all of it; the worker takes it row by row.
    """
    names = [type(event).__name__ for record in records for event in record.events]
    return [name for name in names if name not in {"AccountValued", "PoolOpened"}]


def test_a_worker_stopped_and_started_at_every_row_writes_the_same_log(make_database: Any) -> None:
    chance = random.Random(3)
    walk = random_walk(chance, 40)
    ends = {**MODES[2], **STOPS[2], "max_pyramids": 3, "time_limit_minutes": 7, "leg_expiry_minutes": 3}
    size = {"capital_pct_of_equity": "3"}  # of what the marks of before the stop say
    rows = [*opening(**ends, **size), *in_order(walk, [make_alert(chance, number, 40) for number in range(20)])]
    logs = []
    for stops in (0, 8):
        with make_database() as database:
            received = Time(START)
            cuts = sorted(chance.sample(range(1, len(rows)), stops)) if stops else []
            for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
                ids = Inbox(database).put([Entry("test", row) for row in rows[start:end]], received)
                with running(database) as worker:
                    wait(database, ids)
            logs.append(log_of(database, worker.run))
    assert logs[0] == logs[1]
    assert fills(logs[0])
    assert "EntrySized" in kinds(logs[0])


def test_the_outcome_of_a_command_names_the_events_it_caused(database: Database) -> None:
    with running(database) as worker:
        ids = put(database, opening())
        outcomes = wait(database, ids)
        first, last = outcomes[ids[0]].first_position, outcomes[ids[-1]].last_position
        assert first is not None
        assert last == first + len(ids)  # and the pool, which the account's opening causes
        assert [type(record.events[0]).__name__ for record in log_of(database, worker.run)] == [
            "AccountOpened", "PoolOpened", "InstrumentListed", "CashDeposited", "BotCreated", "BotStarted", "SourceOpened",
        ]  # fmt: skip
        (again,) = put(database, [account.OpenAccount("main")])
        assert wait(database, [again])[again] == Outcome(again, None, None)


def test_a_row_that_cannot_be_taken_is_refused_by_name_and_the_next_is_taken(database: Database) -> None:
    with running(database) as worker:
        ids = put(
            database, [*opening(), candle(5, (100, 110, 90, 100)), candle(4, (100, 110, 90, 100)), StartBot("none")]
        )
        outcomes = wait(database, ids)
        refused = outcomes[ids[-2]]
        assert refused.error is not None
        assert refused.error.startswith("OUT_OF_ORDER: instrument=BTC/USDT")
        assert outcomes[ids[-1]] == Outcome(ids[-1], None, None)
        assert worker.is_alive


def test_a_row_that_breaks_the_core_is_refused_and_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    route: tuple[Any, ...] = ROUTES[PauseBot]
    there = tuple(broken if part is BOT.rules[PauseBot] else part for part in route)
    assert there != route
    monkeypatch.setitem(cast("dict[Any, Any]", ROUTES), PauseBot, there)
    with running(database) as worker:
        ids = put(database, [*opening(), PauseBot("dca_signals"), StopBot("dca_signals")])
        outcomes = wait(database, ids)
        assert outcomes[ids[-2]] == Outcome(ids[-2], None, None, "a bug of ours")
        assert [outcome.error for outcome in outcomes.values() if outcome.id != ids[-2]] == [None] * (len(ids) - 1)
        assert [type(record.events[0]).__name__ for record in log_of(database, worker.run)][-2:] == [
            "SourceOpened", "BotStopped",
        ]  # fmt: skip
        assert worker.is_alive


def test_trades_move_a_market_too(database: Database) -> None:
    with running(database) as worker:
        trades: list[Content] = [
            MarketTrade(BTC, Trade(Time(START + index), Price(10_000 - 10 * index), Quantity(10**6)))
            for index in range(8)
        ]
        body = '{"id": "a", "time": "2024-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": "buy"}'
        wait(database, put(database, [*opening(), trades[0], DeliverAlert("signals", body), *trades[1:]]))
        (first, *_) = fills(log_of(database, worker.run))
        assert first.price == 9_990  # type: ignore[attr-defined]


def test_a_second_worker_is_refused_while_the_first_lives(database: Database) -> None:
    with running(database), pytest.raises(StoreError, match="another Truetape worker"):
        Worker(database).start()
    with running(database) as worker:
        assert worker.is_alive


def test_a_worker_that_cannot_start_leaves_the_shard_to_the_next(
    database: Database, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock and the lease when it fails; its session would hold them for as long as it is remembered."""
    with running(database) as worker:
        run = worker.run
    monkeypatch.setattr(worker_module, "rules_hash", lambda: "other")
    failed = Worker(database)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION append_records FROM public, truetape_writer")
        with pytest.raises(StoreError, match="permission denied for function append_records"):
            failed.start()
        connection.execute("GRANT EXECUTE ON FUNCTION append_records TO truetape_writer")
    assert current_epoch(database, run) == 2
    with running(database) as worker:
        assert worker.is_alive
    assert not failed.is_alive


def test_an_idempotency_key_is_one_row_however_often_it_is_put(database: Database) -> None:
    inbox = Inbox(database)
    entry = Entry("user:ann", account.OpenAccount("main"), "key-1")
    other = Entry("user:bob", account.OpenAccount("main"), "key-1")
    assert inbox.put([entry, entry, other]) == [1, 1, 2]
    assert inbox.put([other, entry]) == [2, 1]


def test_every_command_comes_back_from_its_bytes(database: Database) -> None:
    contents = opening()
    put(database, contents)
    assert [row.content() for row in Inbox(database).rows(0, 100)] == contents


def test_an_engine_that_has_changed_says_so_on_the_log(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(database) as worker:
        run = worker.run
    with running(database):
        pass
    monkeypatch.setattr(worker_module, "rules_hash", lambda: "other")
    with running(database):
        pass
    started = [kept.decode() for kept in records_of(database, run) if kept.stream == 0]
    assert [record.version for record in started] == [1, 2]
