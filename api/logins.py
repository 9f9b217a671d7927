"""The logins of the command line: kept in the data folder, in a file that only its owner can read."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from domain.errors import StoreError

FILE = "logins.json"
_LOCK = ".logins.lock"
_OWNER_ONLY = 0o600


class Login(Struct, frozen=True):
    """A user's session at one server: the token that renews it, and the one that requests carry until `expires_at`."""

    user: str
    refresh_token: str
    access_token: str
    expires_at: float


class Logins:
    """The logins by server. A token that was kept for one server is never given to another."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._lock = home / _LOCK

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time: a refresh token is good once."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY)
        except OSError as error:
            raise StoreError(f"{self._lock} cannot be written: {error.strerror}; see TRUETAPE_HOME") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def find(self, url: str) -> Login | None:
        """The login kept for a server."""
        return self._read().get(url)

    def keep(self, url: str, login: Login | None) -> None:
        """Put this login in the place of the last one; None forgets it."""
        logins = {**self._read(), url: login}
        kept = {name: msgspec.to_builtins(each) for name, each in logins.items() if each is not None}
        draft = self.path.with_name(f".{FILE}.{secrets.token_hex(8)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            with os.fdopen(handle, "w") as file:
                json.dump(kept, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from None
        finally:
            draft.unlink(missing_ok=True)

    def _read(self) -> dict[str, Login]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Login])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from None
        except msgspec.MsgspecError:
            raise StoreError(f"{self.path} is damaged; remove it and log in again: truetape login") from None
