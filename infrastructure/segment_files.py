"""Sealed segments as files: whole, to keep elsewhere and check without a database, or as Parquet for analysts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import polars as pl
from msgspec import structs

from domain.errors import InputError
from infrastructure.event_log import LogReader
from infrastructure.event_store.database import Database
from infrastructure.event_store.segments import Segment, fault_of, read_segments
from infrastructure.market_data.atomic_file import written_whole

FORM = "truetape.segment.v1"
PARQUET_SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "position": pl.Int64, "run": pl.Int64, "stream": pl.String, "version": pl.Int64, "at": pl.Datetime("us", "UTC"),
    "actor": pl.String, "cause": pl.String, "event": pl.String, "data": pl.String,
}  # fmt: skip
"""`stream` and `cause` by name, as `truetape events` says them; `data` is JSON, its amounts decimal text."""

Name = Callable[[int], str]


def segment_name(number: int) -> str:
    return f"segment-{number:08}.tape"


def parquet_name(number: int) -> str:
    return f"events-{number:08}.parquet"


def export_segments(database: Database, folder: Path, advance: Callable[[int], object] = int) -> list[Path]:
    """Write every segment that the folder has not; returns the files that were written.

    Raises StoreError where a segment is not what was sealed, InputError where a file cannot be written.
    """
    written = []
    for segment in _missing(database, folder, segment_name):
        fault = fault_of(segment, None)
        if fault is not None:
            raise InputError(f"{fault}; nothing was written for it")
        path = folder / segment_name(segment.segment)
        with written_whole(path) as part:
            part.write_bytes(msgspec.msgpack.encode((FORM, structs.asdict(segment))))
        written.append(path)
        advance(segment.segment)
    return written


def read_segment_file(path: Path) -> Segment:
    """A segment from its file; raises InputError where it is none, or not what was sealed."""
    try:
        form, segment = msgspec.msgpack.decode(path.read_bytes(), type=tuple[str, Segment])
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path} is no segment of a log: {error}") from None
    if form != FORM:
        raise InputError(f"{path} has the form {form!r}; allowed: {FORM}")
    fault = fault_of(segment, None)
    if fault is not None:
        raise InputError(f"{path}: {fault}")
    return segment


def export_parquet(database: Database, folder: Path, advance: Callable[[int], object] = int) -> list[Path]:
    """Write the events of every segment that the folder has not, a file each; returns the files that were written."""
    written, readers = [], dict[int, LogReader]()
    for segment in _missing(database, folder, parquet_name):
        path = folder / parquet_name(segment.segment)
        frame = pl.DataFrame(_rows(database, segment, readers), schema=PARQUET_SCHEMA, orient="row")
        with written_whole(path) as part:
            frame.write_parquet(part, compression="zstd")
        written.append(path)
        advance(segment.segment)
    return written


def _missing(database: Database, folder: Path, name: Name) -> Iterator[Segment]:
    """The segments behind the last one that is there: a file is written whole or not at all, and in order."""
    first = 0
    while (folder / name(first)).exists():
        first += 1
    return read_segments(database, first)


def _rows(database: Database, segment: Segment, readers: dict[int, LogReader]) -> list[tuple[object, ...]]:
    rows = []
    for run in segment.runs:
        reader = readers.get(run)
        if reader is None:
            reader = readers[run] = LogReader(database, run)
        positions, records = segment.records(run)
        reader.prepare(records)
        for position, record in zip(positions, records, strict=True):
            for line in reader.lines(position, record):
                data = msgspec.json.encode(line["data"]).decode()
                named = (line["stream"], line["version"], record.at, line["actor"], line["cause"], line["event"], data)
                rows.append((line["position"], run, *named))
    return sorted(rows)
