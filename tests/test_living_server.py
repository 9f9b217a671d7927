"""The server as a process: killed at random moments, it loses nothing that it acknowledged and repeats nothing."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.account.events import OrderAccepted, OrderFilled
from domain.signal.events import AlertReceived, SignalAccepted, SignalDuplicated
from domain.values import Time, time_text
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.runs import find_run, records_of
from infrastructure.inbox import Entry, Inbox
from infrastructure.master_key import load_master_key
from infrastructure.read_models import update_all
from infrastructure.row_rebuild import differences
from infrastructure.webhook_keys import Webhooks
from replay.verify import verify
from tests.domain.test_laws import random_walk
from tests.infrastructure.test_worker import candle, opening
from tests.simulator import START

KILLS = int(os.environ.get("KILLS", "4"))
ALERTS = int(os.environ.get("ALERTS", "60"))
RUN = 1


class Server:
    """`truetape up` on a database of the test's, which can be killed and started again."""

    def __init__(self, home: Path, url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._environment = {**os.environ, "TRUETAPE_HOME": str(home), "TRUETAPE_DATABASE_URL": url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "api", "up", "--quiet", "--port", str(self.port)]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while self.get("/health/ready") != 200:
            assert time.monotonic() < deadline, "the server does not become ready"
            assert self._process.poll() is None, "the server has ended"
            time.sleep(0.05)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(timeout=60)

    def get(self, path: str) -> int:
        return self.post(path, None)[0]

    def post(self, path: str, body: bytes | None) -> tuple[int, Any]:
        """(status, answer); status 0 where nobody answered."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None
        except (OSError, ValueError):
            return 0, None


@contextmanager
def moving_market(database: Database, seed: int) -> Iterator[None]:
    """Pushes a candle every few milliseconds."""
    stop = threading.Event()

    def push() -> None:
        for index, prices in enumerate(random_walk(random.Random(seed), 100_000)):
            if stop.wait(0.005):
                return
            Inbox(database).put([Entry("market", candle(index, prices))])

    pusher = threading.Thread(target=push)
    pusher.start()
    try:
        yield
    finally:
        stop.set()
        pusher.join()


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_loses_and_repeats_nothing(
    test_server: Any, database_name: str, home: Path
) -> None:
    url = test_server.url(database_name)
    chance = random.Random(11)
    server = Server(home, url)
    acknowledged: dict[str, list[int]] = {}
    sent = 0
    server.start()
    with connect(url) as database:
        Inbox(database).put([Entry("test", command) for command in opening()])
        token = Webhooks(database, load_master_key(home)).create(RUN, "dca_signals", "signals").token.get_secret_value()
        with moving_market(database, 5):
            for kill in range(KILLS + 1):
                until = time.monotonic() + chance.uniform(0.05, 1.0)
                while sent < ALERTS * (kill + 1) // (KILLS + 1) or time.monotonic() < until:
                    if sent < ALERTS:
                        _send(server, token, sent, acknowledged, chance)
                        sent += 1
                    else:
                        time.sleep(0.01)
                    if kill < KILLS and time.monotonic() >= until:
                        server.kill()
                        server.start()
                        break
            while sent < ALERTS:
                _send(server, token, sent, acknowledged, chance)
                sent += 1
        _wait_for_all(database)
        assert server.kill(signal.SIGINT) == 0
        _check(database, acknowledged)


def _send(server: Server, token: str, number: int, acknowledged: dict[str, list[int]], chance: random.Random) -> None:
    """Send an alert as a chart does: again where no answer came, a few times at most."""
    identity = f"a{number}"
    body = {
        "id": identity, "time": time_text(Time(START)), "symbol": "BTCUSDT", "action": chance.choice(["buy", "buy", "exit"]),
    }  # fmt: skip
    for _ in range(4):
        status, answer = server.post(f"/webhooks/tradingview/{token}", json.dumps(body).encode())
        if status == 200:
            acknowledged.setdefault(identity, []).append(answer["row"])
            return


def _wait_for_all(database: Database) -> None:
    inbox, deadline = Inbox(database), time.monotonic() + 60
    while inbox.rows(inbox.taken(), 1):
        assert time.monotonic() < deadline, "the inbox is not taken"
        time.sleep(0.05)


def _check(database: Database, acknowledged: dict[str, list[int]]) -> None:
    kept = [each for each in records_of(database, RUN) if each.stream]
    events = [event for each in kept for event in each.decode().events]
    received = [event for event in events if isinstance(event, AlertReceived)]
    rows = [row for row in Inbox(database).rows(0, 10**6) if row.kind == "alert"]
    assert len(received) == len(rows)
    assert {row for ids in acknowledged.values() for row in ids} <= {row.id for row in rows}
    judged = Counter(event.alert_id for event in events if isinstance(event, SignalAccepted | SignalDuplicated))
    once = Counter(event.alert_id for event in events if isinstance(event, SignalAccepted))
    assert set(acknowledged) <= set(judged)
    assert all(once[identity] == 1 for identity in acknowledged)
    accepted = Counter(event.order for event in events if isinstance(event, OrderAccepted))
    trades = Counter(event.trade for event in events if isinstance(event, OrderFilled))
    assert trades, "nothing was traded: the test shows nothing"
    assert set(accepted.values()) | set(trades.values()) == {1}
    verdict = verify(database, Path("nowhere"), find_run(database, RUN))
    assert (verdict.status, verdict.records) == ("same", len(kept))
    update_all(database)
    assert differences(database) == []
