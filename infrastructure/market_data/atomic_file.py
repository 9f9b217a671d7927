"""A file is either there whole and synced, or not there at all."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import InputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, which becomes `path` when the block ends well and is gone otherwise.

    Raises InputError where the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    part = Path(name)
    try:
        yield part
        _sync(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
        _sync(path.parent)
    except Exception as error:
        if not isinstance(error, (OSError, *_polars_errors())):
            raise
        raise InputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _polars_errors() -> tuple[type[Exception], ...]:
    """Those of polars, where it is what writes; it is not imported for asking."""
    loaded = sys.modules.get("polars.exceptions")
    return () if loaded is None else (loaded.PolarsError,)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's mask; there is no way to read it but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
