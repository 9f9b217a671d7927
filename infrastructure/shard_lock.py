"""The shard's lock: at most one worker holds it, and whoever has been superseded learns so and never gets it back.

The lock is the session's, so that a dead worker's ends with it; the lease is the log's, so that a worker which hangs and
wakes up again appends nothing (`append_records` looks at it in the statement that writes).
"""

import contextlib
import os
import socket
import time
from typing import Any

import psycopg

from domain.errors import FencedError, StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.datastore import patient
from infrastructure.event_store.leases import current_epoch, take_lease
from infrastructure.event_store.watchful import WatchfulConnection

TAKE_OVER_SECONDS = 10.0
_LOCK = 0x7472_7565_0004
_END_HOLDER = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND classid = (%s::bigint >> 32)::oid
    AND objid = (%s::bigint & x'ffffffff'::bigint)::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class ShardLock:
    """A session that holds the lock of the database's shard, and listens to a channel meanwhile."""

    def __init__(self, database: Database, channel: str) -> None:
        self.epoch = 0
        self._database = database
        self._channel = channel
        self._run = 0
        self._held = False
        self._session: psycopg.Connection[Any] | None = None

    def take(self, *, take_over: bool) -> None:
        """Hold the lock; raises StoreError where another worker does, unless its session is to be ended for it."""
        try:
            self._session = WatchfulConnection.connect(patient(self._database.url), autocommit=True)
            if take_over:
                self._session.execute(_END_HOLDER, [_LOCK, _LOCK])
            self._held = self._try(TAKE_OVER_SECONDS if take_over else 0)
            if self._held:
                self._session.execute(f"LISTEN {self._channel}".encode())
        except psycopg.Error as error:
            self.close()
            raise StoreError(f"the shard cannot be taken: {error}") from error
        if not self._held:
            self.close()
            raise StoreError(
                "another Truetape worker runs on this database; stop it first, or take over with --take-over"
            )

    def lease(self, run: int) -> None:
        """Take the run: who appended to it before appends no more."""
        self._run = run
        self.epoch = take_lease(self._database, run, f"{socket.gethostname()} {os.getpid()}")

    def renew(self) -> None:
        """Take the lock again if its session was lost; raises FencedError where the run has been taken meanwhile."""
        if self._session is not None and not self._session.closed:
            return
        if current_epoch(self._database, self._run) != self.epoch:
            raise FencedError(f"another worker has taken run {self._run}")
        # While nobody has the run, whoever has the lock is our own lost session, which the server does not know to be dead.
        self.take(take_over=True)

    def wait(self, seconds: float) -> None:
        """Wait until somebody notifies the channel, or for so long."""
        assert self._session is not None
        for _ in self._session.notifies(timeout=seconds, stop_after=1):
            return

    def close(self) -> None:
        """Give the lock back: by itself it would go a moment after this has returned, and the next one find it taken."""
        if self._session is None:
            return
        if self._held:
            self._held = False
            with contextlib.suppress(psycopg.Error):  # a session that was lost has given it back
                self._session.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        self._session.close()

    def _try(self, seconds: float) -> bool:
        """Whether we have it; a session that was ended gives it back within moments."""
        assert self._session is not None
        until = time.monotonic() + seconds
        while True:
            row = self._session.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
            if row is not None and row[0]:
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
