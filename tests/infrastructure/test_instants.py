"""Candles of several markets that ended together: one moment on paper, as in a backtest, and the market's time behind it."""

import json
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.account.events import AccountValued, OrderFilled
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.events import SignalExpired, SignalPromoted
from domain.execution_pool.settings import PoolSettings
from domain.market import Candle
from domain.message import Event, Record
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.settings import OffsetSettings
from domain.position_group.events import ExitStarted
from domain.signal.commands import DeliverAlert
from domain.signal.events import AlertReceived
from domain.values import Price, Quantity, Time, time_text
from infrastructure import worker as worker_module
from infrastructure.event_store.database import Database
from infrastructure.inbox import Content, Entry, Inbox, MarketCandle, instant
from infrastructure.venues.paper import PaperMarket
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import ACCOUNT, Game, Portfolio, play, portfolio_game
from tests.domain.test_laws import MODES, STOPS, random_walk
from tests.infrastructure.test_worker import log_of, put, running, wait
from tests.infrastructure.venues.test_several_instruments import FLAT, NAMES, alert, portfolio, tape
from tests.simulator import MINUTE, START, ListLedger

ENDED_EARLY = (
    "ENDED_BEFORE_IT_OPENED: instrument=BTC/USDT, opened=2024-01-01T00:05:00Z, ended=2024-01-01T00:04:59.999999Z"
)


def desk(count: int, pool: PoolSettings, offset: OffsetSettings | None = None, **changes: Any) -> Portfolio:
    """Bots on several instruments that share a pool."""
    asked = portfolio(count, **changes)
    commands: list[Any] = [ConfigurePool(ACCOUNT, pool)]
    if offset is not None:
        commands.append(ConfigureOffset(ACCOUNT, offset))
    return Portfolio(asked.markets, asked.bots, asked.balances, asked.kind, tuple(commands))


def candle(game: Game, lane: int, index: int, *, ended: bool = True) -> MarketCandle:
    market = game.markets[lane]
    tape, at = market.tape, market.tape.open_times[index]
    prices = map(Price, (tape.opens[index], tape.highs[index], tape.lows[index], tape.closes[index]))
    open_, high, low, close = prices
    known = Candle(Time(at), open_, high, low, close, Quantity(1))
    return MarketCandle(market.instrument.id, known, Time(at + MINUTE) if ended else None)


def units(game: Game, alerts: Sequence[TimedAlert], *, together: bool = True) -> Iterator[list[Content]]:
    """What is put at once: the openings, the instants, and each alert before what opens at its time.

    The last instant leaves the time where it is, as the end of a tape does.
    """
    yield [opening.message for opening in game.opening]
    waiting = sorted(alerts, key=lambda each: each.at)[::-1]
    count = len(game.markets[0].tape)
    for index in range(count):
        while waiting and waiting[-1].at <= game.markets[0].tape.open_times[index]:
            sent = waiting.pop()
            yield [DeliverAlert(sent.source, sent.body)]
        candles = [candle(game, lane, index, ended=index < count - 1) for lane in range(len(game.markets))]
        yield list(instant(candles)) if together else list(candles)


def put_all(database: Database, units: Sequence[Sequence[Content]], at: Time) -> list[int]:
    return Inbox(database).put([Entry("test", content) for unit in units for content in unit], at)


def decided(records: Sequence[Record[Event]]) -> list[tuple[Any, ...]]:
    """Every decision from the first alert on: stream, version, time, cause, events."""
    names = {record.stream: record.key for record in records if record.key is not None}
    starts = (index for index, record in enumerate(records) if isinstance(record.events[0], AlertReceived))
    return [
        (
            names[record.stream], record.version, record.at,
            record.cause and (names[record.cause[0]], record.cause[1]), record.events,
        )
        for record in records[next(starts, len(records)) :]
        if not isinstance(record.events[0], AccountValued)
    ]  # fmt: skip


def of(records: Sequence[Record[Event]], kind: type[Any]) -> list[tuple[float, Any]]:
    """(minute, event) of each of a kind."""
    return [
        ((record.at - START) / MINUTE, event)
        for record in records
        for event in record.events
        if isinstance(event, kind)
    ]


