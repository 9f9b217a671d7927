"""Files as tables: CSV, plain or packed, and Parquet become named raw columns, and know where each row stands."""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct

from domain.errors import InputError
from infrastructure.market_data.parquet import UNREADABLE, unreadable
from infrastructure.market_data.raw_file import ALLOWED

KLINE_COLUMNS = 12
_BOM = b"\xef\xbb\xbf"


class Source(Struct, frozen=True, eq=False):
    """A table that is not yet believed.

    `lines` is the line of each row in a CSV with a header, None elsewhere; `rows` the number in the file of each row (from
    0), None where the table is all of it.
    """

    path: Path
    frame: pl.DataFrame
    lines: Sequence[int] | None = None
    rows: Sequence[int] | None = None

    def error(self, row: int, what: str) -> InputError:
        """What is wrong with a row (from 0), named as people count."""
        line = "" if self.lines is None else f" (line {self.lines[row]})"
        number = row if self.rows is None else self.rows[row]
        return InputError(f"{self.path}: row {number + 1}{line}: {what}")


def is_parquet(path: Path) -> bool:
    """Told by the name; raises InputError for a name that tells nothing."""
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        return True
    if name.endswith((".csv", ".csv.gz", ".zip")):
        return False
    raise InputError(f"{path} is of no known kind; allowed are {ALLOWED}")


def parquet_columns(path: Path, raw: bytes) -> list[str]:
    """The names of a Parquet file's columns."""
    try:
        return list(pl.read_parquet_schema(io.BytesIO(raw)))
    except UNREADABLE as error:
        raise unreadable(path, error) from None


def read_parquet(path: Path, raw: bytes, columns: Sequence[str]) -> Source:
    """These columns of a Parquet file; others are ignored."""
    have = parquet_columns(path, raw)
    if missing := [name for name in columns if name not in have]:
        raise InputError(f"{path} has no column {missing[0]}; needed are {', '.join(columns)}")
    try:
        frame = pl.read_parquet(io.BytesIO(raw), columns=list(columns)).select(columns).rechunk()
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if frame.is_empty():
        raise InputError(f"{path} has no rows")
    return Source(path, frame)


def read_csv(path: Path, raw: bytes, columns: Sequence[str]) -> Source:
    """These columns of a CSV as text: by its header, or the first of 12 without one, which is Binance's kline file."""
    data = _unpacked(path, raw).removeprefix(_BOM).replace(b"\r\n", b"\n").rstrip(b"\n")
    if not data.strip():
        raise InputError(f"{path} is empty")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line} is not UTF-8 text") from None
    first, _, rest = data.partition(b"\n")
    names = [name.strip() for name in _fields(path, first)]
    if _is_number(names[0]):
        if len(names) != KLINE_COLUMNS:
            raise InputError(
                f"{path}: row 1 has {len(names)} columns; a Binance kline file has {KLINE_COLUMNS}, "
                f"any other CSV a header with {', '.join(columns)}"
            )
        return _table(path, data, list(range(len(columns))), columns, KLINE_COLUMNS, header=False)
    for name in columns:
        if names.count(name) != 1:
            what = "no column" if name not in names else "more than one column"
            raise InputError(f"{path}: line 1 has {what} {name}; needed are {', '.join(columns)}")
    if not rest:
        raise InputError(f"{path} has a header and no rows")
    return _table(path, rest, [names.index(name) for name in columns], columns, len(names), header=True)


def _table(path: Path, body: bytes, places: list[int], columns: Sequence[str], width: int, *, header: bool) -> Source:
    skipped = 1 if header else 0
    if b'"' in body:
        return _quoted_table(path, body, places, columns, width, skipped)
    rows = body.split(b"\n")
    for row, text in enumerate(rows):
        if text.count(b",") != width - 1:
            raise _wrong_width(path, row, row + 1 + skipped, text.count(b",") + 1 if text.strip() else 0, width)
    picked = sorted(places)
    try:
        frame = pl.read_csv(body, has_header=False, infer_schema=False, quote_char=None, columns=picked)
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as CSV: {str(error).splitlines()[0]}") from None
    assert frame.height == len(rows)
    frame = pl.DataFrame(
        {name: frame.to_series(picked.index(place)) for name, place in zip(columns, places, strict=True)}
    ).rechunk()
    return Source(path, frame, range(1 + skipped, 1 + skipped + len(rows)) if header else None)


def _quoted_table(
    path: Path, body: bytes, places: list[int], columns: Sequence[str], width: int, skipped: int
) -> Source:
    """The same through the standard library, which reads every quoting and says the line."""
    values: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
    try:
        for fields in reader:
            line = reader.line_num + skipped
            if len(fields) != width:
                raise _wrong_width(path, len(values), line, len(fields), width)
            values.append([fields[place] for place in places])
            lines.append(line)
    except csv.Error as error:
        raise InputError(f"{path}: row {len(values) + 1} (line {reader.line_num + skipped}): {error}") from None
    frame = pl.DataFrame(values, schema=dict.fromkeys(columns, pl.String), orient="row")
    return Source(path, frame, lines if skipped else None)


def _wrong_width(path: Path, row: int, line: int, found: int, width: int) -> InputError:
    count = f"{found} columns" if found else "no columns"
    return InputError(f"{path}: row {row + 1} (line {line}) has {count} where {width} are needed")


def _fields(path: Path, line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode()], strict=True), [""]) or [""]
    except csv.Error as error:
        raise InputError(f"{path}: line 1: {error}") from None


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in {"-", "+", "."}


def _unpacked(path: Path, raw: bytes) -> bytes:
    name = path.name.lower()
    try:
        if name.endswith(".gz"):
            return gzip.decompress(raw)
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                inside = [entry for entry in archive.infolist() if not entry.is_dir()]
                if len(inside) != 1 or not inside[0].filename.lower().endswith(".csv"):
                    raise InputError(f"{path} must have one .csv file in it, it has {len(inside)} files")
                return archive.read(inside[0])
    # RuntimeError and NotImplementedError are what zipfile says of encryption and unknown packings.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path} cannot be unpacked: {error}") from None
    return raw
