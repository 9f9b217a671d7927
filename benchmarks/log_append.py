"""Durable appends beside what the machine can do: raw binary COPY, the eventsourcing library's own recorder, a flush.

    python -m benchmarks.log_append [--candles 60000] [--repeats 5] [--seconds 10]

Closed loop: the records of a real game, appended with everything on (envelope, encoding, Merkle leaf, positions,
optimistic concurrency, lease, NOTIFY). The raw COPY gets the same rows packed beforehand, into a table without any index
and into one with the log's. The library saves 100 events at a time: an application with its aggregate and mapper, and its
recorder alone, with bytes that are encoded already.
Open loop: records are due at fixed times, whatever became of those before; a latency is from when a record was due until
it was durable. Beside it, in the same seconds, a file is written and flushed now and then on the same disk.
"""

import argparse
import gc
import os
import struct
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Self

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from msgspec import Struct, structs

from benchmarks import library_application
from benchmarks.recording import Recording
from benchmarks.timing import Spread, in_turns, table
from benchmarks.workloads import DENSE, game, market
from domain.message import Event, Record
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.ledger import GROUP_SIZE, PostgresLedger, RunOpening
from infrastructure.event_store.mapper import RecordMapper, StoredRecord

OPENING = RunOpening("benchmark", "backtest", {})
COLUMNS = (
    "position, run, stream, version, events, at, observed_at, venue_at, clock_offset, actor, cause_stream,"
    " cause_version, key, topic, leaf, state"
)
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
LIBRARY_SAVE = 100
LIBRARY_EVENTS = 5000
TICK_SECONDS = 0.001
FLUSH_BYTES = 8192
FLUSH_EVERY = 0.01


class Latencies(Struct, frozen=True):
    """Milliseconds."""

    median: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        cuts = quantiles(seconds, n=100)
        return cls(1000 * cuts[49], 1000 * cuts[98], 1000 * max(seconds))

    def text(self) -> str:
        return f"p50 {self.median:8.2f}  p99 {self.p99:8.2f}  max {self.most:8.2f} ms"


@contextmanager
def server() -> Iterator[tuple[Database, EmbeddedPostgres, Path]]:
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(Path(folder)) as postgres:
        migrations.migrate(postgres.owner_url)
        with connect(postgres.url) as database:
            yield database, postgres, Path(folder)


def packed_rows(rows: Sequence[StoredRecord]) -> list[bytes]:
    """COPY's binary form of the rows, in groups as the ledger makes them."""
    groups, position = [], 1
    for start in range(0, len(rows), GROUP_SIZE):
        parts = [HEADER]
        for row in rows[start : start + GROUP_SIZE]:
            values: list[bytes | None] = [
                position.to_bytes(8), row.run.to_bytes(8), row.stream.to_bytes(4), row.originator_version.to_bytes(4),
                row.events.to_bytes(4), row.at.to_bytes(8), _wide(row.observed_at), _wide(row.venue_at),
                row.clock_offset.to_bytes(8, signed=True), row.actor.encode(), _narrow(row.cause_stream),
                _narrow(row.cause_version), None if row.key is None else row.key.encode(), row.topic.encode(), row.leaf,
                row.state,
            ]  # fmt: skip
            parts.append(struct.pack(">h", len(values)))
            parts += [NULL if value is None else struct.pack(">i", len(value)) + value for value in values]
            position += row.events
        groups.append(b"".join([*parts, TRAILER]))
    return groups


def _wide(number: int | None) -> bytes | None:
    return None if number is None else number.to_bytes(8)


def _narrow(number: int | None) -> bytes | None:
    return None if number is None else number.to_bytes(4)


def copy(connection: psycopg.Connection, name: str, groups: Sequence[bytes]) -> None:
    """Each group is its own transaction, as the ledger's are; then the table is emptied, which takes a moment."""
    statement = f"COPY {name} ({COLUMNS}) FROM STDIN (FORMAT BINARY)".encode()
    for group in groups:
        with connection.cursor() as cursor, cursor.copy(statement) as stream:
            stream.write(group)
        connection.commit()
    connection.execute(f"TRUNCATE {name}".encode())
    connection.commit()


def keep(database: Database, appended: Sequence[list[Record[Event]]]) -> None:
    ledger = PostgresLedger.begin(database, OPENING, appended[0][0].at)
    for records in appended:
        ledger.append(records)
    ledger.end()


def library_environment(postgres: EmbeddedPostgres) -> dict[str, str]:
    """The library's own tables, in its safe default."""
    info = psycopg.conninfo.conninfo_to_dict(postgres.owner_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(info["dbname"]), "POSTGRES_HOST": str(info["host"]), "POSTGRES_PORT": str(info["port"]),
        "POSTGRES_USER": str(info["user"]), "POSTGRES_PASSWORD": "",
    }  # fmt: skip


def library_recorder(environment: dict[str, str]) -> PostgresApplicationRecorder:
    datastore = PostgresDatastore(
        environment["POSTGRES_DBNAME"], environment["POSTGRES_HOST"], environment["POSTGRES_PORT"],
        environment["POSTGRES_USER"], "", originator_id_type="text",
    )  # fmt: skip
    recorder = PostgresApplicationRecorder(datastore, events_table_name="library_events")
    recorder.create_table()
    return recorder


def library_save(recorder: PostgresApplicationRecorder, rows: Sequence[StoredRecord], turn: int) -> None:
    for start in range(0, len(rows), LIBRARY_SAVE):
        group = rows[start : start + LIBRARY_SAVE]
        recorder.insert_events([
            StoredEvent(f"{turn}/{row.stream}", row.originator_version, row.topic, row.state) for row in group
        ])  # fmt: skip


