"""The table of a run's events, written while the run goes on, by a process of its own.

    python -m replay.table_writer FILE DESCRIPTOR

It reads the spool whose descriptor it inherits, as far as its standard input says: offsets of eight bytes, and END.
An input that ends without it is that of a run that came to nothing, and leaves no file.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from domain.errors import InputError
from domain.message import Event, Record
from replay.result import write_event_table
from replay.spool import OFFSET, Spool, read_blocks

CANDLES_MIN = 100_000
"""Tapes from here on are worth a process, which takes half a second to begin."""
END = 2 ** (8 * OFFSET) - 1
"""No place in a file."""


class TableWriter:
    """The process, seen from the run. Used as a context manager: where the run breaks off, so does the table."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self._path = path
        descriptor = spool.share(self._tell)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(path), str(descriptor)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(descriptor,),
        )  # fmt: skip
        self._tell(spool.written())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def finish(self) -> None:
        """Wait for the table; raises InputError where it cannot be written."""
        self._tell(END)
        _, said = self._process.communicate()
        if self._process.returncode:
            reason = (said.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"{self._path} cannot be written: {reason}")

    def _tell(self, offset: int) -> None:
        """How far there is something to read."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(offset.to_bytes(OFFSET))
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended with an error, which `finish` tells


def main(path: Path, descriptor: int) -> None:
    """Write the table of what the spool has and will have."""
    write_event_table(path, _records(descriptor))


def _records(descriptor: int) -> Iterator[Record[Event]]:
    start = 0
    while (told := sys.stdin.buffer.read(OFFSET)) != END.to_bytes(OFFSET):
        if len(told) < OFFSET:
            raise EOFError("the run broke off")
        end = int.from_bytes(told)
        yield from read_blocks(os.pread(descriptor, end - start, start))
        start = end


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]))
    except (OSError, EOFError) as error:
        sys.exit(str(getattr(error, "strerror", None) or error))
