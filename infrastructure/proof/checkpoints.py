"""Checkpoints of a log as they are made: held against the newest one outside of the database, signed, exported, listed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from eventsourcing.persistence import PersistenceError
from msgspec import Struct

from domain.errors import DamagedError, MissingError, StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import Frontier
from infrastructure.event_store.reading import select
from infrastructure.event_store.runs import find_run
from infrastructure.proof.checkpoint import (
    START,
    Checkpoint,
    fold_run,
    is_opening,
    opened_as,
    parse_checkpoint,
    run_mark,
)
from infrastructure.proof.checkpoint_folder import (
    CheckpointDestination,
    CheckpointFolder,
    block_name,
    note_name,
    run_name,
)
from infrastructure.proof.log_leaves import BLOCK, LeafRow, pages
from infrastructure.proof.signed_note import SigningKey, load_signing_key
from infrastructure.settings import Settings

FOLDER = "checkpoints"
ENTRY = 40
"""Bytes of a record in the index."""

_LOG = "SELECT log::text FROM log_identity"
_BASE = "SELECT base_size, base_position, base_roots, base_runs FROM checkpoints WHERE size = %s AND note = %s"
_LIST = "SELECT size, position, root, note, made_at FROM checkpoints WHERE size < %s ORDER BY size DESC LIMIT %s"
_INSERT = """
INSERT INTO checkpoints (size, position, root, note, base_size, base_position, base_roots, base_runs)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


class Base(Struct, frozen=True):
    """What the first `size` records, which end at event `position`, come to: where a pass over the log may begin."""

    size: int = 0
    position: int = 0
    roots: tuple[bytes, ...] = ()
    runs: bytes = START


class Made(Struct, frozen=True):
    """A signed checkpoint; not a new one where nothing has come onto the log since the newest."""

    checkpoint: Checkpoint
    note: str
    is_new: bool


class KeptCheckpoint(Struct, frozen=True):
    """A checkpoint as the database lists it."""

    size: int
    position: int
    root: bytes
    note: str
    made_at: datetime


class LogFold:
    """A pass over the log, record by record: its tree, its runs, its last position."""

    def __init__(self, base: Base) -> None:
        self.tree = Frontier(base.size, base.roots)
        self.position = base.position
        self.runs = base.runs

    def take(self, row: LeafRow, opened: bytes) -> bytes:
        """Add a record, and `opened` where it opens its run; returns its entry of the index."""
        if row.position != self.position + 1:
            raise DamagedError(f"event {self.position + 1} is missing from the log; the next is at {row.position}")
        mark = run_mark(row.run, opens=bool(opened))
        self.tree.add(row.leaf)
        self.runs = fold_run(self.runs, mark, opened)
        self.position += row.events
        return row.leaf + mark

    def base(self) -> Base:
        return Base(self.tree.size, self.position, self.tree.roots, self.runs)

    def checkpoint(self, origin: str) -> Checkpoint:
        return Checkpoint(origin, self.tree.size, self.tree.root(), self.position, self.runs)


