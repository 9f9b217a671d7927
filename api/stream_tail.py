"""The tail of the log: one reader for all clients of the process, and the latest entries for those that keep up."""

import asyncio
import logging
import threading
from bisect import bisect_left
from operator import attrgetter

from anyio import to_thread
from eventsourcing.persistence import ApplicationRecorder, PersistenceError, Subscription

from api.stream_messages import Entry, Narrator, OpenRows, Place, end_of, narrator_from_rows
from domain.errors import StoreError
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.mapper import parse_originator_id
from infrastructure.event_store.runs import find_run
from infrastructure.row_views import Views
from projections.positions import PositionRow

KEPT_RECORDS = 4096
"""Entries that are kept at least; a client further back reads the log."""
_PENDING_MAX = 10_000
_RETRY_SECONDS = 0.5
_log = logging.getLogger("truetape.api")


class Tail:
    """Follows the log in a thread and hands its entries to the event loop.

    Everything but `_follow` and what it calls belongs to the event loop. There `position` is how far the log has been
    seen, and every entry of the current run behind `floor` is here. `listeners` are woken when there is more.
    """

    def __init__(self, views: Views, kept: int = KEPT_RECORDS) -> None:
        self.position = 0
        self.floor = 0
        self.run: int | None = None
        self.listeners: set[asyncio.Event] = set()
        self.broken = False
        self._database: Database = views.database
        self._views = views
        self._kept = kept
        self._entries: list[Entry] = []
        self._pending: list[tuple[int, int | None, Entry | None]] = []
        self._handing_over = threading.Lock()
        self._announced = False
        self._stopping = threading.Event()
        self._subscription: Subscription[ApplicationRecorder] | None = None
        self._thread: threading.Thread | None = None
        self._loop = asyncio.get_running_loop()
        self._narrator: Narrator | None = None
        self._read = 0
        self._others: set[int] = set()

    async def start(self) -> None:
        """Find the end of the log, and follow it from there."""
        await to_thread.run_sync(self._find_end)
        self.position = self.floor = self._read
        self.run = None if self._narrator is None else self._narrator.run
        self._thread = threading.Thread(target=self._follow, name="stream-tail", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        self._stopping.set()
        if self._subscription is not None:
            self._subscription.stop()
        if self._thread is not None:
            await to_thread.run_sync(self._thread.join)

    def after(self, place: Place) -> list[Entry] | None:
        """The entries with messages behind a place, None where they begin further back than what is here."""
        if place < end_of(self.floor):
            return None
        return self._entries[bisect_left(self._entries, place[0], key=attrgetter("last")) :]

    def _publish(self) -> None:
        with self._handing_over:
            pending, self._pending, self._announced = self._pending, [], False
        for position, run, entry in pending:
            self.position, self.run = position, run
            if entry is not None:
                self._entries.append(entry)
        if len(self._entries) > 2 * self._kept:
            self.floor = self._entries[-self._kept - 1].last
            del self._entries[: -self._kept]
        self._wake()

    def _wake(self) -> None:
        for listener in self.listeners:
            listener.set()

    def _break(self) -> None:
        self.broken = True
        self._wake()

    def _find_end(self) -> None:
        """Where the stored rows of the current run stand; before there is one, the end of the log."""
        head = self._database.recorder.max_notification_id() or 0
        with self._views.open([PositionRow]) as view:
            if view.run is None:
                self._read = head
            else:
                self._read, self._narrator = view.position, narrator_from_rows(self._database, view)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._subscribe()
            except (PersistenceError, StoreError) as error:
                _log.warning("the stream lost the log (%s) and looks for it again", type(error).__name__)
                self._stopping.wait(_RETRY_SECONDS)
            except Exception:  # noqa: BLE001  (whatever it is, clients must not wait for what will not come)
                _log.exception("the stream cannot go on behind position %d", self._read)
                self._loop.call_soon_threadsafe(self._break)
                return

    def _subscribe(self) -> None:
        with self._database.recorder.subscribe(gt=self._read) as subscription:
            self._subscription = subscription
            if self._stopping.is_set():
                return
            for notification in subscription:
                run, _ = parse_originator_id(str(notification.originator_id))
                self._take(run, notification.id, notification.state)

    def _take(self, run: int, position: int, state: bytes) -> None:
        record = codec.decode(state, run, position)
        narrator = self._narrator_of(run)
        entry = None if narrator is None else narrator.entry(position, record)
        self._read = position + len(record.events) - 1
        while len(self._pending) >= _PENDING_MAX and not self._stopping.is_set():
            self._stopping.wait(0.01)  # the event loop is behind
        with self._handing_over:
            self._pending.append((self._read, None if self._narrator is None else self._narrator.run, entry))
            announce, self._announced = not self._announced, True
        if announce:
            self._loop.call_soon_threadsafe(self._publish)

    def _narrator_of(self, run: int) -> Narrator | None:
        """Who tells of a run's records: nobody, unless it is the newest paper run."""
        if self._narrator is not None and self._narrator.run == run:
            return self._narrator
        if run not in self._others:
            newer = self._narrator is None or run > self._narrator.run
            if newer and find_run(self._database, run).mode == "paper":
                self._narrator = Narrator(self._database, run, OpenRows())
                return self._narrator
            self._others.add(run)
        return None
