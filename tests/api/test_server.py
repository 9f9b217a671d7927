"""`truetape up` as a newcomer meets it: the printed curl, a first fill, Ctrl-C, and on from there."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.cli import run_cli
from domain.account.events import OrderDenied, OrderFilled
from domain.message import Event
from domain.strategy.events import StrategyActed, StrategyFailed, StrategyStarted
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.runs import records_of


@contextmanager
def started(home: Path, url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "TRUETAPE_HOME": str(home), "TRUETAPE_DATABASE_URL": url, "COLUMNS": "200"}
    command = [sys.executable, "-u", "-m", "api", "up", "--demo", "--port", "0", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.kill()


def said(server: subprocess.Popen[str], pattern: str) -> str:
    """Read what the server prints up to a line that matches."""
    assert server.stdout is not None
    for line in server.stdout:
        found = re.search(pattern, line)
        if found:
            return found[0]
    raise AssertionError(f"the server never said {pattern}")


def events_of(database: Database) -> list[Event]:
    return [event for each in records_of(database, 1) for event in each.decode().events]


def ended(server: subprocess.Popen[str]) -> tuple[int, str]:
    server.send_signal(signal.SIGINT)
    rest, _ = server.communicate(timeout=60)
    return server.returncode, rest


def test_the_printed_curl_leads_to_a_first_fill_and_the_next_start_goes_on(
    test_server: Any, database_name: str, home: Path
) -> None:
    url = test_server.url(database_name)
    with connect(url) as database, started(home, url) as server:
        password = said(server, r"password \S+")
        subprocess.run(["sh", "-c", said(server, r"curl .*")], check=True, capture_output=True, timeout=60)
        deadline = time.monotonic() + 30
        while not any(isinstance(event, OrderFilled) and event.bot == "dca" for event in events_of(database)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ended(server)[0] == 0
        happened = events_of(database)
        assert {event.bot for event in happened if isinstance(event, StrategyStarted)} == {"grid", "cross"}
        # The grid acts at the first candle; the other waits for a crossing.
        assert "grid" in {event.bot for event in happened if isinstance(event, StrategyActed)}
        assert not any(isinstance(event, StrategyFailed | OrderDenied) for event in happened)
        before = [kept.state for kept in records_of(database, 1)]
    with connect(url) as database, started(home, url) as again:
        said(again, r"curl .*")
        code, rest = ended(again)
        assert code == 0
        assert password not in rest
        assert [kept.state for kept in records_of(database, 1)][: len(before)] == before


def test_a_port_that_is_taken_is_said_before_anything_starts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_cli(["up", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err
    assert not any(home.iterdir())


@pytest.mark.parametrize(
    "market", ["walk", "walk:BTC/USDT", "noise:BTC/USDT=1", "tape:none=BTC/USDT", "walk:BTC/USDT=x"]
)
def test_a_market_that_makes_no_sense_is_refused(
    test_server: Any, database_name: str, home: Path, monkeypatch: pytest.MonkeyPatch, market: str
) -> None:
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(database_name))
    assert run_cli(["up", "--port", "0", "--market", market]) == 2
