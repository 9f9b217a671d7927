"""Candles of several markets pushed as instants over HTTP: one moment, whose end is the market's time behind it."""

from pathlib import Path
from typing import Any

import pytest

from domain.account.events import OrderFilled
from domain.signal.events import AlertReceived
from domain.values import parse_time
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import records_of
from tests.api.server import INSTRUMENT, Server, serving

DAY = "2026-01-01T00:"
ETH = {**INSTRUMENT, "symbol": "ETH/USDT"}
SETTINGS = {"capital": "1000", "legs": [{"gap_pct": "0", "weight_pct": "100", "take_profit_pct": "50"}]}


def candle(instrument: str, minute: int, price: str = "100") -> dict[str, str]:
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"instrument": instrument, "open_time": f"{DAY}{minute:02}:00Z", **prices}


def instant(minute: int, *candles: dict[str, str]) -> dict[str, Any]:
    return {"candles": list(candles), "ended_at": f"{DAY}{minute + 1:02}:00Z"}


def prepare(server: Server) -> None:
    account = {
        "name": "main", "mode": "paper", "kind": "spot", "balances": {"USDT": "10000"}, "instruments": [INSTRUMENT, ETH],
    }  # fmt: skip
    assert server.post("/accounts", account).status_code == 201


def test_an_alert_between_two_instants_comes_at_the_end_of_the_first_and_fills_in_the_next(
    database: Database, home: Path
) -> None:
    with serving(database, home) as server:
        prepare(server)
        bot = {
            "name": "dca",
            "account": "main",
            "strategy": "dca_signals",
            "instrument": "ETH/USDT",
            "settings": SETTINGS,
        }
        assert server.post("/bots", bot).status_code == 201
        assert server.post("/bots/dca/start").status_code == 200
        path = str(server.post("/bots/dca/webhook").json()["path"])
        pushed = [instant(minute, candle("BTC/USDT", minute), candle("ETH/USDT", minute)) for minute in range(3)]
        assert server.post("/market/sim/instants", pushed).status_code == 200
        body = {"time": f"{DAY}03:00Z", "symbol": "ETHUSDT", "action": "buy"}
        assert server.client.post(path, json=body).status_code == 200
        last = instant(3, candle("BTC/USDT", 3), candle("ETH/USDT", 3, "101"))
        assert server.post("/market/sim/instants", [last]).status_code == 200
    records = [kept.decode() for kept in records_of(database, 1)]
    alerts = [record.at for record in records if isinstance(record.events[0], AlertReceived)]
    fills = [event for record in records for event in record.events if isinstance(event, OrderFilled)]
    assert alerts == [parse_time(f"{DAY}03:00Z")]
    assert [(fill.venue_at, fill.price) for fill in fills] == [(parse_time(f"{DAY}03:00Z"), 10_100)]


@pytest.mark.parametrize(
    ("pushed", "status", "code"),
    [
        (instant(0, candle("BTC/USDT", 0), candle("BTC/USDT", 0)), 422, "INSTRUMENT_TWICE"),
        (instant(0, candle("BTC/USDT", 2)), 422, "ENDED_BEFORE_IT_OPENED"),
        (instant(0, candle("SOL/USDT", 0)), 404, "NOT_FOUND"),
        (instant(0), 422, "INPUT_INVALID"),
    ],
)
def test_what_is_no_instant_is_refused_and_nothing_of_the_request_is_taken(
    database: Database, home: Path, pushed: dict[str, Any], status: int, code: str
) -> None:
    with serving(database, home) as server:
        prepare(server)
        answer = server.post("/market/sim/instants", [instant(0, candle("ETH/USDT", 0)), pushed])
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert server.post("/market/sim/ETH-USDT/candles", [_alone(0)]).status_code == 200
        late = server.post("/market/sim/instants", [instant(0, candle("ETH/USDT", 0), candle("BTC/USDT", 0))])
        assert (late.status_code, late.json()["code"]) == (409, "OUT_OF_ORDER")
        assert server.post("/market/sim/instants", [instant(0, candle("BTC/USDT", 0))]).status_code == 200


def _alone(minute: int) -> dict[str, str]:
    return {name: value for name, value in candle("", minute).items() if name != "instrument"}
