"""The walk over the whole log that holds each row against itself, its neighbours and what was exported of it."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from domain.errors import MissingError
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import Frontier
from infrastructure.event_store.reading import select
from infrastructure.event_store.runs import Run, find_run
from infrastructure.proof.checkpoint import (
    START,
    Checkpoint,
    fold_run,
    is_opening,
    marked_run,
    opened_as,
    run_mark,
)
from infrastructure.proof.log_leaves import BLOCK
from infrastructure.proof.segment_check import SegmentCheck

ENTRY = 40
"""Bytes of a record in the exported index: its leaf and the mark of its run."""
_MARK = 8
_LOWEST = -(2**63)
"""Behind this is every row, also one that no position should allow."""

_ENVELOPE = (
    "stream", "version", "at", "actor", "key", "observed_at", "venue_at", "clock_offset",
)  # fmt: skip
_ROWS = f"""
SELECT position, run, events, topic, leaf, state, cause_stream, cause_version, {", ".join(_ENVELOPE)}
FROM records WHERE position > %s ORDER BY position LIMIT %s
"""  # noqa: S608  (names from above)
_HEAD = "SELECT coalesce(max(position + events - 1), 0) FROM records"


class Envelope(Struct, frozen=True, array_like=True):
    """A record's bytes as they say themselves what the row's columns repeat; its events are only counted."""

    stream: int
    version: int
    at: int
    actor: str
    cause: tuple[int, int] | None
    events: list[msgspec.Raw]
    key: str | None = None
    observed_at: int | None = None
    venue_at: int | None = None
    clock_offset: int = 0


_DECODER = msgspec.msgpack.Decoder(Envelope)


class WalkedRow(Struct, frozen=True):
    """A row of the log with everything in it."""

    position: int
    run: int
    events: int
    topic: str
    leaf: bytes
    state: bytes
    cause_stream: int | None
    cause_version: int | None
    stream: int
    version: int
    at: int
    actor: str
    key: str | None
    observed_at: int | None
    venue_at: int | None
    clock_offset: int


class Damage(Struct, frozen=True):
    """The first event that is not as it was recorded; where only a checkpoint is left to tell, up to `last` it may be any."""

    kind: str
    position: int
    message: str
    last: int | None = None


class Checked(Struct, frozen=True):
    """What a walk has seen; `covered` records were held against the checkpoint, and the rest against itself only."""

    records: int
    events: int
    covered: int
    damage: Damage | None


class Exported(Protocol):
    """What lies outside of the database beside a checkpoint."""

    def index(self, block: int) -> bytes | None:
        """The entries of a block of 4096 records."""

    def run(self, number: int) -> bytes | None:
        """What a run was opened as."""

    def earlier(self, size: int) -> list[Checkpoint]:
        """The checkpoints below a size, ascending."""


def check_log(
    database: Database,
    checkpoint: Checkpoint | None = None,
    exported: Exported | None = None,
    advance: Callable[[int], object] = int,
) -> Checked:
    """Walk the log to its end or its first damage; `advance` is told the positions that are reached."""
    return _Walk(database, checkpoint, exported, advance).result()


def head_of(database: Database) -> int:
    """The position of the last event."""
    return int(select(database, _HEAD)[0][0])


def index_belongs(checkpoint: Checkpoint, exported: Exported) -> bool:
    """Whether the exported index and runs are what the checkpoint was made of."""
    tree, runs = Frontier(), START
    for block in range((checkpoint.size + BLOCK - 1) // BLOCK):
        entries = exported.index(block) or b""
        count = min(BLOCK, checkpoint.size - block * BLOCK)
        if len(entries) < count * ENTRY:
            return False
        for start in range(0, count * ENTRY, ENTRY):
            mark = entries[start + ENTRY - _MARK : start + ENTRY]
            number, opens = marked_run(mark)
            opened = exported.run(number) if opens else b""
            if opened is None:
                return False
            tree.add(entries[start : start + ENTRY - _MARK])
            runs = fold_run(runs, mark, opened)
    return (tree.root(), runs) == (checkpoint.root, checkpoint.runs)


class _Walk:
    """One pass over the log; what it remembers is a number for each stream and the tree's frontier."""

    def __init__(
        self,
        database: Database,
        checkpoint: Checkpoint | None,
        exported: Exported | None,
        advance: Callable[[int], object],
    ) -> None:
        self._database = database
        self._checkpoint = checkpoint
        self._advance = advance
        self._tree, self._runs = Frontier(), START
        self._position = 0
        self._heads: dict[tuple[int, int], int] = {}
        self._known: dict[int, Run | None] = {}
        self._segments = SegmentCheck(database)
        self._index: Exported | None = None
        self._milestones: list[Checkpoint] = []
        self._sound_upto = 0
        if checkpoint is not None and exported is not None:
            if index_belongs(checkpoint, exported):
                self._index = exported
            else:
                self._milestones = exported.earlier(checkpoint.size)
        self._milestones = [*self._milestones, *([checkpoint] if checkpoint else [])]

    def result(self) -> Checked:
        damage = next(self._damages(), None)
        covered = min(self._checkpoint.size, self._tree.size) if self._checkpoint else 0
        return Checked(self._tree.size, self._position, covered, damage)

    def _damages(self) -> Iterator[Damage]:
        """What is wrong, in the order of the log; only the first counts: what follows may follow from it."""
        after = _LOWEST
        while rows := [WalkedRow(*row) for row in select(self._database, _ROWS, [after, BLOCK])]:
            block = self._tree.size // BLOCK
            entries = self._index.index(block) or b"" if self._index else b""
            leaves = []
            for place, row in enumerate(rows):
                opened = self._opened(row)
                leaf = codec.leaf_of(row.state)
                yield from self._row(row, leaf)
                if self._is_covered():
                    yield from self._against(row, leaf, opened, entries[place * ENTRY : (place + 1) * ENTRY])
                self._take(row, leaf, opened)
                leaves.append(leaf)
                yield from self._at_milestone()
            yield from map(_damage, self._segments.faults(rows, leaves))
            after = rows[-1].position
            self._advance(self._position)
            if len(rows) < BLOCK:
                break
        if self._checkpoint is not None and self._tree.size < self._checkpoint.size:
            said = f"the log ends before event {self._position + 1}, and the checkpoint has events up to "
            yield Damage("truncated", self._position + 1, said + str(self._checkpoint.position))
        yield from map(_damage, self._segments.rest())

    def _take(self, row: WalkedRow, leaf: bytes, opened: bytes) -> None:
        self._tree.add(leaf)
        self._runs = fold_run(self._runs, run_mark(row.run, opens=bool(opened)), opened)
        self._heads[row.run, row.stream] = row.version + row.events - 1
        self._position = row.position + row.events - 1

    def _is_covered(self) -> bool:
        return self._checkpoint is not None and self._tree.size < self._checkpoint.size

    def _opened(self, row: WalkedRow) -> bytes:
        if row.run not in self._known:
            try:
                self._known[row.run] = find_run(self._database, row.run)
            except MissingError:
                self._known[row.run] = None  # said of the row
        known = self._known[row.run]
        return opened_as(known) if known is not None and is_opening(row.stream, row.version) else b""

    def _row(self, row: WalkedRow, leaf: bytes) -> Iterator[Damage]:
        """Hold a row against itself and against what is before it."""
        expected = self._position + 1
        if row.position != expected:
            kind = "missing" if row.position > expected else "overlap"
            yield Damage(kind, expected, f"event {expected} is missing: the next record is at position {row.position}")
        if leaf != row.leaf:
            yield Damage("hash", row.position, "the record's bytes are not those that were hashed when it was written")
        for message in _envelope_faults(row):
            yield Damage("envelope", row.position, message)
        head = self._heads.get((row.run, row.stream), 0)
        if row.version != head + 1:
            said = f"stream {row.stream} of run {row.run} goes from version {head} to {row.version}"
            yield Damage("version", row.position, said)
        if self._known.get(row.run) is None:
            yield Damage("run", row.position, f"run {row.run} is not among the runs")

    def _against(self, row: WalkedRow, leaf: bytes, opened: bytes, entry: bytes) -> Iterator[Damage]:
        """Hold a row against its entry in the exported index."""
        if self._index is None:
            return
        if entry[:-_MARK] != leaf:
            yield Damage("altered", row.position, "the record is another than the one that was exported")
        number, opens = marked_run(entry[-_MARK:])
        if (number, opens) != (row.run, bool(opened)):
            yield Damage("run", row.position, f"the record belongs to run {row.run}; when it was exported, to {number}")
        if opens and self._index.run(number) != opened:
            yield Damage("run", row.position, f"run {number} is not what it was opened as")

    def _at_milestone(self) -> Iterator[Damage]:
        """Where a checkpoint was made, the log must come to the same; where it does not, what follows the last is suspect."""
        while self._milestones and self._milestones[0].size <= self._tree.size:
            known = self._milestones.pop(0)
            found = Checkpoint(known.origin, self._tree.size, self._tree.root(), self._position, self._runs)
            if found != known:
                said = f"the log is not what it was at the checkpoint of {known.size:,} records"
                yield Damage("altered", self._sound_upto + 1, said, known.position)
            self._sound_upto = self._position


def _envelope_faults(row: WalkedRow) -> Iterator[str]:
    if row.topic != codec.TOPIC:
        yield f"the topic is {row.topic!r}; allowed: {codec.TOPIC!r}"
        return
    try:
        envelope = _DECODER.decode(row.state)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        yield f"the record's bytes are no record: {error}"
        return
    said: Iterator[tuple[str, Any]] = chain(
        ((name, getattr(envelope, name)) for name in _ENVELOPE),
        zip(("cause_stream", "cause_version"), envelope.cause or repeat(None), strict=False),
        [("events", len(envelope.events))],
    )
    for name, value in said:
        if getattr(row, name) != value:
            yield f"column {name} is {getattr(row, name)!r} and the record's bytes say {value!r}"


def _damage(fault: tuple[int, str]) -> Damage:
    return Damage("segment", *fault)