def closed_loop(database: Database, postgres: EmbeddedPostgres, recording: Recording, repeats: int) -> None:
    rows = [RecordMapper(1).to_stored_event(record) for record in recording.records]
    groups, turns = packed_rows(rows), iter(range(repeats))
    environment = library_environment(postgres)
    recorder, application = library_recorder(environment), library_application.application(environment)
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("CREATE TABLE copied_bare AS SELECT * FROM records LIMIT 0")
        connection.execute("CREATE TABLE copied_indexed (LIKE records INCLUDING ALL)")
        connection.commit()
        found = in_turns(
            {
                "ours": lambda: keep(database, recording.appended),
                "bare": lambda: copy(connection, "copied_bare", groups),
                "indexed": lambda: copy(connection, "copied_indexed", groups),
                "recorder": lambda: library_save(recorder, rows, next(turns)),
                "library": lambda: library_application.save(application, LIBRARY_EVENTS, LIBRARY_SAVE),
            },
            repeats,
            time.perf_counter,
        )
    events = sum(len(record.events) for record in recording.records)
    table(
        f"Durable append of {len(rows):,} records, {events:,} events; us per record",
        [
            ("everything on", found["ours"].per(len(rows)), f"{events / found['ours'].median:,.0f} events/s"),
            ("raw binary COPY, no index", found["bare"].per(len(rows)), _ratio(found["bare"], found["ours"])),
            (
                "raw binary COPY, the log's indexes",
                found["indexed"].per(len(rows)),
                _ratio(found["indexed"], found["ours"]),
            ),
            (
                "the library's recorder alone, 100 a save",
                found["recorder"].per(len(rows)),
                _ratio(found["recorder"], found["ours"]),
            ),
        ],
    )
    ours, theirs = found["ours"].median / events, found["library"].median / LIBRARY_EVENTS
    table(
        "The same for events; us per event",
        [
            ("everything on", found["ours"].per(events), ""),
            (
                "the library, 100 a save",
                found["library"].per(LIBRARY_EVENTS),
                f"ours is {theirs / ours:.1f} times its throughput",
            ),
        ],
    )


def _ratio(other: Spread, ours: Spread) -> str:
    return f"ours is {other.median / ours.median:.2f} of its throughput"


class FlushProbe:
    """What a flush of the disk takes meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.seconds: list[float] = []
        self._file = os.open(folder / "flushed", os.O_CREAT | os.O_WRONLY)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._probe)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._file)

    def _probe(self) -> None:
        page = os.urandom(FLUSH_BYTES)
        while not self._stop.wait(FLUSH_EVERY):
            start = time.perf_counter()
            os.pwrite(self._file, page, 0)
            os.fdatasync(self._file)
            self.seconds.append(time.perf_counter() - start)


def open_loop(database: Database, folder: Path, recording: Recording, rate: int, seconds: float) -> None:
    """Records that are due within a millisecond are submitted together; nobody waits for an answer before the next."""
    ledger = PostgresLedger.begin(database, OPENING, recording.records[0].at)
    mapper = RecordMapper(ledger.run)
    latencies: list[float] = []
    pending: deque[Future[list[int]]] = deque()
    records, due = _endless(recording.records), 0.0
    gc.collect()
    gc.freeze()  # the recorded game is the benchmark's, no server has it in memory: a collector need not walk it
    with FlushProbe(folder) as probe:
        start = time.perf_counter()
        while due < seconds:
            now = time.perf_counter() - start
            batch, dues = [], []
            while due <= now:
                record = next(records)
                batch.append(record)
                dues.append(due)
                due += len(record.events) / rate
            if batch:
                done = database.recorder.sequencer.submit(mapper.to_batch(batch))
                done.add_done_callback(_when_done(latencies, start, dues))
                pending.append(done)
            while pending and pending[0].done():  # kept to the end, they would be the most that a collector has to walk
                pending.popleft().result()
            time.sleep(max(0.0, TICK_SECONDS - (time.perf_counter() - start - now)))
        for done in pending:
            done.result()
    table(
        f"Open loop at {rate:,} events/s for {seconds:.0f} s: {len(latencies):,} records",
        [
            ("due until durable", Latencies.of(latencies).text(), ""),
            (
                "a flush of the same disk, meanwhile",
                Latencies.of(probe.seconds).text(),
                f"{len(probe.seconds)} flushes",
            ),
        ],
    )


def _when_done(latencies: list[float], start: float, dues: Sequence[float]) -> Callable[[object], None]:
    def note(_: object) -> None:
        now = time.perf_counter() - start
        latencies.extend(now - due for due in dues)

    return note


def _endless(records: Sequence[Record[Event]]) -> Iterator[Record[Event]]:
    """The game again and again, its streams numbered on."""
    shift, widest = 0, max(record.stream for record in records)
    while True:
        for record in records:
            cause = record.cause and (record.cause[0] + shift, record.cause[1])
            yield structs.replace(record, stream=record.stream + shift, cause=cause)
        shift += widest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candles", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    recording = Recording(game(DENSE, market(asked.candles)))
    with server() as (database, postgres, folder):
        closed_loop(database, postgres, recording, asked.repeats)
        for rate in (2_000, 20_000):
            open_loop(database, folder, recording, rate, asked.seconds)


if __name__ == "__main__":
    main()
