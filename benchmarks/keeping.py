"""Keeping a run in Postgres, beside a raw binary COPY of the same rows into a table of the same shape."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.recording import Recording
from benchmarks.timing import Spread, in_turns
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.ledger import GROUP_SIZE, PostgresLedger, RunOpening
from infrastructure.event_store.mapper import RecordMapper, StoredRecord
from infrastructure.event_store.runs import records_of
from infrastructure.read_models import update_all

OPENING = RunOpening("benchmark", "backtest", {})
PROBE = "copied"
_COLUMNS = {
    "position": "int8", "run": "int8", "stream": "int4", "version": "int4", "events": "int4", "at": "int8",
    "observed_at": "int8", "venue_at": "int8", "clock_offset": "int8", "actor": "text", "cause_stream": "int4",
    "cause_version": "int4", "key": "text", "topic": "text", "leaf": "bytea", "state": "bytea",
}  # fmt: skip
_COPY = f"COPY {PROBE} ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"


def measure(recording: Recording, repeats: int) -> tuple[dict[str, Spread], Spread, Spread]:
    """(keeping and copying, projecting, reading back) of the recorded run; wall time, since the server works too."""
    with _server() as (database, owner_url), psycopg.connect(owner_url) as connection:
        connection.execute(f"CREATE TABLE {PROBE} (LIKE records INCLUDING ALL)")
        connection.commit()
        rows = _rows(recording)
        runs: list[int] = []
        written = in_turns(
            {
                "map": lambda: _rows(recording),
                "keep": lambda: runs.append(_keep(database, recording)),
                "copy in groups": lambda: _copy(connection, rows, GROUP_SIZE),
                "copy at once": lambda: _copy(connection, rows, len(rows)),
            },
            repeats,
            time.perf_counter,
        )
        projected = in_turns({"project": lambda: update_all(database)}, 1, time.perf_counter)["project"]
        read = in_turns({"read": lambda: _read(database, runs[0])}, repeats, time.perf_counter)["read"]
    return written, projected, read


@contextmanager
def _server() -> Iterator[tuple[Database, str]]:
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(Path(folder)) as server:
        migrations.migrate(server.owner_url)
        with connect(server.url) as database:
            yield database, server.owner_url


def _keep(database: Database, recording: Recording) -> int:
    ledger = PostgresLedger.begin(database, OPENING, recording.records[0].at)
    for records in recording.appended:
        ledger.append(records)
    ledger.end()
    return ledger.run


def _rows(recording: Recording) -> list[StoredRecord]:
    mapper = RecordMapper(1)
    return [mapper.to_stored_event(record) for record in recording.records]


def _copy(connection: psycopg.Connection, rows: Sequence[StoredRecord], size: int) -> None:
    """Copy in transactions of `size` rows, then empty the table; emptying is a moment."""
    position = 1
    for start in range(0, len(rows), size):
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(list(_COLUMNS.values()))
            for row in rows[start : start + size]:
                copy.write_row((
                    position, row.run, row.stream, row.originator_version, row.events, row.at, row.observed_at,
                    row.venue_at, row.clock_offset, row.actor, row.cause_stream, row.cause_version, row.key, row.topic,
                    row.leaf, row.state,
                ))  # fmt: skip
                position += row.events
        connection.commit()
    connection.execute(f"TRUNCATE {PROBE}")
    connection.commit()


def _read(database: Database, run: int) -> None:
    for kept in records_of(database, run):
        assert kept.is_intact()
        kept.decode()
