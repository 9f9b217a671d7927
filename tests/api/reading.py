"""A paper run on the log, and a client that may read it."""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from msgspec import json

from api.problems import add_problem_handlers
from api.routes import (
    accounts_read,
    bots_read,
    deliveries,
    events,
    explain,
    fills,
    groups,
    market_read,
    orders_read,
    pnl,
    portfolio,
    positions,
    runs,
    strategies,
)
from api.security import Principal, authenticate
from domain.message import Event, Record
from domain.values import Time, time_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.event_store.runs import records_of
from infrastructure.read_models import update_all
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import SOURCE, Setup, game_of, play
from tests import spec
from tests.simulator import MINUTE, START, ListLedger, tape_of

READS = (
    accounts_read, bots_read, deliveries, events, explain, fills, groups, market_read, orders_read, pnl, portfolio, positions, runs,
    strategies,
)  # fmt: skip
LISTS = (
    "accounts", "bots", "orders", "groups", "fills", "positions", "portfolio", "pnl", "pnl?by=bot", "pnl?by=group",
    "pnl?by=instrument", "pnl?by=day", "deliveries", "runs", "events", "events?order=newest", "market", "strategies",
)  # fmt: skip
PREFIX = "/api/v1"


def records(seed: int = 5, candles: int = 90, alerts: int = 30) -> list[Record[Event]]:
    """What an engine records of a random market and its alerts: entries, targets, exits, denials, junk."""
    chance = random.Random(seed)
    ledger = ListLedger()
    setup = Setup(
        spec.instrument(fee_asset="base"),
        Terms(Decimal("0.0002"), Decimal("0.001"), Decimal(0)),
        {"USDT": Decimal(2500)},
        spec.settings(("0", "40", "0.3"), ("-0.4", "60", "0.5")),
    )
    play(game_of(setup, tape_of(_walk(chance, candles)), list(_alerts(chance, candles, alerts))), ledger)
    return ledger.records


def keep(database: Database, happened: list[Record[Event]], mode: Any = "paper", group_size: int = 1) -> int:
    """Put records on the log as a run of their own, and bring the read models up to them."""
    ledger = PostgresLedger.begin(database, RunOpening("test", mode, {"seed": 5}), Time(START), group_size)
    ledger.append(happened)
    ledger.flush()
    update_all(database)
    return ledger.run


def log_of(database: Database, run: int) -> list[tuple[int, int, Record[Event]]]:
    """The run's records, each behind the positions of its first and its last event."""
    return [(kept.position, kept.position + kept.events - 1, kept.decode()) for kept in records_of(database, run)]


def application(database: Database) -> FastAPI:
    """The reads alone, open to a viewer who needs no token."""
    app = FastAPI()
    app.state.database = database
    add_problem_handlers(app)
    for module in READS:
        app.include_router(module.router, prefix=PREFIX)
    app.dependency_overrides[authenticate] = lambda: Principal("ann", "viewer", "1")
    return app


class Api:
    """A client of the reads."""

    def __init__(self, app: FastAPI) -> None:
        self.client = TestClient(app, base_url="http://test" + PREFIX, raise_server_exceptions=True)

    def get(self, path: str, **parameters: Any) -> Any:
        """A JSON answer, which must be a good one."""
        answer = self.client.get(path.lstrip("/"), params=self._all(path, parameters))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, path: str, **parameters: Any) -> int:
        answer = self.client.get(path.lstrip("/"), params=self._all(path, parameters))
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"]
        return answer.status_code

    def pages(self, path: str, cursor: str | None = None, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = self.get(path, **parameters, **more)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _all(self, path: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """With parameters of its own the client would drop those in the path."""
        _, _, query = path.partition("?")
        given = dict(pair.split("=") for pair in query.split("&")) if query else {}
        return {**given, **parameters} or None


def _walk(chance: random.Random, count: int) -> list[tuple[int, int, int, int]]:
    price, candles = 10_000, []
    for _ in range(count):
        close = max(5000, price + chance.randint(-60, 60))
        candles.append((price, max(price, close) + 20, min(price, close) - 20, close))
        price = close
    return candles


def _alerts(chance: random.Random, candles: int, count: int) -> Iterator[TimedAlert]:
    for number in range(count):
        at = Time(START + (1 + number * (candles - 2) // count) * MINUTE)
        body: dict[str, Any] = {"id": f"a{number - number % 7 // 6}", "time": time_text(at), "symbol": "BTCUSDT"}
        body["action"] = chance.choice(["buy", "buy", "exit", "hold"])
        yield TimedAlert(at, SOURCE, json.encode(body).decode())
