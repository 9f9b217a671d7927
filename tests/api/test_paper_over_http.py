"""Law 16 from outside: what a backtest reads from files, pushed over HTTP into a paper account, is decided the same."""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from api.webhooks import CLAIMS
from domain.account.events import AccountValued, OrderFilled, OrderIntended
from domain.bot.settings import GroupForm, settings_of
from domain.market import make_instrument
from domain.message import Event, Record
from domain.signal.events import AlertReceived, SignalAccepted, SignalDuplicated, SignalMalformed
from domain.values import Time, decimal_text, parse_time, time_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run, records_of
from infrastructure.market_data.shelf import import_cached
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import ACCOUNT, SOURCE, STRATEGY, Setup, backtest
from replay.verify import verify
from tests.api.server import INSTRUMENT, Server, serving
from tests.conftest import shared_data
from tests.simulator import MINUTE, ListLedger

RUN = 1
SETTINGS = {
    "capital_pct_of_equity": "20",
    "legs": [
        {"gap_pct": "0", "weight_pct": "40", "take_profit_pct": "0.4"},
        {"gap_pct": "-0.3", "weight_pct": "30", "take_profit_pct": "0.5"},
        {"gap_pct": "-0.8", "weight_pct": "30", "take_profit_pct": "0.8"},
    ],
}
SETUP = Setup(
    make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5)),
    Terms(Decimal("0.0002"), Decimal("0.001")),
    {"USDT": Decimal(10_000)},
    settings_of(msgspec.convert(SETTINGS, GroupForm, strict=False)),
)
FAST, SLOW = 120, 480
"""Candles of the two means whose crossings the chart tells of."""


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    file = shared_data("candles/binance_spot_BTCUSDT_1m_2022.parquet")
    return import_cached(file, tmp_path_factory.mktemp("home")).load()


def crossings(tape: Tape, count: int) -> list[TimedAlert]:
    """What a chart of these candles says: an entry where the fast mean crosses up, an exit where it crosses down.

    It says so when the candle has closed: some at that very moment, some a little later, one in ten twice.
    """
    sums = np.concatenate([[0], np.cumsum(np.asarray(tape.closes, dtype=np.int64))])
    above = [
        (sums[end] - sums[end - FAST]) * SLOW > (sums[end] - sums[end - SLOW]) * FAST
        for end in range(SLOW, len(tape) + 1)
    ]
    alerts: list[TimedAlert] = []
    for index, (before, after) in enumerate(pairwise(above), SLOW):
        if before != after and len(alerts) < count:
            closed = tape.open_times[index] + MINUTE
            body = {
                "id": f"cross-{index}", "time": time_text(closed), "symbol": "BINANCE:BTCUSDT", "timeframe": "1",
                "action": "buy" if after else "exit", "price": decimal_text(tape.closes[index], tape.price_scale),
            }  # fmt: skip
            alerts.append(TimedAlert(Time(closed + len(alerts) % 3 * 1_700_000), SOURCE, json.dumps(body)))
            if len(alerts) % 10 == 0:
                alerts.append(structs.replace(alerts[-1], at=Time(alerts[-1].at + 90_000_000)))
    return alerts[:count]


def as_users_write_them(alerts: Sequence[TimedAlert]) -> list[TimedAlert]:
    """The recorded bodies, each right behind one of these; what claims a secret is not for an open webhook."""
    lines = shared_data("webhooks/tradingview_payloads.jsonl").read_text("utf-8").splitlines()
    bodies = [str(json.loads(line)["body"]) for line in lines]
    harmless = [body for body in bodies if not any(claim in body.lower() for claim in CLAIMS)]
    return [TimedAlert(alert.at, SOURCE, body) for alert, body in zip(alerts[::7], harmless, strict=False)]


def prepare(server: Server) -> str:
    """The setup, over HTTP; the path that alerts go to."""
    account = {
        "name": ACCOUNT, "mode": "paper", "kind": SETUP.kind, "balances": {"USDT": "10000"}, "instruments": [INSTRUMENT],
    }  # fmt: skip
    bot = {
        "name": STRATEGY, "account": ACCOUNT, "strategy": STRATEGY, "instrument": "BTC/USDT", "settings": SETTINGS,
    }  # fmt: skip
    assert server.post("/accounts", account).status_code == 201
    assert server.post("/bots", bot).status_code == 201
    assert server.post(f"/bots/{STRATEGY}/start").status_code == 200
    return str(server.post(f"/bots/{STRATEGY}/webhook").json()["path"])


