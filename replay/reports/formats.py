"""Rows as bytes: CSV after RFC 4180, or JSON; neither depends on where or when it is made."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol, get_args

import msgspec

from replay.reports.cells import Blank, Cell, Column, Row

Format = Literal["csv", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
BLANKS = "blanks"
"""The last column: why the blank cells of the row are blank."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_HAZARDS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


class Writer(Protocol):
    """Makes bytes of a report: `begin`, then rows, then `end`; joined they are the file."""

    media_type: str

    def begin(self, header: Mapping[str, Any]) -> bytes:
        """What comes before the first row."""

    def rows(self, rows: Iterable[Row]) -> bytes:
        """Further rows."""

    def end(self, totals: Mapping[str, Any]) -> bytes:
        """What comes after the last row."""


class CsvWriter:
    """Lines end with CR LF, text is UTF-8 without a mark; what a spreadsheet would take for a formula has a ' before it."""

    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def begin(self, header: Mapping[str, Any]) -> bytes:
        return _lines([[*(column.name for column in self._columns), BLANKS]])

    def rows(self, rows: Iterable[Row]) -> bytes:
        return _lines(self._cells(row) for row in rows)

    def end(self, totals: Mapping[str, Any]) -> bytes:
        return b""

    def _cells(self, row: Row) -> list[str]:
        cells = filled(self._columns, row)
        reasons = blank_text(tuple((name, cell) for name, cell in cells if isinstance(cell, Blank)))
        return [*("" if isinstance(cell, Blank) else harmless(str(cell)) for _, cell in cells), reasons]


class JsonWriter:
    """One document, a row to a line: what the report is of, `rows`, and what was read for it."""

    media_type = "application/json"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._encode = msgspec.json.Encoder().encode
        self._first = True

    def begin(self, header: Mapping[str, Any]) -> bytes:
        return self._encode(header)[:-1] + b',"rows":['

    def rows(self, rows: Iterable[Row]) -> bytes:
        parts = bytearray()
        for row in rows:
            parts += b"\n" if self._first else b",\n"
            parts += self._encode(self._object(row))
            self._first = False
        return bytes(parts)

    def end(self, totals: Mapping[str, Any]) -> bytes:
        return b"\n]," + self._encode(totals)[1:] + b"\n"

    def _object(self, row: Row) -> dict[str, Any]:
        cells = filled(self._columns, row)
        blanks = {name: cell for name, cell in cells if isinstance(cell, Blank)}
        return {**{name: None if name in blanks else cell for name, cell in cells}, BLANKS: blanks}


def make_writer(form: Format, columns: Sequence[Column]) -> Writer:
    return CsvWriter(columns) if form == "csv" else JsonWriter(columns)


def filled(columns: Sequence[Column], row: Row) -> list[tuple[str, Cell]]:
    """Every column in order; one that the row does not have, or has as empty text, is blank for its usual reason."""
    found = [(column.name, row.get(column.name, column.blank)) for column in columns]
    return [
        (name, column.blank) if cell == "" else (name, cell)
        for column, (name, cell) in zip(columns, found, strict=True)
    ]


@lru_cache(maxsize=4096)
def blank_text(blanks: tuple[tuple[str, Blank], ...]) -> str:
    """`CODE=column+column;CODE=column`, codes in the order of their first columns."""
    by_code: dict[str, list[str]] = {}
    for name, code in blanks:
        by_code.setdefault(code, []).append(name)
    return ";".join(f"{code}={'+'.join(names)}" for code, names in by_code.items())


def harmless(text: str) -> str:
    """The text with a ' before it where a spreadsheet would run it, or where it begins with a ' itself.

    A plain decimal number stays as it is, also below zero. So whoever takes one leading ' off has the text again.
    """
    return "'" + text if text.startswith(_HAZARDS) and not _NUMBER.fullmatch(text) else text


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
