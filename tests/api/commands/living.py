"""A running server for tests of the commands that talk to one: on a real port, with a worker and a market that is pushed."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.remote import Remote
from infrastructure.access import Access
from infrastructure.event_store.database import Database
from infrastructure.settings import Settings
from infrastructure.worker import Worker
from tests.api.server import PASSWORD
from tests.api.stage import CONFIG, Ended, run


class Living:
    """The server's address, and what a trader does at it from a terminal."""

    def __init__(self, home: Path, database: Database, port: int) -> None:
        self.home = home
        self.database = database
        self.url = f"http://127.0.0.1:{port}"
        self._minute = -1
        self.config = home / "dca.toml"
        self.config.write_text(CONFIG)

    def open_account(self, name: str = "main", *more: object) -> Ended:
        return run(
            "account", "create", name, "--balance", "USDT=10000", "--instrument", "BTC/USDT", "--tick", "0.01",
            "--step", "0.00001", "--min-notional", "5", "--taker-fee", "0.001", *more,
        )  # fmt: skip

    def create_bot(self, name: str = "dca", *more: object) -> Ended:
        return run(
            "bot", "create", name, "--account", "main", "--instrument", "BTC/USDT", "--config", self.config, *more
        )

    def push(self, *prices: str) -> None:
        """A candle at each price, one a minute from where the last one was."""
        for price in prices:
            self._minute += 1
            candle = {
                "open_time": f"2026-01-01T00:{self._minute:02d}:00Z", "open": price, "high": price, "low": price,
                "close": price, "volume": "1",
            }  # fmt: skip
            Remote().command("POST", "market", "sim", "BTC-USDT", "candles", body=[candle])


@contextmanager
def living(database: Database, home: Path, port: int = 0) -> Iterator[Living]:
    """A server with the user `admin`, until the block ends; the next one on the same port goes on."""
    app = create_app(database, Settings(home=home))
    access = Access(database)
    if not access.users():
        access.create_user("test", "admin", "admin", SecretStr(PASSWORD))
    config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    with Worker(database):
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server has ended"
                time.sleep(0.01)
            (listening,) = server.servers[0].sockets
            yield Living(home, database, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
