"""Reads as of anywhere in a long log, beside plain reads of the same rows now; and what the history of the rows costs.

    python -m benchmarks.time_travel [--events 10000000] [--positions 20] [--home FOLDER]

Of a folder that has such a log already, what is missing is made, and it is read.

A seeded game is played until it has recorded so many events, as one run. Its rows go into the log by COPY, with positions
given here: how they come there is not what is measured. Then the log is sealed and the history folded, as a living server
does it, only all at once. The rows of now are taken from the history's standing versions. Every answer is asked for
through the API, in this process, at positions of its own, so that no fold is there from the one before.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.testclient import TestClient
from msgspec import structs

from api.problems import add_problem_handlers
from api.routes import fills, groups, orders_read, pnl, portfolio, positions
from api.security import Principal, authenticate
from benchmarks.workloads import DENSE, game, market
from domain.message import Event, Record
from domain.values import Time
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.event_store.mapper import RecordMapper
from infrastructure.event_store.segments import seal
from infrastructure.projection_batches import tracked_name
from infrastructure.row_history import keep_history
from infrastructure.row_tables import columns_of
from infrastructure.row_versions import STANDING, history_table
from infrastructure.row_views import Views, log_end
from projections.catalogue import PROJECTIONS
from replay.game import play

COLUMNS = {
    "position": "int8", "run": "int8", "stream": "int4", "version": "int4", "events": "int4", "at": "int8",
    "observed_at": "int8", "venue_at": "int8", "clock_offset": "int8", "actor": "text", "cause_stream": "int4",
    "cause_version": "int4", "key": "text", "topic": "text", "leaf": "bytea", "state": "bytea",
}  # fmt: skip
COPIED = 50_000
"""Records of one COPY."""
KEPT = 400_000
"""Rows of a table kept in memory while folding all at once."""
EVENTS_A_CANDLE = 1.9
"""Of the workload here; a game is made somewhat longer, and ended where it has enough."""
READS = (
    "portfolio", "positions", "orders", "orders?status=open", "orders/main/{order}", "fills", "groups",
    "groups?status=open", "pnl", "pnl?by=day", "pnl?by=group",
)  # fmt: skip


class Enough(Exception):  # noqa: N818  (no error: the game may end)
    """So many events have been recorded."""


class Copier:
    """A ledger that copies records into the log behind what is there."""

    def __init__(self, url: str, run: int, position: int, events: int) -> None:
        self.position = position
        self._run = run
        self._events = events
        self._mapper = RecordMapper(run)
        self._records: list[Record[Event]] = []
        self._url = url

    def append(self, records: list[Record[Event]]) -> None:
        self._records += records
        if len(self._records) >= COPIED:
            self.flush()
            if self.position > self._events:
                raise Enough

    def flush(self) -> None:
        statement = f"COPY records ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
        with psycopg.connect(self._url) as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(list(COLUMNS.values()))
            for row in map(self._mapper.to_stored_event, self._records):
                copy.write_row((
                    self.position, self._run, row.stream, row.originator_version, row.events, row.at, row.observed_at,
                    row.venue_at, row.clock_offset, row.actor, row.cause_stream, row.cause_version, row.key, row.topic,
                    row.leaf, row.state,
                ))  # fmt: skip
                self.position += row.events
        self._records = []


@contextmanager
def server(home: Path | None) -> Iterator[tuple[Database, EmbeddedPostgres]]:
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(home or Path(folder)) as postgres:
        migrations.migrate(postgres.owner_url)
        with connect(postgres.url) as database:
            yield database, postgres


def write_log(database: Database, events: int) -> int:
    """Play until so many events are on the log; return the position of the last one."""
    workload = structs.replace(DENSE, spacing=10)
    tape = market(int(events / EVENTS_A_CANDLE))
    run = PostgresLedger.begin(database, RunOpening("benchmark", "paper", {}), Time(tape.open_times[0])).run
    ledger = Copier(database.url, run, 2, events)
    try:
        play(game(workload, tape), ledger)
        ledger.flush()
    except Enough:
        pass
    return ledger.position - 1


def take_rows_of_now(owner: str) -> None:
    """The standing versions as rows of the read models, which then stand where the history does."""
    with psycopg.connect(owner, autocommit=True) as connection:
        for projection in PROJECTIONS:
            for row_type in projection.tables:
                names = ", ".join(f'"{name}"' for name in ("run", *(column.name for column in columns_of(row_type))))
                connection.execute(f"DELETE FROM {row_type.table}".encode())
                connection.execute(
                    f"INSERT INTO {row_type.table} ({names}) SELECT {names} FROM {history_table(row_type)}"
                    f" WHERE until = {STANDING}".encode()
                )
            name = tracked_name(projection, projection.schema_version)
            history = name.replace(projection.name, f"{projection.name}.history", 1)
            connection.execute(
                "INSERT INTO notification_tracking SELECT %s, notification_id FROM notification_tracking"
                " WHERE application_name = %s"
                " ON CONFLICT (application_name) DO UPDATE SET notification_id = EXCLUDED.notification_id",
                [name, history],
            )
        connection.execute("VACUUM ANALYZE")


def client_of(database: Database) -> TestClient:
    app = FastAPI()
    app.state.database = database
    add_problem_handlers(app)
    for module in (fills, groups, orders_read, pnl, portfolio, positions):
        app.include_router(module.router)
    app.dependency_overrides[authenticate] = lambda: Principal("bench", "viewer", "1")
    return TestClient(app)


def ask(client: TestClient, path: str, **query: str | int) -> dict[str, Any]:
    path, _, given = path.partition("?")
    parameters = dict(pair.split("=") for pair in given.split("&") if pair)
    answer = client.get(f"/{path}", params={**parameters, **query})
    if not answer.is_success:
        raise SystemExit(f"{path} {query}: {answer.text}")
    return dict(answer.json())


def show_reads(database: Database, last: int, count: int) -> None:
    """Each answer at every position, by position, by time and now; all that was kept of the read before is forgotten."""
    client = client_of(database)
    chance = random.Random(7)
    places = [chance.randrange(last // 100, last) for _ in range(count)]
    pages = [ask(client, "orders", as_of=place) for place in places]
    orders = [chance.choice(page["items"])["order"] for page in pages]
    moments = [page["as_of"]["at"] for page in pages]
    print(f"{'milliseconds, median/worst':28}{'by position':>16}{'by time':>16}{'now':>16}")
    for path in READS:
        took: dict[str, list[float]] = {"position": [], "time": [], "now": []}
        for place, moment, order in zip(places, moments, orders, strict=True):
            named = path.format(order=order)
            took["position"].append(asked_in(client, named, as_of=place))
            took["time"].append(asked_in(client, named, as_of=moment))
            took["now"].append(asked_in(client, named))
        cells = (f"{1000 * median(each):.0f} / {1000 * max(each):.0f}" for each in took.values())
        print(f"{path:28}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def asked_in(client: TestClient, path: str, **query: str | int) -> float:
    """The seconds that an answer takes of which nothing was kept."""
    app: Any = client.app
    app.state.views = Views(app.state.database)
    start = time.perf_counter()
    ask(client, path, **query)
    return time.perf_counter() - start


def show_sizes(owner: str, events: int) -> None:
    tables = [row_type.table for each in PROJECTIONS for row_type in each.tables]
    with psycopg.connect(owner) as connection:

        def size(names: list[str]) -> int:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS of (name)", [names]
            ).fetchone()
            return int(row[0]) if row else 0

        log, now = size(["records"]), size(tables)
        sealed, history = size(["segments"]), size([f"{name}_history" for name in tables])
        counts = [
            connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
            for name in ("orders", "fills", "position_groups", "orders_history")
        ]
    said = (("log", log), ("segments", sealed), ("rows of now", now), ("history", history))
    print("bytes an event: " + ", ".join(f"{name} {bytes_ / events:.0f}" for name, bytes_ in said))
    numbers = [f"{row[0]:,}" if row else "" for row in counts]
    print("{} orders, {} fills, {} groups; {} versions of orders".format(*numbers))


def fold_all(database: Database) -> int:
    """Seal what is full and fold what is sealed; return how far that is."""
    start = time.perf_counter()
    print(f"{seal(database):,} segments sealed in {time.perf_counter() - start:.0f} s", flush=True)
    start, processor = time.perf_counter(), time.process_time()
    first = reached = keep_history(database, most=0)
    while (at := keep_history(database, most=25, kept_rows=KEPT)) > reached:
        reached = at
        print(f"  history to {reached:,} after {time.perf_counter() - start:.0f} s", flush=True)
    if reached > first:
        took, used = time.perf_counter() - start, time.process_time() - processor
        print(
            f"history of {reached - first:,} events in {took:.0f} s: {1e6 * took / (reached - first):.1f} us an event,"
            f" of it {1e6 * used / (reached - first):.1f} of this process",
            flush=True,
        )
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description="reads as of anywhere in a long log")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--positions", type=int, default=20)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    with server(asked.home) as (database, postgres):
        if not log_end(database):
            start = time.perf_counter()
            last = write_log(database, asked.events)
            print(f"{last:,} events written in {time.perf_counter() - start:.0f} s", flush=True)
        reached = fold_all(database)
        take_rows_of_now(postgres.owner_url)
        show_sizes(postgres.owner_url, reached)
        show_reads(database, log_end(database), asked.positions)


if __name__ == "__main__":
    main()