class Checkpoints:
    """The checkpoints of one log: its key, the folder that they are exported to, and who else gets them."""

    def __init__(
        self,
        database: Database,
        key: SigningKey,
        folder: CheckpointFolder,
        also: Sequence[CheckpointDestination] = (),
    ) -> None:
        self.key = key
        self.folder = folder
        self._database = database
        self._destinations = (folder, *also)

    def newest(self) -> Made | None:
        """The newest exported checkpoint; raises where it is not ours."""
        sizes = self.folder.sizes()
        return self.exported(sizes[-1]) if sizes else None

    def exported(self, size: int) -> Made:
        return self.read(self.folder.note(size))

    def read(self, note: str) -> Made:
        """Open a signed checkpoint; raises InputError where it is not one of this log."""
        return Made(parse_checkpoint(self.key.verifier.open(note)), note, is_new=False)

    def listed(self, limit: int, below: int = 2**63 - 1) -> list[KeptCheckpoint]:
        """The checkpoints that the database lists, newest first."""
        return [KeptCheckpoint(*row) for row in select(self._database, _LIST, [below, limit])]

    def make(self, *, whole: bool = True, advance: Callable[[int], object] = int) -> Made:
        """Make a checkpoint of the log as it is; raises DamagedError where it does not continue the newest exported.

        `whole` reads the log from its start; otherwise from the last whole block of the newest checkpoint. `advance`
        is told the positions that are reached.
        """
        self.folder.keep_key(self.key.verifier)
        newest = self.newest()
        base = Base() if whole or newest is None else self._base(newest)
        try:
            fold, base = self._pass(base, newest, advance)
        except DamagedError:
            if base.size == 0:
                raise
            # What the pass went on from may be what is damaged: the log itself decides.
            fold, base = self._pass(Base(), newest, advance)
        if newest is not None and fold.tree.size == newest.checkpoint.size:
            return newest
        if fold.tree.size == 0:
            raise MissingError("there is nothing on the log yet, so nothing to make a checkpoint of")
        return self._publish(fold.checkpoint(self.key.verifier.name), base)

    def _pass(self, base: Base, newest: Made | None, advance: Callable[[int], object]) -> tuple[LogFold, Base]:
        """Fold the log from a base on, exporting its index; returns the fold and the base after its last whole block."""
        fold, known, suspect = LogFold(base), newest.checkpoint if newest else None, None
        _compare(fold, known, suspect)
        for rows in pages(self._database, base.position):
            first, entries = fold.tree.size, bytearray()
            exported = self.folder.read(block_name(first // BLOCK))
            for row in rows:
                start = len(entries)
                entries += fold.take(row, self._opened(row, known))
                is_known = known is not None and fold.tree.size <= known.size
                if suspect is None and is_known and exported and exported[start : start + ENTRY] != entries[start:]:
                    suspect = row.position
                _compare(fold, known, suspect)
            if known is None or fold.tree.size > known.size:
                self._put(block_name(first // BLOCK), bytes(entries))
            advance(fold.position)
            if len(rows) < BLOCK:
                break
            base = fold.base()
        if known is not None and fold.tree.size < known.size:
            raise DamagedError(
                f"event {fold.position + 1} is missing: the log ends there after {fold.tree.size:,} records, and the newest "
                f"checkpoint has {known.size:,}"
            )
        return fold, base

    def _opened(self, row: LeafRow, known: Checkpoint | None) -> bytes:
        """What a run was opened as, where this record opens it; exported once."""
        if not is_opening(row.stream, row.version):
            return b""
        opened = opened_as(find_run(self._database, row.run))
        if known is None or row.position > known.position:
            self._put(run_name(row.run), opened)
        return opened

    def _base(self, newest: Made) -> Base:
        rows = select(self._database, _BASE, [newest.checkpoint.size, newest.note])
        return Base(rows[0][0], rows[0][1], tuple(rows[0][2]), rows[0][3]) if rows else Base()

    def _publish(self, checkpoint: Checkpoint, base: Base) -> Made:
        """First outside, then in the list: a checkpoint that is listed has left the database."""
        note = self.key.sign(checkpoint.text())
        self._put(note_name(checkpoint.size), note.encode())
        row = [checkpoint.size, checkpoint.position, checkpoint.root, note, base.size, base.position, list(base.roots)]
        try:
            with self._database.datastore.transaction(commit=True) as cursor:
                cursor.execute(_INSERT, [*row, base.runs])
        except PersistenceError as error:
            raise StoreError(f"the checkpoint was exported and not listed: {error}") from error
        return Made(checkpoint, note, is_new=True)

    def _put(self, name: str, content: bytes) -> None:
        for each in self._destinations:
            each.put(name, content)


def open_checkpoints(database: Database, settings: Settings, also: Sequence[CheckpointDestination] = ()) -> Checkpoints:
    """The checkpoints of a database's log, in a folder of its own name."""
    ((log,),) = select(database, _LOG)
    parent: Path = settings.checkpoint_folder or settings.home / FOLDER
    key = load_signing_key(settings.home, f"truetape/{log}")
    return Checkpoints(database, key, CheckpointFolder(parent / log), also)


def _compare(fold: LogFold, known: Checkpoint | None, suspect: int | None) -> None:
    """At the size of a known checkpoint the log must come to the same."""
    if known is None or fold.tree.size != known.size:
        return
    if fold.checkpoint(known.origin) != known:
        where = f"event {suspect} differs" if suspect is not None else f"an event up to {known.position} differs"
        raise DamagedError(
            f"the log is not what it was at the checkpoint of {known.size:,} records: {where}; see `truetape audit check`"
        )
    if suspect is not None:
        raise StoreError(f"the log is sound and its exported index is not, from event {suspect} on; restore the folder")
