"""A process that writes the tables of a run's log while the run goes on: it has polars, the run need not.

It may be begun before it is known whether there will be a run, and so imports next to nothing here.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Self

from domain.errors import InputError

CANDLES_MIN = 100_000
"""Tapes from here on are worth a process, which takes a third of a second to begin."""
WRITER = "replay.table_writer"
WORD = 8
"""Bytes of a number that it is told."""
END = 2 ** (8 * WORD) - 1
"""No place in a file."""


class TableProcess:
    """The process, seen from the run, which writes its log to `file`. Where the run breaks off, so do the tables.

    It is a context manager.
    """

    def __init__(self, out: Path) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="truetape-")  # noqa: SIM115  (closed by __exit__)
        self._has_begun = False
        descriptor = self.file.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", WRITER, str(out), str(descriptor)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(descriptor,),
            # One core is the run's, one is left: more threads would take it from the run.
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._has_begun:
            self._process.kill()  # it has written nothing, and may still be importing
        self._process.communicate()
        self.file.close()

    def begin(self, start: int) -> None:
        """There is a run, and it begins at this time."""
        self._has_begun = True
        self.tell(start)

    def tell(self, number: int) -> None:
        """When the run begins, and then how far there is something to read."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(number.to_bytes(WORD))
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended with an error, which `finish` tells

    def end(self) -> None:
        """The log is whole: the tables may be too."""
        self.tell(END)

    def finish(self) -> None:
        """Wait for the tables of a log that is whole; raises InputError where one cannot be written."""
        _, said = self._process.communicate()
        if self._process.returncode:
            raise InputError((said.decode(errors="replace").strip().splitlines() or ["no table was written"])[-1])
