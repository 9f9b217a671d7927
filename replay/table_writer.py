"""The tables of a run's log, written while the run goes on: what `table_process` begins.

    python -m replay.table_writer FOLDER DESCRIPTOR

It reads the spool whose descriptor it inherits, as far as its standard input says: the time at which the run begins, offsets,
END, each of eight bytes. An input that ends without it is that of a run that came to nothing, and leaves no file.
"""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from domain.errors import TruetapeError
from domain.message import Event, Record
from domain.values import Time
from replay.log_tables import write_log_tables
from replay.spool import read_blocks
from replay.table_process import END, WORD


def main(out: Path, descriptor: int) -> None:
    """Write the tables of what the spool has and will have."""
    write_log_tables(out, _records(descriptor), Time(_told()))
    gc.freeze()  # what is left goes with the process: nobody need look for cycles in it


def _told() -> int:
    word = sys.stdin.buffer.read(WORD)
    if len(word) < WORD:
        raise EOFError("the run broke off")
    return int.from_bytes(word)


def _records(descriptor: int) -> Iterator[Record[Event]]:
    start = 0
    while (end := _told()) != END:
        yield from read_blocks(os.pread(descriptor, end - start, start))
        start = end


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]))
    except (OSError, EOFError, TruetapeError) as error:
        sys.exit(f"{getattr(error, 'strerror', None) or error}")
