"""Snapshots in Postgres: written beside the log, read where a shard starts, believed only where nothing is wrong."""

import hashlib
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from eventsourcing.persistence import PersistenceError
from msgspec import Struct

from domain.errors import StoreError
from domain.snapshot import Snapshot
from domain.values import LARGEST
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import select
from infrastructure.event_store.snapshot_codec import decode, encode, schema

_log = logging.getLogger(__name__)

_INSERT = """
INSERT INTO snapshots (run, position, schema_version, state, digest) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
# One of a record that the log does not have is not a snapshot of this log.
_NEWEST = """
SELECT position, schema_version, state, digest, made_at FROM snapshots
WHERE run = %s AND schema_version = %s AND position < %s
    AND EXISTS (SELECT FROM records WHERE records.run = snapshots.run AND records.position = snapshots.position)
ORDER BY position DESC LIMIT 1
"""


class KeptSnapshot(Struct, frozen=True):
    """A snapshot as it lies in Postgres; nothing about it has been believed yet."""

    run: int
    position: int
    schema_version: str
    state: bytes
    digest: bytes
    made_at: datetime

    def read(self) -> Snapshot:
        """Raises StoreError where it is not what was written, or cannot be read."""
        if self.digest != _digest_of(self.run, self.position, self.schema_version, self.state):
            raise StoreError(f"the snapshot at position {self.position} of run {self.run} is not what was written")
        return decode(self.state)


def write_snapshot(database: Database, run: int, position: int, snapshot: Snapshot) -> None:
    """Keep the state after the record at `position`; said twice, the first stands. Raises StoreError."""
    state, version = encode(snapshot), schema()
    row = [run, position, version, state, _digest_of(run, position, version, state)]
    try:
        with database.datastore.transaction(commit=True) as cursor:
            cursor.execute(_INSERT, row)
    except PersistenceError as error:
        raise StoreError(f"the snapshot at position {position} of run {run} cannot be written: {error}") from error


def newest_snapshot(database: Database, run: int) -> tuple[int, Snapshot] | None:
    """The newest position of the run with a snapshot that these rules made and nothing is wrong with."""
    for kept in kept_snapshots(database, run):
        try:
            return kept.position, kept.read()
        except StoreError as error:
            _log.warning("passed over: %s", error)
    return None


def kept_snapshots(database: Database, run: int) -> Iterator[KeptSnapshot]:
    """Those of these rules, newest first."""
    before = LARGEST
    while (row := _row(database, [run, schema(), before])) is not None:
        yield KeptSnapshot(run, *row)
        before = row[0]


def _digest_of(run: int, position: int, version: str, state: bytes) -> bytes:
    return hashlib.sha256(f"{run} {position} {version} ".encode() + state).digest()


def _row(database: Database, parameters: list[Any]) -> tuple[Any, ...] | None:
    rows = select(database, _NEWEST, parameters, "the snapshots")
    return rows[0] if rows else None