def push_all(server: Server, path: str, tape: Tape, alerts: Sequence[TimedAlert], *, late: int | None = None) -> None:
    """Candles and alerts in the order of things; the alert of index `late` comes a candle after its time."""
    candles = [
        {
            "open_time": time_text(at), "volume": "0",
            **{name: decimal_text(price, tape.price_scale) for name, price in zip(("open", "high", "low", "close"), prices, strict=True)},
        }
        for at, *prices in zip(tape.open_times, tape.opens, tape.highs, tape.lows, tape.closes, strict=True)
    ]  # fmt: skip
    done = 0
    for number, alert in enumerate(alerts):
        until = bisect_left(tape.open_times, alert.at) + (number == late)
        push(server, candles[done:until])
        done = max(done, until)
        answer = server.client.post(path, content=alert.body.encode())
        assert answer.status_code == 200, answer.text
    push(server, candles[done:])


def push(server: Server, candles: list[dict[str, str]]) -> None:
    for start in range(0, len(candles), 1000):
        answer = server.post("/market/sim/BTC-USDT/candles", candles[start : start + 1000])
        assert answer.status_code == 200, answer.text


def decided(records: Sequence[Record[Event]]) -> list[tuple[Any, ...]]:
    """Every decision: its stream, version, cause and events, of a source under its name in a backtest.

    Left out is what a webhook has of its own: its name, and who brings an alert when. A shard's clock is its market's
    last, a recorded alert has a time of its own. A backtest opens everything at one moment, so what the opening leads
    to comes behind all of it: up to the first alert each stream has its own order, and streams go by name.
    """
    kept = [record for record in records if record.stream]
    names = {record.stream: _name(record.key) for record in kept if record.key is not None}
    decisions = [
        (
            names[record.stream], record.version, record.cause and (names[record.cause[0]], record.cause[1]),
            [structs.replace(event, source=SOURCE) if hasattr(event, "source") else event for event in record.events],
        )
        for record in kept
    ]  # fmt: skip
    first = next(index for index, record in enumerate(kept) if isinstance(record.events[0], AlertReceived))
    return [*sorted(decisions[:first], key=lambda decision: decision[:2]), *decisions[first:]]


def _name(key: str) -> str:
    """A stream's key; the one source is called the same everywhere."""
    return "signal" if key.startswith("signal/") else key


def of_a_tape_that_goes_on(records: Sequence[Record[Event]], tape: Tape) -> Sequence[Record[Event]]:
    """A backtest's records without the valuation that ends its tape, which there is where one would say something new."""
    last = records[-1]
    ends = last.at == tape.open_times[-1] and isinstance(last.events[0], AccountValued)
    return records[:-1] if ends else records


def fills(records: Sequence[Record[Event]]) -> list[tuple[Time, Event]]:
    """Fills and when they happened."""
    return [(record.at, event) for record in records for event in record.events if isinstance(event, OrderFilled)]


def log_of(database: Database) -> list[Record[Event]]:
    return [kept.decode() for kept in records_of(database, RUN)]


def test_law_16_200_alerts_and_a_month_over_http_are_decided_as_in_a_backtest(
    database: Database, home: Path, year: Tape
) -> None:
    crossed = crossings(year, 200)
    alerts = sorted([*crossed, *as_users_write_them(crossed)], key=lambda alert: alert.at)
    tape = year.slice(Time(year.open_times[0]), Time(alerts[-1].at + 24 * 60 * MINUTE))
    ledger = ListLedger()
    backtest(SETUP, tape, alerts, ledger)
    with serving(database, home) as server:
        push_all(server, prepare(server), tape, alerts)
    log = log_of(database)
    assert fills(log) == fills(ledger.records)
    assert decided(log) == decided(of_a_tape_that_goes_on(ledger.records, tape))
    counts = Counter(type(event) for record in log for event in record.events)
    assert counts[AlertReceived] == len(alerts) > 200
    assert min(counts[kind] for kind in (SignalAccepted, SignalDuplicated, SignalMalformed)) >= 10
    assert counts[OrderFilled] > 100, "hardly anything was traded: the test shows little"
    assert counts[OrderIntended] > counts[OrderFilled]
    assert verify(database, home, find_run(database, RUN)).status == "same"


def test_an_alert_that_comes_a_candle_late_shows(database: Database, home: Path, year: Tape) -> None:
    start = parse_time("2022-01-01T00:00:00Z")
    tape = year.slice(start, Time(start + 2880 * MINUTE))
    alerts = crossings(tape, 20)
    late = next(number for number, alert in enumerate(alerts) if '"buy"' in alert.body)
    ledger = ListLedger()
    backtest(SETUP, tape, alerts, ledger)
    with serving(database, home) as server:
        push_all(server, prepare(server), tape, alerts, late=late)
    log = log_of(database)
    assert fills(ledger.records)
    assert fills(log) != fills(ledger.records)
    assert decided(log) != decided(of_a_tape_that_goes_on(ledger.records, tape))
