"""The gate between requests and the inbox: concurrent puts become one, and outcomes are waited for without a thread each."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Self

import psycopg
from anyio import CapacityLimiter, to_thread
from eventsourcing.persistence import DataError
from msgspec import Struct
from psycopg.rows import tuple_row

from domain.errors import InputError, StoreError
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.datastore import ACT_AS_WRITER
from infrastructure.inbox import OUTCOMES_CHANNEL, Entry, Inbox, Outcome

BATCH = 1000
"""Entries that one transaction takes, unless a single request has more."""
POLL_SECONDS = 1.0
"""How long an outcome may go unnoticed where its notification was lost."""
_OUTCOMES = "SELECT id, first_position, last_position, error FROM outcomes WHERE id = ANY(%s)"
_log = logging.getLogger(__name__)


class _Put(Struct, eq=False):
    """One request's entries, and who waits for their ids."""

    entries: Sequence[Entry]
    done: asyncio.Future[list[int]]


class InboxGate:
    """The inbox, for the handlers of one event loop. Use it as an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: list[_Put] = []
        self._wake = asyncio.Event()
        # A pool and a thread of its own, so that slow readers never keep a delivery from being accepted.
        self._limiter = CapacityLimiter(1)
        self._database: Database | None = None
        self._awaited: dict[int, list[asyncio.Future[Outcome]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._database = await to_thread.run_sync(connect, self._url)
        self._tasks = [asyncio.create_task(self._flush()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for put in self._waiting:
            put.done.cancel()
        if self._database is not None:
            await to_thread.run_sync(self._database.close)

    async def put(self, entries: Sequence[Entry]) -> list[int]:
        """Add one request's entries, all or none, and return their ids; durable on return.

        Raises InputError where the database cannot hold them, StoreError as `Inbox.put` does.
        """
        put = _Put(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(put)
        self._wake.set()
        return await put.done

    async def wait(self, ids: Iterable[int], seconds: float) -> dict[int, Outcome]:
        """The outcomes of these rows, as many as there are when all are there or the time is over."""
        futures = {number: asyncio.get_running_loop().create_future() for number in ids}
        if not futures:
            return {}
        for number, future in futures.items():
            self._awaited.setdefault(number, []).append(future)
        try:
            # What was there before anybody listened for it.
            self._resolve(await to_thread.run_sync(self._inbox.outcomes, list(futures)))
            await asyncio.wait(futures.values(), timeout=seconds)
        finally:
            for number, future in futures.items():
                self._forget(number, future)
        return {number: future.result() for number, future in futures.items() if future.done()}

    @property
    def _inbox(self) -> Inbox:
        assert self._database is not None, "the gate is not open"
        return Inbox(self._database)

    async def _flush(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._put_together(self._take())

    def _take(self) -> list[_Put]:
        """The next puts, in order, that fit one transaction."""
        count = size = 0
        while count < len(self._waiting) and (not count or size + len(self._waiting[count].entries) <= BATCH):
            size += len(self._waiting[count].entries)
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _put_together(self, puts: list[_Put]) -> None:
        """One transaction for all; where somebody's entries cannot be stored at all, one for each."""
        entries = [entry for put in puts for entry in put.entries]
        try:
            ids = iter(await to_thread.run_sync(self._inbox.put, entries, limiter=self._limiter))
        except asyncio.CancelledError:
            for put in puts:
                put.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must hear it)
            # Data that cannot be encoded or stored ends the transaction before its commit: nothing was added.
            harmless = not isinstance(error, StoreError) or isinstance(error.__cause__, DataError)
            if harmless and len(puts) > 1:
                for put in puts:
                    await self._put_together([put])
                return
            if harmless:
                error = InputError("the inbox cannot hold this; send other text or smaller numbers")
            for put in puts:
                if not put.done.done():
                    put.done.set_exception(error)
            return
        for put in puts:
            given = [next(ids) for _ in put.entries]
            if not put.done.done():
                put.done.set_result(given)

    async def _listen(self) -> None:
        """Look outcomes up whenever the database says that there are new ones; connect again where that was lost."""
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
                async with connection:
                    await connection.execute(ACT_AS_WRITER)
                    await connection.execute(f"LISTEN {OUTCOMES_CHANNEL}")
                    while True:
                        await self._collect(connection)
                        async for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass  # what is new is looked up above
            except psycopg.Error as error:
                _log.warning("the inbox gate lost its database: %s", type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)

    async def _collect(self, connection: psycopg.AsyncConnection) -> None:
        if self._awaited:
            async with connection.cursor(row_factory=tuple_row) as cursor:
                await cursor.execute(_OUTCOMES, [list(self._awaited)])
                self._resolve({row[0]: Outcome(*row) for row in await cursor.fetchall()})

    def _resolve(self, outcomes: dict[int, Outcome]) -> None:
        for number, outcome in outcomes.items():
            for future in self._awaited.get(number, ()):
                if not future.done():
                    future.set_result(outcome)

    def _forget(self, number: int, future: asyncio.Future[Outcome]) -> None:
        left = [other for other in self._awaited.pop(number, []) if other is not future]
        if left:
            self._awaited[number] = left
