"""The API on a database of a test's own, with a worker that takes the inbox, and somebody who is logged in."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from httpx2 import Response
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from infrastructure.access import Access, Role
from infrastructure.event_store.database import Database
from infrastructure.settings import Settings
from infrastructure.worker import Worker

V1 = "/api/v1"
PASSWORD = "canary-password-7f3a"
SETTINGS = {
    "capital": "1000",
    "legs": [
        {"gap_pct": "0", "weight_pct": "50", "take_profit_pct": "1"},
        {"gap_pct": "-1", "weight_pct": "50", "take_profit_pct": "1"},
    ],
}
INSTRUMENT = {
    "symbol": "BTC/USDT",
    "tick": "0.01",
    "step": "0.00001",
    "min_notional": "5",
    "maker_fee": "0.0002",
    "taker_fee": "0.001",
}


class Server:
    """A server that answers, and what a test asks of it."""

    def __init__(self, client: TestClient, app: FastAPI, database: Database) -> None:
        self.client = client
        self.app = app
        self.database = database
        self.access = Access(database)
        self.headers: dict[str, str] = {}

    def add_user(self, name: str, role: Role) -> None:
        self.access.create_user("test", name, role, SecretStr(PASSWORD))

    def login(self, name: str, password: str = PASSWORD) -> Response:
        return self.client.post(f"{V1}/auth/login", json={"name": name, "password": password})

    def act_as(self, name: str) -> None:
        """Log in; requests that follow are this user's."""
        self.headers = {"Authorization": f"Bearer {self.login(name).json()['access_token']}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = (
            None if body is None else json.dumps(body)
        )  # not the client's own, which refuses what a sender may not
        return self.client.request(
            method, V1 + path, content=content, headers={"Content-Type": "application/json", **self.headers, **named}
        )

    def read(self, path: str, position: int) -> Any:
        """A read model's answer, once it is true at a position."""
        for _ in range(100):
            answer = self.get(path).json()
            if answer["as_of"]["position"] >= position:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"{path} never reached {position}")

    def get(self, path: str) -> Response:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Response:
        return self.ask("POST", path, body, **headers)

    def open_account(self, name: str = "main", *, kind: str = "spot", usdt: str = "10000") -> Response:
        body = {
            "name": name, "mode": "paper", "kind": kind, "balances": {"USDT": usdt}, "instruments": [INSTRUMENT],
        }  # fmt: skip
        return self.post("/accounts", body)

    def create_bot(self, name: str = "dca", account: str = "main") -> Response:
        body = {
            "name": name, "account": account, "strategy": "dca_signals", "instrument": "BTC/USDT", "settings": SETTINGS,
        }  # fmt: skip
        return self.post("/bots", body)

    def push(self, minute: int, price: str, low: str | None = None, high: str | None = None) -> Response:
        """A candle that opens and closes at a price."""
        candle = {
            "open_time": f"2026-01-01T{minute // 60:02d}:{minute % 60:02d}:00Z", "open": price, "high": high or price,
            "low": low or price, "close": price, "volume": "1",
        }  # fmt: skip
        return self.post("/market/sim/BTC-USDT/candles", [candle])


def tags(answer: Response) -> list[str]:
    """The events that an answer shows."""
    return [event["event"] for event in answer.json()["events"]]


def problem_of(answer: Response, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"]
    assert document["detail"]
    return document


@contextmanager
def serving(database: Database, home: Path, *, worker: bool = True) -> Iterator[Server]:
    """The server with an administrator, who is logged in as the one who asks."""
    app = create_app(database, Settings(home=home))
    running = Worker(database)
    if worker:
        running.start()
    try:
        with TestClient(app) as client:
            server = Server(client, app, database)
            server.add_user("admin", "admin")
            server.act_as("admin")
            yield server
    finally:
        if worker:
            running.stop()
