"""Checkpoints: how large the log was and what its tree's root was, in the text form of C2SP's tlog-checkpoint."""

import base64
import binascii
import hashlib
import json
from datetime import UTC

from msgspec import Struct, structs

from domain.errors import InputError
from infrastructure.event_store.runs import Run

START = bytes(32)
"""What the fold of runs begins with."""
_HASH_BYTES = 32
_OPENS = 1 << 63


class Checkpoint(Struct, frozen=True):
    """The first `size` records of a log, the last of which ends at event `position`, have this root.

    A record's bytes say neither its run nor what that run was opened as, so `runs` folds that: see `fold_run`.
    """

    origin: str
    size: int
    root: bytes
    position: int
    runs: bytes

    def text(self) -> str:
        """The checkpoint's body; the two lines behind the root are extensions."""
        root, runs = (base64.b64encode(each).decode() for each in (self.root, self.runs))
        return f"{self.origin}\n{self.size}\n{root}\nposition {self.position}\nruns {runs}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's body; raises InputError."""
    found = _read(text.splitlines())
    if found is None or found.text() != text or {len(found.root), len(found.runs)} != {_HASH_BYTES}:
        raise InputError(
            f"{text[:100]!r} is no checkpoint of Truetape; its lines are the origin, the size, the root, "
            "`position` and `runs`"
        )
    return found


def _read(lines: list[str]) -> Checkpoint | None:
    try:
        origin, size, root, position, runs = lines
        return Checkpoint(
            origin,
            int(size),
            base64.b64decode(root, validate=True),
            int(position.removeprefix("position ")),
            base64.b64decode(runs.removeprefix("runs "), validate=True),
        )
    except (ValueError, binascii.Error):
        return None


def is_opening(stream: int, version: int) -> bool:
    """Whether a record is the one that opens its run: the first of the engine's stream."""
    return stream == 0 and version == 1


def run_mark(run: int, *, opens: bool) -> bytes:
    """8 bytes: the run that a record belongs to, the highest bit set where the record opens it."""
    return (run | _OPENS if opens else run).to_bytes(8)


def marked_run(mark: bytes) -> tuple[int, bool]:
    """The run of a mark, and whether it is opened."""
    number = int.from_bytes(mark)
    return number & ~_OPENS, bool(number & _OPENS)


def opened_as(run: Run) -> bytes:
    """What stands in the row of a run since it was opened, as JSON that is always the same."""
    row = structs.asdict(run)
    del row["end"]
    row["created_at"] = run.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fold_run(runs: bytes, mark: bytes, opened: bytes = b"") -> bytes:
    """The fold after one more record; `opened` is what its run was opened as, where the mark says that it is."""
    return hashlib.sha256(runs + mark + (hashlib.sha256(opened).digest() if opened else b"")).digest()
