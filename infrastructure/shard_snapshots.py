"""Snapshots of a running shard: copied between two rows, written by a thread of their own while the loop goes on."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from domain.engine import Core
from domain.errors import TruetapeError
from domain.snapshot import Snapshot
from infrastructure.event_store.database import Database
from infrastructure.event_store.snapshots import write_snapshot

EVERY_RECORDS = 20_000
"""So many records of its run at most are read beside a snapshot when a shard starts, and those of the transaction in hand."""
_log = logging.getLogger(__name__)


class ShardSnapshots:
    """One at a time: while one is being written, no other is begun. One that fails is missed, and trading goes on."""

    def __init__(self, database: Database, run: int) -> None:
        self._database = database
        self._run = run
        self._thread = ThreadPoolExecutor(1, "truetape-snapshots")
        self._writing: Future[None] | None = None

    def offer(self, core: Core, position: int) -> bool:
        """Begin to keep the core as it is now, after the record at `position`; whether it will be."""
        if self._writing is not None and not self._writing.done():
            return False
        self.keep(core, position)
        return True

    def keep(self, core: Core, position: int) -> None:
        """As `offer`, but behind one that is still being written."""
        self._writing = self._thread.submit(self._write, core.snapshot(), position)
        self._writing.add_done_callback(_say)

    def close(self) -> None:
        """Wait until what was begun is written."""
        self._thread.shutdown()

    def _write(self, snapshot: Snapshot, position: int) -> None:
        try:
            write_snapshot(self._database, self._run, position, snapshot)
        except TruetapeError as error:
            _log.warning("the next start reads more of the log: %s", error)


def _say(written: Future[None]) -> None:
    """A bug of ours in the writing must not end the trading, and not pass unseen."""
    error = written.exception()
    if error is not None:
        _log.error("a snapshot cannot be made: %r", error)
