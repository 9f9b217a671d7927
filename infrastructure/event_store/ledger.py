"""Ledgers: where a run's records go, in Postgres or in memory; both know the digest of what they were given."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from eventsourcing.persistence import PersistenceError
from msgspec import Struct
from psycopg.types.json import Jsonb

from domain.engine_events import EngineStarted
from domain.errors import InDoubtError, StoreError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.batch import Batch
from infrastructure.event_store.codec import LogDigest
from infrastructure.event_store.database import Database
from infrastructure.event_store.engine_version import engine_version, rules_hash
from infrastructure.event_store.mapper import RecordMapper

RULES = "candle-v1"
ENGINE_STREAM = 0
GROUP_SIZE = 1000
"""Records that one transaction takes before the next input's go into another."""

Mode = Literal["live", "paper", "backtest"]


class RunOpening(Struct, frozen=True):
    """What a run is, said when it begins; `settings` are JSON values."""

    label: str
    mode: Mode
    settings: dict[str, object]
    tape_name: str | None = None
    tape_digest: str | None = None
    rules: str = RULES


class Sent(Struct, frozen=True):
    """A group of records on its way into the log."""

    records: list[Record[Event]]
    batch: Batch
    done: "Future[list[int]]"


class PostgresLedger:
    """The ledger of one run in Postgres: whole inputs only, several to a transaction.

    `digest` covers what the engine decided: not the record that says which engine it was.
    """

    def __init__(self, database: Database, run: int, group_size: int = GROUP_SIZE) -> None:
        self.run = run
        self.digest = LogDigest()
        self._database = database
        self._mapper = RecordMapper(run)
        self._group_size = group_size
        self._waiting: list[Record[Event]] = []
        self._sent: Sent | None = None

    @classmethod
    def begin(cls, database: Database, opening: RunOpening, at: Time, group_size: int = GROUP_SIZE) -> "PostgresLedger":
        """Open a run and record which code it runs under, at the time of its first input."""
        started = EngineStarted(engine_version(), rules_hash(), opening.rules)
        ledger = cls(database, _insert_run(database, opening, started), group_size)
        record: Record[Event] = Record(ENGINE_STREAM, 1, at, "engine", None, (started,), "engine")
        database.recorder.insert_events([ledger._mapper.to_stored_event(record)])
        return ledger

    def append(self, records: list[Record[Event]]) -> None:
        """Take one input's whole cascade, or several; durable after the next `flush`.

        A full group is written while the next one is made. Raises what the group before has met; it is kept and tried again.
        """
        if self._waiting and len(self._waiting) + len(records) > self._group_size:
            self._send()
        self._waiting.extend(records)
        if len(self._waiting) >= self._group_size:
            self._send()

    def flush(self) -> None:
        """Make everything appended so far durable."""
        self._send()
        self._confirm()

    def _send(self) -> None:
        """Hand what waits to the sequencer. Only one group is under way, so that none can overtake one that fails.

        It is encoded while the group before it is written.
        """
        waiting = self._waiting
        batch = self._mapper.to_batch(waiting)
        self._confirm()
        if waiting:
            self._sent = Sent(waiting, batch, self._database.recorder.sequencer.submit(batch))
            self._waiting = []

    def _confirm(self) -> None:
        """Wait until the group that is under way is durable; where it cannot be, it waits again.

        Where whether it was written is not known, it stays as it is and is asked for again.
        """
        sent = self._sent
        if sent is None:
            return
        if sent.done.done() and isinstance(sent.done.exception(), InDoubtError):
            done = self._database.recorder.sequencer.submit(sent.batch, again=True)
            sent = self._sent = Sent(sent.records, sent.batch, done)
        try:
            sent.done.result()
        except InDoubtError:
            raise
        except Exception:
            self._sent = None
            self._waiting = sent.records + self._waiting
            raise
        self._sent = None
        self.digest.update_encoded(sent.records, sent.batch.states)

    def end(self) -> None:
        """Flush, and record that the run is complete: how many records and events, with which digest."""
        self.flush()
        statement = "INSERT INTO run_ends (run, records, events, log_sha256) VALUES (%s, %s, %s, %s)"
        row = [self.run, self.digest.records, self.digest.events, self.digest.digest()]
        try:
            with self._database.datastore.transaction(commit=True) as cursor:
                cursor.execute(statement, row)
        except PersistenceError as error:
            raise StoreError(f"the end of run {self.run} was not recorded: {error}") from error


class MemoryLedger:
    """The ledger of a run that is not kept: the digest and the counts, and each batch to whoever asks for it."""

    def __init__(self, on_batch: Callable[[list[Record[Event]]], None] | None = None) -> None:
        self.digest = LogDigest()
        self._on_batch = on_batch

    def append(self, records: list[Record[Event]]) -> None:
        self.digest.update(records)
        if self._on_batch:
            self._on_batch(records)


def _insert_run(database: Database, opening: RunOpening, started: EngineStarted) -> int:
    statement = (
        "INSERT INTO runs (label, mode, engine_version, rules_hash, tape_name, tape_digest, settings)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING run"
    )
    row = [
        opening.label,
        opening.mode,
        started.engine_version,
        started.rules_hash,
        opening.tape_name,
        opening.tape_digest,
        Jsonb(opening.settings),
    ]
    try:
        with database.datastore.transaction(commit=True) as cursor:
            inserted = cursor.execute(statement, row).fetchone()
    except PersistenceError as error:
        raise StoreError(f"the run cannot be opened: {error}") from error
    assert inserted is not None
    return int(inserted["run"])
