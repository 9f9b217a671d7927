"""Leases: who may append to a run. Taking one ends the one before it, whatever its holder is doing."""

from eventsourcing.persistence import PersistenceError

from domain.errors import StoreError
from infrastructure.event_store.database import Database


def take_lease(database: Database, run: int, holder: str) -> int:
    """The epoch in which the holder alone may append to the run; raises StoreError."""
    try:
        with database.datastore.transaction(commit=True) as cursor:
            row = cursor.execute("SELECT take_lease(%s, %s) AS epoch", [run, holder]).fetchone()
    except PersistenceError as error:
        raise StoreError(f"run {run} cannot be taken: {error}") from error
    assert row is not None
    return int(row["epoch"])


def current_epoch(database: Database, run: int) -> int:
    """The epoch of the run's last lease, 0 where nobody has taken it; raises StoreError."""
    try:
        with database.datastore.transaction(commit=False) as cursor:
            row = cursor.execute("SELECT max(epoch) AS epoch FROM leases WHERE run = %s", [run]).fetchone()
    except PersistenceError as error:
        raise StoreError(f"the lease of run {run} cannot be read: {error}") from error
    return (row["epoch"] if row else None) or 0
