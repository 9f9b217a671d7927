"""What has been downloaded of a tape that is not finished: a file of whole pages that a kill cannot spoil.

A page is its candles as CSV and then a line that says from when to when it was asked for. What follows the last such line
was being written when the process ended, and is cut off when the file is opened again.
"""

import fcntl
import os
from pathlib import Path
from typing import Self

import msgspec
import polars as pl
from msgspec import Struct

from domain.errors import InputError
from domain.values import Time
from infrastructure.market_data.tape import COLUMNS, folder
from infrastructure.market_data.venue_candles import Row, Series

_MARK = b"#"


class Page(Struct, frozen=True):
    """From when to when the venue was asked, and how many candles it had."""

    since: Time
    until: Time
    rows: int


class Part:
    """The pages of one unfinished download, which no other process has open; used as a context manager."""

    def __init__(self, home: Path, name: str, series: Series) -> None:
        self.path = folder(home) / "downloads" / f"{name}.part"
        self._series = series
        self._file = -1
        self.pages: list[Page] = []

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._lock()
            self._open()
        except OSError as error:
            os.close(self._file)
            raise InputError(f"{self.path} cannot be used: {error.strerror}") from None
        except InputError:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        if not self.pages:
            self.finish()
        os.close(self._file)

    def add(self, page: Page, rows: list[Row]) -> None:
        """Keep a page, on the disk when this returns."""
        lines = [",".join(row) for row in rows]
        self._append("\n".join([*lines, f"{_MARK.decode()}{_json(page)}"]))
        self.pages.append(page)

    def table(self) -> pl.DataFrame:
        """Every candle of every page as text, in the order of their times, which are milliseconds."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        candles = b"".join(line for line in lines if not line.startswith(_MARK))
        if not candles:
            return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
        frame = pl.read_csv(candles, has_header=False, infer_schema=False, quote_char=None, new_columns=COLUMNS)
        return frame.sort(pl.col(COLUMNS[0]).cast(pl.Int64))

    def finish(self) -> None:
        """The tape is on the shelf: nothing of this is needed any more."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another download of {self._series} is going on: {self.path} is locked") from None
        # The one that had the lock may have finished, and with it this file.
        if not self.path.exists() or os.fstat(self._file).st_ino != self.path.stat().st_ino:
            raise InputError(f"another download of {self._series} has just ended; call again")

    def _open(self) -> None:
        """Read what is there, cut off what is no whole page, begin where nothing is."""
        raw = self.path.read_bytes()
        whole, offset = 0, 0
        marks: list[bytes] = []
        for line in raw.splitlines(keepends=True):
            offset += len(line)
            if line.startswith(_MARK) and line.endswith(b"\n"):
                marks.append(line.removeprefix(_MARK))
                whole = offset
        if not marks:
            os.ftruncate(self._file, 0)
            self._append(f"{_MARK.decode()}{_json(self._series)}")
            return
        os.ftruncate(self._file, whole)
        try:
            series = msgspec.json.decode(marks[0], type=Series)
            self.pages = [msgspec.json.decode(mark, type=Page) for mark in marks[1:]]
        except msgspec.MsgspecError as error:
            raise InputError(f"{self.path} is no unfinished download ({error}); remove it and call again") from None
        if series != self._series:
            raise InputError(
                f"{self.path} is an unfinished download of {series}; finish that, or choose another --name"
            )

    def _append(self, lines: str) -> None:
        data = f"{lines}\n".encode()
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)


def _json(value: Series | Page) -> str:
    return msgspec.json.encode(value).decode()
