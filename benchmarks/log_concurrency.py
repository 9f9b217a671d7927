"""Appends from several processes on the same streams while readers tail: whether anything is lost, doubled or missed.

    python -m benchmarks.log_concurrency [--appends 10000] [--rounds 20] [--library-rounds 3] [--seed 1]

In each round, on a database of its own, 16 writers (4 processes of 4 threads) make so many appends between them, of 1 to 4
records, to a stream of their own or to one of three that all write to; who is too late reads the head and tries again. Four
readers tail from the beginning through the subscription. Then every acknowledged append must be on the log once and where
it was said to be, positions and versions must be dense, and each reader must have been given every record once, in order.

The same over the library's own recorder with POSTGRES_ENABLE_DB_FUNCTIONS=y, under which Truetape refuses to start, must
find that readers miss records: a harness that finds nothing proves nothing. Exits 1 where ours lost anything or the
library's loss was not seen.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.timing import table
from infrastructure.embedded_postgres import OWNER, SUPERUSER, WRITER, EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import connect
from tests.infrastructure.event_store.contention import Counted, Kind, Plan, contend, processes
from tests.infrastructure.event_store.rows import begin

PROCESSES, THREADS, READERS = 4, 4, 4
SHOWN = 5


@contextmanager
def fresh(server: EmbeddedPostgres, name: str) -> Iterator[None]:
    """A database that is dropped afterwards."""
    with psycopg.connect(server.url_of(SUPERUSER, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER}".encode())
        try:
            yield
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def one_round(server: EmbeddedPostgres, pool: ProcessPoolExecutor, kind: Kind, appends: int, seed: int) -> Counted:
    name, run = f"round_{seed}", 0
    with fresh(server, name):
        url = server.url_of(OWNER, name)
        if kind == "ours":
            migrations.migrate(url)
            url = server.url_of(WRITER, name)
            with connect(url) as database:
                run = begin(database).run
        each = appends // (PROCESSES * THREADS)
        return contend(Plan(kind, url, run, PROCESSES, THREADS, each, READERS, seed), pool)


def rounds(server: EmbeddedPostgres, kind: Kind, count: int, appends: int, seed: int) -> tuple[int, list[str]]:
    """Print what the rounds came to; returns the records missed by readers, and what else was wrong."""
    start = time.monotonic()
    with processes(PROCESSES) as pool:
        counted = [one_round(server, pool, kind, appends, seed + number) for number in range(count)]
    seconds = time.monotonic() - start
    records, missed = sum(each.records for each in counted), sum(each.missed for each in counted)
    found = [fault for each in counted for fault in each.found]
    short = sum(1 for each in counted if each.missed)
    table(
        f"{kind}: {count} rounds of {appends:,} appends by {PROCESSES * THREADS} writers, {seconds:.0f} s",
        [
            ("records on the log", f"{records:,}", ""),
            ("conflicts, each tried again", f"{sum(each.conflicts for each in counted):,}", ""),
            ("records read by 4 readers", f"{READERS * records - missed:,}", ""),
            ("records that readers missed for good", f"{missed:,}", f"in {short} rounds"),
            ("otherwise wrong", f"{len(found)}", "; ".join(found[:SHOWN])),
        ],
    )
    return missed, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appends", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--library-rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(Path(folder)) as server:
        missed, found = rounds(server, "ours", asked.rounds, asked.appends, asked.seed)
        lost = 1
        if asked.library_rounds:
            lost, _ = rounds(server, "the library", asked.library_rounds, asked.appends, asked.seed)
    sys.exit(bool(missed or found or not lost))


if __name__ == "__main__":
    main()
