"""A server in a process of its own, put together as `truetape up` does, and what talks to it over real sockets.

Run as a script it is that process: `living_server.py truetape PORT` or `living_server.py bare PORT`.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from msgspec import Struct
from pydantic import SecretStr

from api.app import create_app
from api.server import listen
from infrastructure.access import Access
from infrastructure.database import open_database
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from infrastructure.inbox import Inbox
from infrastructure.settings import load_settings
from infrastructure.worker import Worker

HOST = "127.0.0.1"
WEBHOOK_PER_MINUTE = 10**9
START_SECONDS = 60
DRAIN_SECONDS = 300
PASSWORD = "a password of a benchmark"
V1 = "/api/v1"


class Living(Struct):
    """A server that answers at `port`: its process, its data folder and its database, opened apart from it."""

    port: int
    process: subprocess.Popen[bytes]
    home: Path
    database: Database

    def memory(self) -> int:
        """Bytes of memory that the process has resident."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def drain(self) -> None:
        """Wait until every row of the inbox has its outcome."""
        inbox, deadline = Inbox(self.database), time.monotonic() + DRAIN_SECONDS
        while inbox.rows(inbox.taken(), 1):
            assert time.monotonic() < deadline, "the inbox is not taken"
            time.sleep(0.02)


class Line:
    """A connection that is kept open, one request after another; a request that breaks it is an error."""

    def __init__(self, port: int, token: str = "") -> None:
        self._port = port
        self._fixed = f"Host: {HOST}\r\nContent-Type: application/json\r\n"
        if token:
            self._fixed += f"Authorization: Bearer {token}\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes, method: str = "POST") -> tuple[int, bytes]:
        """(status, body) of the answer."""
        head = f"{method} {path} HTTP/1.1\r\n{self._fixed}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(answer[9:12]), await self._reader.readexactly(length)

    async def ask(self, path: str, content: object = None, method: str = "POST") -> dict[str, Any]:
        """The JSON answer to a command of the API, which must be a good one; waits where there are too many."""
        body = b"" if content is None else json.dumps(content).encode()
        while True:
            status, answer = await self.post(V1 + path, body, method)
            if status != 429:  # noqa: PLR2004
                break
            await asyncio.sleep(0.5)
        assert status in {200, 201}, (path, status, answer[:500])
        done: dict[str, Any] = json.loads(answer)
        return done


@contextmanager
def living() -> Iterator[Living]:
    """The server on a database and a data folder that are new, and gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="truetape-") as data,
        tempfile.TemporaryDirectory(prefix="truetape-") as home,
        EmbeddedPostgres(Path(data)) as postgres,
    ):
        migrations.migrate(postgres.owner_url)
        environment = {**os.environ, "TRUETAPE_HOME": home, "TRUETAPE_DATABASE_URL": postgres.url}
        with connect(postgres.url) as database, _process("truetape", environment) as (process, port):
            yield Living(port, process, Path(home), database)


@contextmanager
def bare() -> Iterator[int]:
    """The port of a FastAPI application with one route, which reads the body and answers as a webhook does."""
    with _process("bare", dict(os.environ)) as (_, port):
        yield port


def add_users(database: Database, names: Sequence[str]) -> None:
    """Administrators, with the benchmark's password."""
    for name in names:
        Access(database).create_user("benchmark", name, "admin", SecretStr(PASSWORD))


async def login(port: int, name: str) -> str:
    """An access token."""
    async with Line(port) as line:
        answer = await line.ask("/auth/login", {"name": name, "password": PASSWORD})
        return str(answer["access_token"])


@contextmanager
def _process(kind: str, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with listen(HOST, 0) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, __file__, kind, str(port)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            _wait_for(process, port)
            yield process, port
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    async def knock() -> None:
        async with Line(port) as line:
            await line.post("/", b"")

    deadline = time.monotonic() + START_SECONDS
    while True:
        assert time.monotonic() < deadline, "the server does not start"
        assert process.poll() is None, "the server has ended"
        try:
            asyncio.run(knock())
        except (OSError, asyncio.IncompleteReadError):
            time.sleep(0.05)
        else:
            return


def _serve(app: FastAPI, port: int) -> None:
    """As `api.server.serve` does."""
    with listen(HOST, port) as listening:
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listening])


def _serve_truetape(port: int) -> None:
    settings = load_settings()
    with open_database(settings) as database, Worker(database) as worker:
        alive = lambda: worker.is_alive  # noqa: E731
        app = create_app(database, settings, worker_alive=alive, webhook_per_minute=WEBHOOK_PER_MINUTE)
        _serve(app, port)


def _serve_bare(port: int) -> None:
    app = FastAPI()

    @app.post("/webhooks/tradingview/{token}")
    async def deliver(request: Request, token: str) -> JSONResponse:
        return JSONResponse({"row": len(await request.body())})

    _serve(app, port)


if __name__ == "__main__":
    {"truetape": _serve_truetape, "bare": _serve_bare}[sys.argv[1]](int(sys.argv[2]))
