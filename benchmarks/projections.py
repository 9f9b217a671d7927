"""Read models: rebuilt from the log beside the eventsourcing library's own runner, and brought forward while events come.

    python -m benchmarks.projections [--candles 60000] [--repeats 3] [--seconds 20]

Rebuild: all projections in one pass over a sealed log, from no rows at all; over rows that are right already; each one by
itself. The library's `ProjectionRunner` has one projection that inserts one row for each event into one table, in the same
rounds. Probes: the log read and decoded and nothing else, folds into memory, and a binary COPY of all the rows.
Living: a game's records are due at a fixed rate; what is due is appended, then the rows are brought forward, as the worker
does it. A latency is from the append's return until another connection has read a position at or behind it.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import library_projection
from benchmarks.log_append import FlushProbe, Latencies, _endless, keep, library_environment, server
from benchmarks.recording import Recording
from benchmarks.timing import Spread, Work, in_turns, table
from benchmarks.workloads import DENSE, game, market
from domain.message import Event, Record
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.event_store.segments import read_segments, seal
from infrastructure.projection_batches import sealed_batches
from infrastructure.read_models import ProjectionRunner
from infrastructure.row_rebuild import differences, rebuild
from infrastructure.row_tables import table_of
from projections.catalogue import PROJECTIONS
from projections.rows import MemoryRows, fold_records

OPENING = RunOpening("benchmark", "paper", {})
LIBRARY_EVENTS = 2000
RATE = 1000
"""Events a second."""
TABLES = [table_of(row_type).name for projection in PROJECTIONS for row_type in projection.tables]


def clear(connection: psycopg.Connection) -> None:
    for name in TABLES:
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
    connection.commit()


def decoded(database: Database) -> int:
    """Read and decode the sealed log and drop it."""
    return sum(
        len(codec.decode(state).events) for batch in sealed_batches(database) for state in batch.states
    )  # fmt: skip


def in_memory(records: Sequence[Record[Event]]) -> None:
    fold_records(PROJECTIONS, MemoryRows(), records)


def copied(connection: psycopg.Connection, rows: dict[str, bytes]) -> None:
    """All rows into tables of the same form, without their indexes, then the tables are emptied."""
    for name, data in rows.items():
        into = sql.Identifier(f"copied_{name}")
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(into)) as stream:
            stream.write(data)
    connection.commit()
    for name in rows:
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(f"copied_{name}")))
    connection.commit()


def counted(connection: psycopg.Connection, name: str) -> int:
    (count,) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone() or (0,)
    return int(count)


def rows_as_copied(connection: psycopg.Connection) -> dict[str, bytes]:
    found = {}
    for name in TABLES:
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {})").format(sql.Identifier(f"copied_{name}"), sql.Identifier(name))
        )
        with connection.cursor().copy(
            sql.SQL("COPY {} TO STDOUT (FORMAT BINARY)").format(sql.Identifier(name))
        ) as stream:
            found[name] = b"".join(map(bytes, stream))
    connection.commit()
    return found


def rebuilding(database: Database, postgres: EmbeddedPostgres, recording: Recording, repeats: int) -> None:
    keep(database, recording.appended)
    seal(database)
    events = sum(segment.events for segment in read_segments(database))
    library = library_projection.prepare(library_environment(postgres), LIBRARY_EVENTS)
    with psycopg.connect(postgres.owner_url) as connection:
        rebuild(database)
        copies = rows_as_copied(connection)
        rows = sum(counted(connection, name) for name in TABLES)

        works: dict[str, Work] = {
            "library": library.run,
            "cleared": lambda: clear(connection),
            "all": lambda: rebuild(database),
            "again": lambda: rebuild(database),
            "decode": lambda: decoded(database),
            "memory": lambda: in_memory(recording.records),
            "copy": lambda: copied(connection, copies),
            **{each.name: partial(rebuild, database, [each]) for each in PROJECTIONS},
        }
        found = in_turns(works, repeats, time.perf_counter)
        cleared = found.pop("cleared")
    assert differences(database) == []
    theirs = found["library"].median / LIBRARY_EVENTS
    print(f"{events:,} sealed events, {rows:,} rows; emptying the tables took {cleared.median:.2f} s each time")
    table(
        "Rebuild; us per event",
        [
            _row("all projections, from no rows", found["all"], events, theirs),
            _row("all projections, rows that are right", found["again"], events, theirs),
            *(_row(f"{each.name} alone", found[each.name], events, theirs) for each in PROJECTIONS),
            (
                "the library's runner, one row an event",
                found["library"].per(LIBRARY_EVENTS),
                f"{1 / theirs:,.0f} events/s",
            ),
            _row("probe: read the log and decode it", found["decode"], events, theirs),
            _row("probe: all folds, rows in memory", found["memory"], events, theirs),
            _row("probe: binary COPY of the rows", found["copy"], events, theirs),
        ],
    )


def _row(what: str, spent: Spread, events: int, theirs: float) -> tuple[str, str, str]:
    ours = spent.median / events
    return what, spent.per(events), f"{1 / ours:,.0f} events/s, {theirs / ours:,.0f} x the library's"


def living(database: Database, folder: Path, recording: Recording, seconds: float) -> None:
    """Append what is due, bring the rows forward, have another connection look."""
    ledger = PostgresLedger.begin(database, OPENING, recording.records[0].at)
    runner = ProjectionRunner(database)
    runner.bring_forward()
    latencies: list[float] = []
    projecting: list[float] = []
    records, due, position = _endless(recording.records), 0.0, 0
    with psycopg.connect(database.url, autocommit=True) as other, FlushProbe(folder) as probe:
        start = time.perf_counter()
        while due < seconds:
            batch = []
            while due <= time.perf_counter() - start:
                batch.append(next(records))
                due += len(batch[-1].events) / RATE
            if not batch:
                time.sleep(0.0005)
                continue
            ledger.append(batch)
            ledger.flush()
            appended = time.perf_counter()
            assert not runner.bring_forward()
            projecting.append(time.perf_counter() - appended)
            position = _seen(other, position)
            latencies += [time.perf_counter() - appended] * len(batch)
    table(
        f"{RATE:,} events/s for {seconds:.0f} s: {len(latencies):,} records in {len(projecting):,} appends",
        [
            ("append's return until another has read it", Latencies.of(latencies).text(), ""),
            ("of it bringing the rows forward", Latencies.of(projecting).text(), ""),
            (
                "a flush of the same disk, meanwhile",
                Latencies.of(probe.seconds).text(),
                f"{len(probe.seconds)} flushes",
            ),
        ],
    )


def _seen(other: psycopg.Connection, before: int) -> int:
    """The position that every projection's rows have as another connection sees them: further than before."""
    (position,) = other.execute(
        "SELECT min(notification_id) FROM notification_tracking WHERE application_name ~ '^[a-z_]+[.]v[0-9]+$'"
    ).fetchone() or (0,)
    assert position > before
    return int(position)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candles", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    recording = Recording(game(DENSE, market(asked.candles)))
    with server() as (database, postgres, folder):
        if asked.repeats:
            rebuilding(database, postgres, recording, asked.repeats)
        if asked.seconds:
            living(database, folder, recording, asked.seconds)


if __name__ == "__main__":
    main()
