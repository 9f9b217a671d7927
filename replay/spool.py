"""A ledger that keeps a run's records in a temporary file, so that a long run needs no memory for what is done."""

import tempfile
from collections.abc import Iterator
from typing import Self

from domain.errors import TruetapeError
from domain.message import Event, Record
from infrastructure.event_store.codec import LogDigest, decode_block, encode_block

BLOCK = 2000
_LENGTH = 8


class Spool:
    """Appends blocks of encoded records to an unnamed file and reads them back; knows their digest."""

    def __init__(self) -> None:
        self.digest = LogDigest()
        self._waiting: list[Record[Event]] = []
        self._file = tempfile.TemporaryFile(prefix="truetape-")  # noqa: SIM115  (closed by __exit__)

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
            self._file.write(len(block).to_bytes(_LENGTH) + len(self._waiting).to_bytes(_LENGTH) + block)
        except OSError as error:
            raise TruetapeError(f"the run cannot be spooled to {tempfile.gettempdir()}: {error.strerror}") from error
        self._waiting = []

    def records(self) -> Iterator[Record[Event]]:
        """Every record so far, in order; to be read to its end before more is appended."""
        self.flush()
        self._file.seek(0)
        while head := self._file.read(2 * _LENGTH):
            length, count = int.from_bytes(head[:_LENGTH]), int.from_bytes(head[_LENGTH:])
            yield from decode_block(self._file.read(length), count)