def some_alerts(chance: random.Random, count: int, candles: int) -> list[TimedAlert]:
    """As a chart sends them: when a candle has closed."""
    alerts = []
    for number in range(count):
        name, at = chance.choice(NAMES), Time(START + chance.randint(1, candles - 1) * MINUTE)
        body = {
            "id": f"{number}", "time": time_text(at), "symbol": f"{name}USDT",
            "action": chance.choice(["buy", "buy", "buy", "exit"]),
        }  # fmt: skip
        alerts.append(TimedAlert(at, name.lower(), json.dumps(body)))
    return sorted(alerts, key=lambda each: each.at)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from(MODES), st.sampled_from(STOPS), st.integers(1, 3))
def test_law_16_on_several_instruments_with_pool_queue_offset_and_all_that_is_due_by_time(
    make_database: Any, seed: int, mode: dict[str, Any], stops: dict[str, Any], slots: int
) -> None:
    chance = random.Random(seed)
    offset = OffsetSettings(
        loss_threshold_pct=Decimal("-0.3"), require_full_pyramids=False, post_full_wait_minutes=3, evaluate_seconds=20
    )
    ends: dict[str, Any] = {"time_limit_minutes": 11, "leg_expiry_minutes": 4, "max_pyramids": 2, **mode, **stops}
    asked = desk(3, PoolSettings(max_open_groups=slots, queue_expiry_minutes=2), offset, **ends)
    tapes = [tape(random_walk(chance, 60)) for _ in range(3)]
    alerts = some_alerts(chance, 30, 60)
    game = portfolio_game(asked, tapes, alerts)
    ledger = ListLedger()
    play(game, ledger)
    with make_database() as database, running(database) as worker:
        wait(database, put_all(database, list(units(game, alerts)), game.start()))
        assert decided(log_of(database, worker.run)) == decided(ledger.records)


def queue_scene(*, together: bool) -> tuple[Game, list[list[Content]]]:
    """One slot; BTC has it and leaves in minute 3, so that ETH is let in by a fill of that minute. ETH rises by 1 a minute."""
    asked = desk(2, PoolSettings(max_open_groups=1))
    rising = [(10_000 + 100 * minute,) * 4 for minute in range(8)]
    alerts = [alert("BTC", 1), alert("ETH", 2), alert("BTC", 3, "exit")]
    game = portfolio_game(asked, [tape([FLAT] * 8), tape(rising)], alerts)
    return game, list(units(game, alerts, together=together))


def test_what_a_candle_leads_to_is_met_by_no_other_candle_of_its_instant(database: Database) -> None:
    game, rows = queue_scene(together=True)
    ledger = ListLedger()
    play(game, ledger)
    with running(database) as worker:
        wait(database, put_all(database, rows, game.start()))
    log = log_of(database, worker.run)
    assert [at for at, _ in of(log, SignalPromoted)] == [3]
    (bought,) = [fill for _, fill in of(log, OrderFilled) if fill.instrument == "ETH/USDT" and fill.side == "buy"]
    assert (bought.venue_at - START, bought.price) == (4 * MINUTE, 10_400)
    assert decided(log) == decided(ledger.records)


def test_candles_pushed_market_by_market_are_one_after_the_other(database: Database) -> None:
    """The inbox's order is the order of things there: this is what an instant is for."""
    game, rows = queue_scene(together=False)
    with running(database) as worker:
        wait(database, put_all(database, rows, game.start()))
    (bought,) = [
        fill for _, fill in of(log_of(database, worker.run), OrderFilled)
        if fill.instrument == "ETH/USDT" and fill.side == "buy"
    ]  # fmt: skip
    assert (bought.venue_at - START, bought.price) == (3 * MINUTE, 10_300)


