"""The events of one run, readable, a page at a time from anywhere in the log."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from psycopg.rows import TupleRow

from domain.market import Instrument
from domain.message import Event, Record
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.readable import Reader
from infrastructure.event_store.reading import reading
from infrastructure.row_queries import StoredRows
from projections.instruments import InstrumentRow, instrument_of
from projections.portfolio import PORTFOLIO

BATCH = 500
"""Records that are read at a time."""

_TRACKED = "SELECT notification_id FROM notification_tracking WHERE application_name = %s"
_UNPROJECTED = """
SELECT position, state FROM records
WHERE run = %s AND position > %s AND position('account.instrument_listed.v1'::bytea IN state) > 0 ORDER BY position
"""
_FIRST = "SELECT position, state FROM records WHERE run = %s AND version = 1 AND stream = ANY(%s)"
_NUMBERS = "SELECT stream FROM records WHERE run = %s AND key = %s"
_SELECT = "SELECT position, events, state FROM records WHERE run = %(run)s AND position <= %(upto)s"
_FROM = """ AND position >= coalesce((
    SELECT position FROM records WHERE run = %(run)s AND position <= %(first)s ORDER BY position DESC LIMIT 1
), 0)"""
_HAS_TAG = " AND position(%(tag)s::bytea IN state) > 0"
_OF_STREAM = " AND stream = ANY(%(streams)s)"
_AT = "SELECT position, state FROM records WHERE run = %s AND position <= %s ORDER BY position DESC LIMIT 1"
_NAMES_MAX = 10_000

Line = dict[str, Any]
"""An event by name: position, stream, version, at, actor, cause, event, data."""


class LogQuery(Struct, frozen=True):
    """Which events: behind `after` and before `before`, in this order; of one stream, with names that begin so."""

    after: int = 0
    before: int | None = None
    upto: int = 2**63 - 1
    tag: str | None = None
    stream: str | None = None
    newest_first: bool = False
    limit: int = 100


class LogReader:
    """Makes records of a run readable wherever one begins: what it needs of earlier ones it looks up."""

    def __init__(self, database: Database, run: int) -> None:
        self.run = run
        self._database = database
        self._reader = Reader()
        self._known: set[int] = set()
        with reading(database) as cursor:
            rows = StoredRows(cursor, run).some(InstrumentRow, {})
            self._reader.instruments.update({row.instrument: instrument_of(row) for row in rows})
            name = f"{PORTFOLIO.name}.v{PORTFOLIO.schema_version}"
            (tracked,) = cursor.execute(_TRACKED, [name]).fetchone() or (0,)
            for position, state in cursor.execute(_UNPROJECTED, [run, tracked]).fetchall():
                self._reader.learn(codec.decode(state, run, position))

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """What the run has listed."""
        return self._reader.instruments

    def lines(self, position: int, record: Record[Event]) -> Iterator[Line]:
        """The events of a record at a position."""
        self.prepare([record])
        for offset, line in enumerate(self._reader.lines(record)):
            yield {"position": position + offset, **line}

    def prepare(self, records: Sequence[Record[Event]]) -> None:
        """Look up at once what several records need: names stand in a stream's first record only."""
        streams = {record.stream for record in records} | {record.cause[0] for record in records if record.cause}
        if len(self._known) > _NAMES_MAX:
            instruments, self._reader = self._reader.instruments, Reader()
            self._reader.instruments = instruments
            self._known.clear()
        missing = streams - self._known - {record.stream for record in records if record.key is not None}
        if missing:
            with reading(self._database) as cursor:
                for position, state in cursor.execute(_FIRST, [self.run, list(missing)]).fetchall():
                    self._reader.learn(codec.decode(state, self.run, position))
        for record in records:
            if record.key is not None:
                self._reader.learn(record)
        self._known |= streams


def read_events(database: Database, run: int, query: LogQuery) -> list[Line]:
    """A page of events."""
    # One connection at a time: a request that waits for its second while it holds its first could wait for ever.
    reader = LogReader(database, run)
    streams = None if query.stream is None else _numbers(database, run, query.stream)
    after, upto = query.after, query.upto if query.before is None else min(query.upto, query.before - 1)
    found: list[Line] = []
    while len(found) < query.limit:
        rows = _batch(database, run, query, after, upto, streams)
        records = [codec.decode(state, run, position) for position, _, state in rows]
        reader.prepare(records)
        for (position, _, _), record in zip(rows, records, strict=True):
            lines = [
                line
                for line in reader.lines(position, record)
                if after < line["position"] <= upto and line["event"].startswith(query.tag or "")
            ]
            found += reversed(lines) if query.newest_first else lines
        if len(rows) < min(BATCH, query.limit):
            break
        if query.newest_first:
            upto = rows[-1][0] - 1
        else:
            after = rows[-1][0] + rows[-1][1] - 1
    return found[: query.limit]


def read_event(database: Database, run: int, position: int) -> Line | None:
    """The event at a position, None where that is not the run's."""
    with reading(database) as cursor:
        row = cursor.execute(_AT, [run, position]).fetchone()
    if row is None:
        return None
    first, state = row
    lines = LogReader(database, run).lines(first, codec.decode(state, run, first))
    return next((line for line in lines if line["position"] == position), None)


def record_start(database: Database, run: int, position: int) -> int:
    """The position of the record that stands at or before a position, 0 where there is none."""
    with reading(database) as cursor:
        row = cursor.execute(_AT, [run, position]).fetchone()
    return 0 if row is None else int(row[0])


def _numbers(database: Database, run: int, key: str) -> list[int]:
    """The streams of a name: a bot that was deleted and created again has two."""
    with reading(database) as cursor:
        return [row[0] for row in cursor.execute(_NUMBERS, [run, key]).fetchall()]


def _batch(
    database: Database, run: int, query: LogQuery, after: int, upto: int, streams: list[int] | None
) -> list[TupleRow]:
    statement = _SELECT
    parameters: dict[str, Any] = {"run": run, "upto": upto, "limit": min(BATCH, query.limit)}
    if after:
        statement += _FROM
        parameters["first"] = after + 1
    if query.tag:
        statement += _HAS_TAG
        parameters["tag"] = query.tag.encode()
    if streams is not None:
        statement += _OF_STREAM
        parameters["streams"] = streams
    statement += f" ORDER BY position {'DESC' if query.newest_first else 'ASC'} LIMIT %(limit)s"
    with reading(database) as cursor:
        return cursor.execute(statement.encode(), parameters).fetchall()
