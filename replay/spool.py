"""A ledger that keeps a run's records in a temporary file, so that a long run needs no memory for what is done."""

import tempfile
from collections.abc import Callable, Iterator
from typing import Self

from domain.errors import TruetapeError
from domain.message import Event, Record
from infrastructure.event_store.codec import LogDigest, decode_block, encode_block
from replay.table_process import TableProcess

BLOCK = 2000
OFFSET = 8
"""Bytes of a length, a count or a place in the file."""


class Spool:
    """Appends blocks of encoded records to an unnamed file and reads them back; knows their digest.

    `take` is given every block of records when it is written, so that who only counts need not read them again. A process
    that reads the file meanwhile is told how far it may.
    """

    def __init__(
        self, take: Callable[[list[Record[Event]]], None] | None = None, beside: TableProcess | None = None
    ) -> None:
        self._take = take
        self._beside = beside
        self.digest = LogDigest()
        self._waiting: list[Record[Event]] = []
        self._file = (
            tempfile.TemporaryFile(prefix="truetape-")  # noqa: SIM115  (closed by __exit__)
            if beside is None
            else beside.file
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, records: list[Record[Event]]) -> None:
        self._waiting += records
        if len(self._waiting) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._waiting:
            return
        block = encode_block(self._waiting)
        self.digest.update_block(block, self._waiting)
        try:
            self._file.write(len(block).to_bytes(OFFSET) + len(self._waiting).to_bytes(OFFSET) + block)
        except OSError as error:
            raise TruetapeError(f"the run cannot be spooled to {tempfile.gettempdir()}: {error.strerror}") from error
        if self._take is not None:
            self._take(self._waiting)
        self._waiting = []
        if self._beside is not None:
            self._file.flush()
            self._beside.tell(self._file.tell())

    def records(self) -> Iterator[Record[Event]]:
        """Every record so far, in order; to be read to its end before more is appended."""
        self.flush()
        self._file.seek(0)
        while head := self._file.read(2 * OFFSET):
            length, count = int.from_bytes(head[:OFFSET]), int.from_bytes(head[OFFSET:])
            yield from decode_block(self._file.read(length), count)


def read_blocks(blocks: bytes) -> Iterator[Record[Event]]:
    """The records of whole blocks, as they stand in a spool's file."""
    place, head = 0, 2 * OFFSET
    while place < len(blocks):
        length, count = (int.from_bytes(blocks[at : at + OFFSET]) for at in (place, place + OFFSET))
        place += head + length
        yield from decode_block(blocks[place - length : place], count)
