"""A tape file's columns as they lie in memory, in a file beside it that is read in a hundredth of a second.

A Parquet reader takes a fifth of a second to import. The copy is worth nothing by itself: it names the very file that it was
made of, whoever reads it checks the tape's digest, and who finds none, or one of another file, reads that and makes one.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Integers = NDArray[np.int64]

FOLDER = "plain"
_ITEM = 8
_ALIGNED = 64


def integers(column: memoryview) -> Integers:
    """The same memory as an array."""
    return np.frombuffer(column, dtype=np.int64)


def view(array: Integers) -> memoryview:
    """The same memory as read-only integers."""
    return np.ascontiguousarray(array, dtype=np.int64).data.toreadonly().cast("B").cast("q")


class Stamp(Struct, frozen=True):
    """Which file it was: another one under the same name has another."""

    size: int
    changed_ns: int
    inode: int


class _Head(Struct, frozen=True):
    """The first line of a copy. Of the header it has the digest too: that of the tape does not cover it."""

    stamp: Stamp
    rows: int
    names: tuple[str, ...]
    header: str
    header_sha256: str


class Copy(Struct, frozen=True, eq=False):
    """What a tape file has: its header and its columns."""

    header: bytes
    columns: dict[str, memoryview]


def stamp_of(path: Path) -> Stamp | None:
    """That of a file, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def copied_header(path: Path) -> bytes | None:
    """The header in the copy of a tape file, None where there is none."""
    try:
        with _place_of(path).open("rb") as file:
            head = _head(file.readline(), path)
    except OSError:
        return None
    return None if head is None else head.header.encode()


def read_copy(path: Path, names: Sequence[str]) -> Copy | None:
    """The copy of a tape file, None where there is none of these columns."""
    try:
        raw = _place_of(path).read_bytes()
    except OSError:
        return None
    line = raw[: raw.find(b"\n") + 1]
    head = _head(line, path)
    if head is None or head.names != tuple(names) or len(raw) != len(line) + _ITEM * head.rows * len(names):
        return None
    size = _ITEM * head.rows
    starts = [len(line) + number * size for number in range(len(names))]
    views = [memoryview(raw)[start : start + size].cast("q") for start in starts]
    return Copy(head.header.encode(), dict(zip(names, views, strict=True)))


def keep_copy(path: Path, stamp: Stamp, copy: Copy) -> None:
    """Keep what was read of the file with this stamp; the copies of tapes that are gone are dropped."""
    rows = len(next(iter(copy.columns.values())))
    head = msgspec.json.encode(_Head(stamp, rows, tuple(copy.columns), copy.header.decode(), _sha256(copy.header)))
    line = head.ljust(-(-(len(head) + 1) // _ALIGNED) * _ALIGNED - 1) + b"\n"
    place = _place_of(path)
    # A copy that cannot be kept is none: what it was made of is there.
    with suppress(OSError):
        place.parent.mkdir(exist_ok=True)
        for other in place.parent.iterdir():
            if not path.with_name(f"{other.stem}.parquet").exists():
                other.unlink(missing_ok=True)
        _write(place, [line, *copy.columns.values()])


def _place_of(path: Path) -> Path:
    return path.parent / FOLDER / f"{path.stem}.columns"


def _head(line: bytes, path: Path) -> _Head | None:
    """The first line, where the copy is of the file that is there now."""
    try:
        head = msgspec.json.decode(line, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    is_sound = head.header_sha256 == _sha256(head.header.encode()) and head.stamp == stamp_of(path)
    return head if is_sound else None


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _write(place: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Whole or not at all; not synced, since a copy that a crash has spoilt does not fit its digest."""
    handle, name = tempfile.mkstemp(prefix=f"{place.stem}.", suffix=".part", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
        Path(name).replace(place)
    finally:
        Path(name).unlink(missing_ok=True)
