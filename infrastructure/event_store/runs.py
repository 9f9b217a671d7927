"""Runs as they are kept: which there are, how they ended, what their logs say."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from domain.errors import MissingError
from domain.message import Event, Record
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import select

BATCH = 2000

_RUNS = """
SELECT run, label, mode, engine_version, rules_hash, tape_name, tape_digest, settings, created_at,
       records, events, log_sha256, ended_at
FROM runs LEFT JOIN run_ends USING (run)
"""
_RECORDS = """
SELECT position, stream, events, leaf, state FROM records WHERE run = %s AND position > %s ORDER BY position LIMIT %s
"""

_RUN_AT = "SELECT run FROM records WHERE position <= %s ORDER BY position DESC LIMIT 1"


class RunEnd(Struct, frozen=True):
    """How a run ended: what the engine decided, without the record that says which engine it was."""

    records: int
    events: int
    log_sha256: str
    ended_at: datetime


class Run(Struct, frozen=True):
    """A kept run; without an end it is still going, or was interrupted."""

    run: int
    label: str
    mode: str
    engine_version: str
    rules_hash: str
    tape_name: str | None
    tape_digest: str | None
    settings: dict[str, Any]
    created_at: datetime
    end: RunEnd | None


class KeptRecord(Struct, frozen=True):
    """A record's bytes as they lie in Postgres; nothing about them has been believed yet."""

    run: int
    position: int
    stream: int
    events: int
    leaf: bytes
    state: bytes

    def decode(self) -> Record[Event]:
        return codec.decode(self.state, self.run, self.position)

    def is_intact(self) -> bool:
        """Whether the bytes are those that were hashed when they were written."""
        return codec.leaf_of(self.state) == self.leaf


def list_runs(database: Database) -> list[Run]:
    """All runs, oldest first."""
    return [_run(row) for row in select(database, _RUNS + "ORDER BY run", [])]


def find_run(database: Database, number: int | None = None) -> Run:
    """One run, the newest unless told; raises MissingError."""
    clause = "ORDER BY run DESC LIMIT 1" if number is None else "WHERE run = %s"
    rows = select(database, _RUNS + clause, [] if number is None else [number])
    if not rows:
        raise MissingError("no run is kept" if number is None else f"run {number} is not kept")
    return _run(rows[0])


def records_of(database: Database, run: int, after: int = 0, batch: int = BATCH) -> Iterator[KeptRecord]:
    """A run's records in order, from those whose position is above `after`; read `batch` at a time."""
    while rows := select(database, _RECORDS, [run, after, batch]):
        for row in rows:
            yield KeptRecord(run, *row)
        after = rows[-1][0]


def run_at(database: Database, position: int) -> int:
    """The run that the record at or before a position belongs to; raises MissingError where there is none."""
    rows = select(database, _RUN_AT, [position])
    if not rows:
        raise MissingError(f"there is no event at position {position}")
    return int(rows[0][0])


def _run(row: tuple[Any, ...]) -> Run:
    records, events, log_sha256, ended_at = row[-4:]
    end = None if ended_at is None else RunEnd(records, events, log_sha256.hex(), ended_at)
    return Run(*(*row[:-4], end))