def test_behind_a_candle_that_has_ended_it_is_its_end_and_what_was_due_has_been(database: Database) -> None:
    """ETH waits from minute 2 on, for 3 minutes: gone before the alert of minute 5, which finds the slot its own."""
    asked = desk(2, PoolSettings(max_open_groups=1, queue_expiry_minutes=3), time_limit_minutes=4)
    alerts = [alert("BTC", 1), alert("ETH", 2), alert("ETH", 5)]
    game = portfolio_game(asked, [tape([FLAT] * 9)] * 2, alerts)
    ledger = ListLedger()
    play(game, ledger)
    with running(database) as worker:
        wait(database, put_all(database, list(units(game, alerts)), game.start()))
    log = log_of(database, worker.run)
    assert [at for at, _ in of(log, AlertReceived)] == [1, 2, 5]
    assert [at for at, _ in of(log, SignalExpired)] == [5]
    assert [(at, event.bot, event.reason) for at, event in of(log, ExitStarted)][:1] == [(5, "BTC", "time limit")]
    assert decided(log) == decided(ledger.records)


@pytest.mark.parametrize("rows_max", [2, 200])
def test_a_worker_stopped_and_started_at_every_instant_writes_the_same_log(
    make_database: Any, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    """Also where a transaction takes fewer rows than an instant has."""
    monkeypatch.setattr(worker_module, "ROWS", rows_max)
    chance = random.Random(5)
    asked = desk(3, PoolSettings(max_open_groups=2, queue_expiry_minutes=2), time_limit_minutes=7, max_pyramids=2)
    alerts = some_alerts(chance, 25, 40)
    game = portfolio_game(asked, [tape(random_walk(chance, 40)) for _ in range(3)], alerts)
    rows = list(units(game, alerts))
    logs = []
    for stops in (0, 7):
        with make_database() as database:
            cuts = sorted(chance.sample(range(1, len(rows)), stops))
            for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
                ids = put_all(database, rows[start:end], game.start())
                with running(database) as worker:
                    wait(database, ids)
            logs.append(log_of(database, worker.run))
    assert logs[0] == logs[1]
    assert of(logs[0], OrderFilled)


def test_an_instant_that_cannot_be_taken_is_refused_whole_and_the_next_is_taken(database: Database) -> None:
    game = portfolio_game(portfolio(2), [tape([FLAT] * 8)] * 2, [])
    opening = [input_.message for input_ in game.opening]

    def at(lane: int, index: int) -> MarketCandle:
        return candle(game, lane, index)

    early = MarketCandle(at(0, 5).instrument, at(0, 5).candle, Time(START + 5 * MINUTE - 1))
    with running(database) as worker:
        contents: list[Content] = [
            *opening, *instant([at(0, 1), at(1, 1)]), *instant([at(0, 2), at(1, 1)]), *instant([at(0, 3), at(1, 3)]),
            instant([at(0, 4), at(1, 4)])[1], early, *instant([at(0, 6), at(1, 6)]),
        ]  # fmt: skip
        ids = put(database, contents)
        outcomes = wait(database, ids)
        errors = [outcomes[number].error for number in ids[len(opening) :]]
        order = "OUT_OF_ORDER: instrument=ETH/USDT, has=2024-01-01T00:01:00Z, this=2024-01-01T00:01:00Z"
        alone = "INSTANT_INCOMPLETE: the first candle of its instant was not taken"
        assert errors == [None, None, order, order, None, None, alone, ENDED_EARLY, None, None]
        assert worker.is_alive


def test_a_moment_that_breaks_the_core_is_refused_with_all_its_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = portfolio_game(portfolio(2), [tape([FLAT] * 3)] * 2, [])
    broken = START + MINUTE
    whole = PaperMarket._market  # noqa: SLF001

    def market(self: Any, row: Any, content: Any, interest: Any) -> Any:
        if content[0].candle.open_time == broken:
            raise RuntimeError("a bug of ours")
        return whole(self, row, content, interest)

    monkeypatch.setattr(PaperMarket, "_market", market)
    with running(database) as worker:
        rows = list(units(game, []))
        outcomes = wait(database, put_all(database, rows, game.start()))
        errors = [outcome.error for _, outcome in sorted(outcomes.items())][len(rows[0]) :]
        assert errors[2] == "a bug of ours"
        assert [error is None for error in errors] == [True, True, False, False, True, True]
        assert worker.is_alive
