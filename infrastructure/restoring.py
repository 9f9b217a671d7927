"""A shard's core as its log makes it: from the newest snapshot that holds, and the records after it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from domain.engine import Core
from infrastructure.event_store.database import Database
from infrastructure.event_store.history import history_of
from infrastructure.event_store.ledger import ENGINE_STREAM
from infrastructure.event_store.snapshots import newest_snapshot


class Restored(Struct, frozen=True):
    """A core, the position of the last record in it (0: none), and how many records had to be read for it."""

    core: Core
    position: int
    records: int


def restore(database: Database, run: int, *, snapshots: bool = True) -> Restored:
    """The core of a run after all of its records; raises StoreError where one cannot be decoded."""
    kept = newest_snapshot(database, run) if snapshots else None
    position, core = (0, Core()) if kept is None else (kept[0], Core.from_snapshot(kept[1]))
    read = 0
    with collection_paused():
        for stretch in history_of(database, run, position):
            core.restore_all([record for record in stretch.records if record.stream != ENGINE_STREAM])
            position = stretch.positions[-1]
            read += len(stretch.records)
    return Restored(core, position, read)


@contextmanager
def collection_paused() -> Iterator[None]:
    """History makes many objects and no cycles: looking for some would take half as long again as all the rest."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
