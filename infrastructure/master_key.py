"""The master key: 32 random bytes in the data folder, never in the database; every other key is derived from it."""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from domain.errors import StoreError

FOLDER = "keys"
FILE = "access.key"
_BYTES = 32


class MasterKey:
    """The key of one installation. Processes that share a database must share it."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "MasterKey(**********)"

    def derive(self, *labels: str) -> bytes:
        """A key of its own for each purpose."""
        return hmac.digest(self._key, "\0".join(labels).encode(), hashlib.sha256)


def load_master_key(home: Path) -> MasterKey:
    """Read the key, or make it the first time; raises StoreError, with the mend."""
    return MasterKey(read_or_make(home / FOLDER / FILE, "it holds the server's key", "tokens and secrets change"))


def read_or_make(path: Path, holds: str, loss: str) -> bytes:
    """32 secret bytes that are made once; an error says what the file `holds` and what a new key would mean."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror}; {holds}") from error
    if len(key) != _BYTES:
        raise StoreError(f"{path} is not a key of {_BYTES} bytes; restore it, or remove it ({loss})")
    return key


def _make(path: Path) -> None:
    """Written whole before it has its name; of several processes the first one's stands."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Where another process was first, its key is the one.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
