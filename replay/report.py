"""Reports of a run from its log alone: the same log gives the same bytes, wherever it is kept.

One pass over the records; memory follows what is open, not what has been.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, structs

from domain.engine_events import EngineStarted
from domain.errors import InputError
from domain.message import Event, Record
from domain.values import LARGEST, Time, time_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.leaf_order import leaves_of
from infrastructure.event_store.runs import Run
from infrastructure.market_data.atomic_file import written_whole
from replay.reports.cells import Fold, Place, Row
from replay.reports.controls import ControlsReport
from replay.reports.formats import Format, Writer, make_writer
from replay.reports.known import Known
from replay.reports.orders import OrdersReport
from replay.reports.settings import SettingsReport
from replay.reports.trades import TradesReport

Name = Literal["orders", "trades", "controls", "settings"]
REPORTS: Mapping[Name, Callable[[Known], Fold]] = {
    "orders": OrdersReport,
    "trades": TradesReport,
    "controls": ControlsReport,
    "settings": SettingsReport,
}
NAMES: tuple[Name, ...] = get_args(Name)
REPORT_VERSION = 1
"""What the columns mean; it counts up where one is added or changes."""
CHUNK_ROWS = 500
MANIFEST = ".manifest.json"

Entry = tuple[int, int, Record[Event]]
"""(leaf index, position of the first event, record)"""


class Span(Struct, frozen=True):
    """Which events: of records decided from `start` on and before `end`, as far as position `upto`."""

    start: Time | None = None
    end: Time | None = None
    upto: int = LARGEST

    def holds(self, at: Time) -> bool:
        return (self.start is None or self.start <= at) and (self.end is None or at < self.end)


class Engine(Struct, frozen=True):
    """The code that decided from a position on."""

    position: int
    engine_version: str
    rules_hash: str
    fill_rules: str


class Totals(Struct):
    """What was read for a report: records in its range, their first and last position, the engines that decided them."""

    row_count: int = 0
    record_count: int = 0
    first_position: int | None = None
    last_position: int | None = None
    engines: list[Engine] = msgspec.field(default_factory=list)


class Report:
    """A report of one run: iterate over it for the bytes of the file; then `manifest` says what it was."""

    def __init__(self, name: Name, form: Format, run: Run, entries: Iterable[Entry], span: Span) -> None:
        if span.start is not None and span.end is not None and span.start >= span.end:
            raise InputError(f"the range ends at {time_text(span.end)}; allowed: after {time_text(span.start)}")
        self.name = name
        self.form = form
        self._known = Known()
        self._fold = REPORTS[name](self._known)
        self._writer: Writer = make_writer(form, self._fold.columns)
        self._entries = entries
        self._span = span
        self._totals = Totals()
        self._header = _header(name, run, span)
        self._digest = hashlib.sha256()
        self._bytes = 0

    @property
    def media_type(self) -> str:
        """For HTTP."""
        return self._writer.media_type

    def __iter__(self) -> Iterator[bytes]:
        writer = self._writer
        yield self._noted(writer.begin(self._header))
        waiting: list[Row] = []
        for row in self._rows():
            self._totals.row_count += 1
            waiting.append(row)
            if len(waiting) == CHUNK_ROWS:
                yield self._noted(writer.rows(waiting))
                waiting = []
        yield self._noted(writer.rows(waiting) + writer.end(msgspec.to_builtins(self._totals)))

    @property
    def manifest(self) -> dict[str, Any]:
        """What the file is of, what was read for it, and its SHA-256; true once all of it has been iterated over."""
        file = {"format": self.form, "bytes": self._bytes, "sha256": self._digest.hexdigest()}
        return {**self._header, **msgspec.to_builtins(self._totals), **file}

    def _noted(self, part: bytes) -> bytes:
        self._digest.update(part)
        self._bytes += len(part)
        return part

    def _rows(self) -> Iterator[Row]:
        """Everything is folded; what lies in the range has rows, and before the first of it stands what was in force."""
        fold, known, totals = self._fold, self._known, self._totals
        opened = self._span.start is None
        engine: Engine | None = None
        for place in places(self._entries, self._span.upto):
            record = place.record
            wanted = self._span.holds(record.at)
            if wanted and not opened:
                yield from fold.opening()
                opened = True
            event = record.events[place.position - place.record_position]
            known.take(place, event)
            if isinstance(event, EngineStarted):
                engine = Engine(place.position, event.engine_version, event.rules_hash, event.rules)
            rows = list(fold.take(place, event))
            if wanted:
                _count(totals, place, engine)
                yield from rows
        if not opened:
            yield from fold.opening()


def places(entries: Iterable[Entry], upto: int) -> Iterator[Place]:
    """Where each event stands, as far as a position, which may lie inside a record."""
    for leaf_index, first, record in entries:
        if first > upto:
            return
        if first + len(record.events) - 1 > upto:
            record = structs.replace(record, events=record.events[: upto - first + 1])  # noqa: PLW2901
        for position in range(first, first + len(record.events)):
            yield Place(position, first, leaf_index, record)


def report_of(database: Database, run: Run, name: Name, form: Format, span: Span) -> Report:
    """The report of a kept run; reading it raises StoreError where the log is damaged, naming the position."""
    entries = ((index, kept.position, kept.decode()) for index, kept in leaves_of(database, run.run, span.upto))
    return Report(name, form, run, entries, span)


def write_report(report: Report, path: Path) -> dict[str, Any]:
    """Write the file, and beside it its manifest under the same name and `.manifest.json`; returns the manifest.

    Each appears only when it is whole.
    """
    with written_whole(path) as part, part.open("wb") as file:
        for chunk in report:
            file.write(chunk)
    manifest = report.manifest
    with written_whole(path.with_name(path.name + MANIFEST)) as part:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def _header(name: Name, run: Run, span: Span) -> dict[str, Any]:
    return {
        "report": name,
        "report_version": REPORT_VERSION,
        "run": run.run,
        "label": run.label,
        "mode": run.mode,
        "from": None if span.start is None else time_text(span.start),
        "to": None if span.end is None else time_text(span.end),
        "as_of": None if span.upto == LARGEST else span.upto,
    }


def _count(totals: Totals, place: Place, engine: Engine | None) -> None:
    if totals.first_position is None:
        totals.first_position = place.record_position
    if place.position == place.record_position:
        totals.record_count += 1
    totals.last_position = place.position
    if engine is not None and (not totals.engines or totals.engines[-1] != engine):
        totals.engines.append(engine)
