"""The worker: one shard's loop, in a thread of its own, from the inbox to the log.

What rows cause and what became of them is one transaction, so a row is taken once, whatever crashes. After a failure the
shard is made anew from its log; a row that the core cannot take is refused by name and passed over.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

import psycopg
from eventsourcing.persistence import DataError, PersistenceError

from domain.engine import run
from domain.engine_events import EngineStarted
from domain.errors import ConflictError, FencedError, StoreError, TruetapeError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.engine_version import engine_version, rules_hash
from infrastructure.event_store.ledger import ENGINE_STREAM, RULES, PostgresLedger, RunOpening
from infrastructure.event_store.mapper import RecordMapper, StoredRecord, originator_id
from infrastructure.event_store.runs import list_runs
from infrastructure.inbox import CHANNEL, Inbox, InboxRow, Outcome, write_outcomes
from infrastructure.plugins import load_working_plugins
from infrastructure.read_models import ProjectionRunner, raise_stopped
from infrastructure.restoring import restore
from infrastructure.shard_lock import ShardLock
from infrastructure.shard_snapshots import EVERY_RECORDS, ShardSnapshots
from infrastructure.strategy_code import failures, outdated
from infrastructure.venues.paper import PaperMarket

LABEL = "paper"
ROWS = 200
"""Inbox rows that one transaction takes at most."""
WAIT_SECONDS = 1.0
_DATABASE = (StoreError, PersistenceError, psycopg.Error)
"""What the database is to blame for, and no row."""
_log = logging.getLogger(__name__)


class Shard:
    """The state of one run in memory, made from its log, and the loop that moves it until the source ends.

    `position` is that of the last record in it, `unsaved` how many are since the last snapshot.
    """

    def __init__(
        self, database: Database, run_number: int, epoch: int, take: Callable[["Shard"], InboxRow | None]
    ) -> None:
        restored = restore(database, run_number)
        self.core = restored.core
        self.position = restored.position
        self.unsaved = restored.records
        self.waiting: list[StoredRecord] = []
        self.finished: list[tuple[int, int, str | None]] = []
        self._database = database
        self._inbox = Inbox(database)
        self._mapper = RecordMapper(run_number)
        self._epochs = {run_number: epoch}
        self.taken = self._inbox.taken()
        self.market = PaperMarket(self.core, lambda: take(self), self._finish, self.refuse)
        self.market.restore(self._inbox.last_prints(self.taken))
        self.market.features.restore(self._inbox.features_of(self.taken))

    def loop(self) -> None:
        """Take rows until the source gives none."""
        run(self.core, self.market, self, self.market)

    def append(self, records: list[Record[Event]]) -> None:
        """Keep a step's records, encoded, for the transaction that the row belongs to."""
        self.waiting += map(self._mapper.to_stored_event, records)

    def refuse(self, row: InboxRow, reason: str) -> None:
        """Pass over a row that cannot be taken."""
        self.finished.append((row.id, len(self.waiting), reason))

    def commit(self) -> None:
        """Records and outcomes of every finished row, in one transaction; raises StoreError or ConflictError."""
        if not self.finished:
            return
        if self.waiting:
            insert = self._database.recorder.insert_events
            self.position = insert(self.waiting, also=self._write_outcomes, epochs=self._epochs)[-1]
            self.unsaved += len(self.waiting)
        else:
            with self._database.datastore.transaction(commit=True) as cursor:
                write_outcomes(cursor.connection, self._outcomes(()))
        self.taken = self.finished[-1][0]
        self.waiting, self.finished = [], []

    def _finish(self, row: InboxRow) -> None:
        self.finished.append((row.id, len(self.waiting), None))

    def _write_outcomes(self, connection: psycopg.Connection[Any], positions: Sequence[int]) -> None:
        write_outcomes(connection, self._outcomes(positions))

    def _outcomes(self, positions: Sequence[int]) -> list[Outcome]:
        """Each row's records are those that waited when it was finished and not when the row before it was."""
        outcomes, start = [], 0
        for number, end, error in self.finished:
            if end > start:
                last = positions[end - 1] + self.waiting[end - 1].events - 1
                outcomes.append(Outcome(number, positions[start], last, error))
            else:
                outcomes.append(Outcome(number, None, None, error))
            start = end
        return outcomes


