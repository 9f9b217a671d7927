"""Where checkpoints go when they leave the database: files that are written once, in a folder that may lie elsewhere.

    verifier.key              the public key
    checkpoints/000000001107  a signed checkpoint, named by its size
    index/000000              40 bytes for each record of a block of 4096: its leaf, and its run (see `run_mark`)
    runs/3.json               what a run was opened as

The index lets a damaged record be named: a root alone only says that there is one.
"""

import os
import secrets
from pathlib import Path
from typing import Protocol

from domain.errors import StoreError
from infrastructure.proof.signed_note import VerifierKey

KEY = "verifier.key"
_DIGITS = 12
_BLOCK_DIGITS = 6


class CheckpointDestination(Protocol):
    """Whatever keeps what is exported: an object store, a second party, a time-stamping service."""

    def put(self, name: str, content: bytes) -> None:
        """Keep a file under a name, in place of an earlier and shorter one; raise StoreError."""


def note_name(size: int) -> str:
    return f"checkpoints/{size:0{_DIGITS}}"


def block_name(block: int) -> str:
    return f"index/{block:0{_BLOCK_DIGITS}}"


def run_name(run: int) -> str:
    return f"runs/{run}.json"


class CheckpointFolder:
    """A folder of exported checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, name: str, content: bytes) -> None:
        """Written whole and durably before it has its name."""
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            try:
                with draft.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            _sync(path.parent)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}; see TRUETAPE_CHECKPOINT_FOLDER") from error

    def read(self, name: str) -> bytes | None:
        """What was put under a name, None where nothing was."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path / name} cannot be read: {error.strerror}") from error

    def sizes(self) -> list[int]:
        """The sizes of the checkpoints, ascending."""
        folder = self.path / "checkpoints"
        if not folder.is_dir():
            return []
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())

    def note(self, size: int) -> str:
        """The signed checkpoint of a size."""
        found = self.read(note_name(size))
        if found is None:
            raise StoreError(f"{self.path / note_name(size)} has gone")
        return text_of(found, str(self.path / note_name(size)))

    def keep_key(self, key: VerifierKey) -> None:
        """Put the public key; raises StoreError where another one's checkpoints are in the folder."""
        found = self.read(KEY)
        if found is None:
            self.put(KEY, f"{key.text}\n".encode())
        elif text_of(found, KEY).strip() != key.text:
            raise StoreError(
                f"{self.path / KEY} is another key than keys/checkpoint.key in the data folder; restore that key, or set "
                "TRUETAPE_CHECKPOINT_FOLDER to a new folder"
            )


def text_of(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise StoreError(f"{name} is no text") from None


def _sync(folder: Path) -> None:
    """A name is durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
