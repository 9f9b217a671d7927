"""The tapes of an installation: imported once, kept under a name, found again by name, digest or source."""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import InputError, MissingError
from infrastructure.market_data.atomic_file import written_whole
from infrastructure.market_data.raw_file import read_bytes
from infrastructure.market_data.tape import FORMAT, Header, Tape, decode_header, folder, tape_paths

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_ALLOWED = "letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first"
IMPORTER = 1
"""Raised when the same file would give another tape."""
_PACKINGS = (".gz", ".zip", ".csv", ".parquet", ".pq")
_DIGEST_SHOWN = 8


class Stored(Struct, frozen=True):
    """A tape on the shelf; `is_new` where this import put it there."""

    name: str
    path: Path
    header: Header
    is_new: bool = False

    def load(self) -> Tape:
        """Read and verify the tape."""
        return Tape.load(self.path)


class Damaged(Struct, frozen=True):
    """A file on the shelf that is no sound tape, and why."""

    name: str
    path: Path
    reason: str


class _Origin(Struct, frozen=True):
    """What importing a file gave: kept under the hash of the file's bytes."""

    importer: int
    format: int
    digest: str


def import_cached(path: Path, home: Path, name: str | None = None, instrument: str = "") -> Stored:
    """Put the tape of a candle file on the shelf, or find it there: the same bytes are parsed once.

    Without a name it is the file's, and a tape that is there under another name stays there. Raises InputError for a bad
    file, and for a name that another tape has; nothing is stored then.
    """
    if name is not None:
        check_name(name)
    raw = read_bytes(path)
    origin = folder(home) / "sources" / f"{hashlib.sha256(raw).hexdigest()}.json"
    known = _known(origin, home, path)
    if known is not None and name in {None, known.name} and instrument in {"", known.header.instrument}:
        return known
    tape = _imported(path, raw, instrument) if known is None else known.load()
    tape = replace(tape, instrument=instrument or tape.instrument)
    with _alone(home):
        stored = _store(tape, home, name, path)
        with written_whole(origin) as part:
            part.write_bytes(msgspec.json.encode(_Origin(IMPORTER, FORMAT, tape.digest)))
    return stored


def _imported(path: Path, raw: bytes, instrument: str) -> Tape:
    from infrastructure.market_data.importers import candles_from  # noqa: PLC0415  (polars: only for a file that is new)

    return candles_from(path, raw, instrument=instrument)


def find_tape(home: Path, name: str) -> Stored:
    """The tape of this name; raises MissingError that names those there are."""
    path = folder(home) / f"{name}.parquet"
    if not NAME.fullmatch(name) or not path.is_file():
        names = ", ".join(each.stem for each in tape_paths(home)[:10]) or "none yet"
        raise MissingError(f"no tape is named {name!r}; there are: {names}")
    return Stored(name, path, decode_header(path))


def keep_tape(tape: Tape, home: Path, name: str, had: str | None) -> Stored:
    """Put a tape in the place of the one with the digest `had`, of none where that is None; raises InputError otherwise."""
    with _alone(home):
        path = folder(home) / f"{name}.parquet"
        there = decode_header(path).digest if path.exists() else None
        if there != had:
            raise InputError(
                f"name {name} is taken by the tape {str(there)[:_DIGEST_SHOWN]}; choose another with --name"
            )
        tape.save(path)
    return Stored(name, path, tape.header, had is None)


def check_name(name: str) -> str:
    """A name that a tape may have; raises InputError."""
    if not NAME.fullmatch(name):
        raise InputError(f"name {name!r} is not allowed; allowed are {NAME_ALLOWED}")
    return name


def list_tapes(home: Path) -> list[Stored | Damaged]:
    """Every tape by name, from headers alone."""
    found: list[Stored | Damaged] = []
    for path in tape_paths(home):
        try:
            found.append(Stored(path.stem, path, decode_header(path)))
        except (InputError, MissingError) as error:
            found.append(Damaged(path.stem, path, str(error)))
    return found


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One tape is put on the shelf at a time, so that two files of one name do not both find it free."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{home} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _known(origin: Path, home: Path, source: Path) -> Stored | None:
    """What this importer made of the same bytes, if it is still on the shelf."""
    try:
        record = msgspec.json.decode(origin.read_bytes(), type=_Origin)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        # A cache that cannot be read is no cache: the file is imported again.
        return None
    if (record.importer, record.format) != (IMPORTER, FORMAT):
        return None
    return _with_digest(home, record.digest, source)


def _with_digest(home: Path, digest: str, source: Path) -> Stored | None:
    """A tape with this digest; the one named after the source if several are."""
    likely = folder(home) / f"{_name_of(source)}.parquet"
    # Asked first and alone: most often it is this one, and the others, of which one may be damaged, need not be opened.
    with suppress(InputError, MissingError):
        header = decode_header(likely)
        if header.digest == digest:
            return Stored(likely.stem, likely, header)
    same = [each for each in list_tapes(home) if isinstance(each, Stored) and each.header.digest == digest]
    return min(same, key=lambda each: each.name != _name_of(source), default=None)


def _store(tape: Tape, home: Path, name: str | None, source: Path) -> Stored:
    if name is None:
        same = _with_digest(home, tape.digest, source)
        name = same.name if same is not None else _free_name(home, source, tape.digest)
    path = folder(home) / f"{name}.parquet"
    is_new = not path.exists()
    if not is_new:
        there = decode_header(path)
        if there.digest != tape.digest:
            raise InputError(
                f"name {name} is taken by the tape {there.digest[:_DIGEST_SHOWN]}; choose another with --name"
            )
        tape = replace(tape, instrument=tape.instrument or there.instrument, download=there.download)
    if is_new or there != tape.header:
        tape.save(path)
    return Stored(name, path, tape.header, is_new)


def _free_name(home: Path, source: Path, digest: str) -> str:
    """The file's name without its endings; with the digest where another tape has that."""
    name = _name_of(source)
    taken = (folder(home) / f"{name}.parquet").exists()
    return f"{name[:90]}-{digest[:_DIGEST_SHOWN]}" if taken else name


def _name_of(source: Path) -> str:
    name = source.name
    while name.lower().endswith(_PACKINGS):
        name = name[: name.rindex(".")]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100]
    return name if NAME.fullmatch(name) else "tape"