class Worker:
    """The thread that runs the database's paper shard; at most one at a time holds the shard's lock.

    `take_over` ends the session of whoever holds it: for one that hangs. What that one still tries to append is refused,
    because the run has been taken since.
    """

    def __init__(self, database: Database, *, take_over: bool = False) -> None:
        self.run = 0
        self.halted: str | None = None
        """Why nothing is taken and nothing leaves just now; it goes on by itself when that is over."""
        self._take_over = take_over
        self._database = database
        self._stop = threading.Event()
        self._rows: deque[InboxRow] = deque()
        self._read = 0
        self._refused: dict[int, str] = {}
        self._together = ROWS
        self._snapshots: ShardSnapshots | None = None
        self._thread = threading.Thread(target=self._work, name="truetape-worker", daemon=True)
        self._lock = ShardLock(database, CHANNEL)
        self._projections = ProjectionRunner(database)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Take the shard and begin; raises StoreError where another worker has it."""
        load_working_plugins()
        self._lock.take(take_over=self._take_over)
        try:
            self.run = paper_run(self._database)
            self._lock.lease(self.run)
            _note_engine(self._database, self.run, self._lock.epoch)
            self._snapshots = ShardSnapshots(self._database, self.run)
            self._thread.start()
        except BaseException:
            self._lock.close()
            raise

    def stop(self) -> None:
        """Finish the row in hand, commit, and end."""
        self._stop.set()
        self._thread.join()
        if self._snapshots is not None:
            self._snapshots.close()
        self._lock.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._rows.clear()
                self._lock.renew()
                shard = Shard(self._database, self.run, self._lock.epoch, self._take)
                self._read = shard.taken
                if gone := failures(shard.core):
                    Inbox(self._database).put(gone)
                self._loop(shard)
                self._save_last(shard)
            except FencedError as error:
                _log.error("this worker has ended: %s", error)
                return
            except (TruetapeError, *_DATABASE) as error:
                self.halted = str(error) or type(error).__name__
                _log.warning("the shard starts again from its log: %s", error)
                self._stop.wait(WAIT_SECONDS)

    def _loop(self, shard: Shard) -> None:
        """Run the shard; a row that breaks it is remembered, so that the next shard refuses it."""
        try:
            shard.loop()
        except (ConflictError, FencedError, *_DATABASE):
            raise
        except Exception as error:
            row = shard.market.row
            if row is None:
                raise
            _log.exception("inbox row %d cannot be taken", row.id)
            self._refused[row.id] = str(error) or type(error).__name__
            raise TruetapeError(f"inbox row {row.id} cannot be taken: {error}") from error

    def _take(self, shard: Shard) -> InboxRow | None:
        """The next row; before waiting for more, what is finished is committed and projected."""
        while True:
            while self._rows and len(shard.finished) < self._together:
                row = self._rows.popleft()
                reason = self._refused.get(row.id) or outdated(shard.core, row)
                if reason is None:
                    return row
                shard.refuse(row, reason)
            if shard.finished:
                self._commit(shard)
                self.halted = None
                self._save(shard)
                self._project()
            if self._stop.is_set():
                return None
            if not self._rows:
                self._rows.extend(Inbox(self._database).rows(self._read, ROWS))
                self._read = self._rows[-1].id if self._rows else self._read
            if not self._rows:
                self.halted = None  # what there was is taken
                self._lock.wait(WAIT_SECONDS)

    def _commit(self, shard: Shard) -> None:
        """Commit; where Postgres cannot hold what a row caused, find the row, which is refused when the shard starts again."""
        try:
            shard.commit()
        except (StoreError, DataError) as error:
            if isinstance(error, DataError) or isinstance(error.__cause__, DataError):
                if self._together == 1:
                    self._refused |= {number: f"the log cannot hold it: {error}" for number, _, _ in shard.finished}
                self._together = 1 if self._together > 1 else ROWS
            raise

    def _save(self, shard: Shard) -> None:
        """Begin a snapshot where enough records have come since the last."""
        assert self._snapshots is not None, "the worker was started"
        if shard.unsaved >= EVERY_RECORDS and self._snapshots.offer(shard.core, shard.position):
            shard.unsaved = 0

    def _save_last(self, shard: Shard) -> None:
        assert self._snapshots is not None, "the worker was started"
        if shard.unsaved:
            self._snapshots.keep(shard.core, shard.position)

    def _project(self) -> None:
        """Bring the read models up to date. One that cannot go on says so and stops alone: trading does not."""
        try:
            raise_stopped(self._projections.bring_forward())
        except _DATABASE as error:
            _log.error("read models are behind: %s", error)


def paper_run(database: Database) -> int:
    """The number of the paper run that goes on; begun where there is none."""
    runs = [each for each in list_runs(database) if each.mode == "paper" and each.end is None]
    if not runs:
        opening = RunOpening(label=LABEL, mode="paper", settings={}, tape_name="inbox", tape_digest=None)
        return PostgresLedger.begin(database, opening, Time(time.time_ns() // 1000)).run
    return runs[-1].run


def _note_engine(database: Database, run_number: int, epoch: int) -> None:
    """Append EngineStarted again where the code is not that which wrote the last one."""
    mapper = RecordMapper(run_number)
    stream = database.recorder.select_events(originator_id(run_number, ENGINE_STREAM), desc=True, limit=1)
    started = [mapper.to_domain_event(stored) for stored in stream]
    now = EngineStarted(engine_version(), rules_hash(), RULES)
    last = started[-1]
    if last.events[-1] == now:
        return
    version = last.version + len(last.events)
    record: Record[Event] = Record(ENGINE_STREAM, version, last.at, "engine", None, (now,))
    database.recorder.insert_events([mapper.to_stored_event(record)], epochs={run_number: epoch})
