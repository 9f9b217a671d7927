"""Reports of logs made in tests, read back."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from domain.message import Event, Record
from infrastructure.event_store.runs import Run
from replay.report import Entry, Name, Report, Span

RUN = Run(3, "test", "paper", "0.1.0", "ab", None, None, {}, datetime(2026, 1, 1, tzinfo=UTC), None)
EVERYTHING = Span()


def entries(records: Iterable[Record[Event]]) -> Iterator[Entry]:
    """Records as a log of their own has them."""
    position = 1
    for index, record in enumerate(records):
        yield index, position, record
        position += len(record.events)


def report(name: Name, records: Iterable[Record[Event]], span: Span = EVERYTHING, form: Any = "csv") -> Report:
    return Report(name, form, RUN, entries(records), span)


def read(data: bytes) -> list[dict[str, str]]:
    """The rows of a CSV report, cells as they stand in the file."""
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


def rows(name: Name, records: Iterable[Record[Event]], span: Span = EVERYTHING) -> list[dict[str, str]]:
    """Rows of a report as CSV, which are those of the report as JSON."""
    records = list(records)
    found = read(b"".join(report(name, records, span)))
    document = msgspec.json.decode(b"".join(report(name, records, span, "json")))
    assert [from_json(row) for row in document["rows"]] == [
        {key: cell if key == "blanks" else text(cell) for key, cell in row.items()} for row in found
    ]
    return found


def from_json(row: dict[str, Any]) -> dict[str, str]:
    """A JSON row as CSV has it."""
    by_code: dict[str, list[str]] = {}
    for name, code in row["blanks"].items():
        by_code.setdefault(code, []).append(name)
        assert row[name] is None
    cells = {name: "" if cell is None else str(cell) for name, cell in row.items()}
    return {**cells, "blanks": ";".join(f"{code}={'+'.join(names)}" for code, names in by_code.items())}


def text(cell: str) -> str:
    """A cell's text without what makes it harmless."""
    return cell.removeprefix("'")


def quanta(cell: str, scale: int) -> int:
    """A decimal text in quanta, exactly; 0 where it is blank."""
    whole, _, part = cell.lstrip("-").partition(".")
    assert len(part) <= scale, cell
    found: int = int(whole + part.ljust(scale, "0") or "0")
    return -found if cell.startswith("-") else found
