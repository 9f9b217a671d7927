"""Several processes that append to the same streams while readers tail, over our recorder or the library's own."""

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Literal

import psycopg
from eventsourcing.persistence import ApplicationRecorder, IntegrityError, StoredEvent, Subscription
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from msgspec import Struct
from psycopg.conninfo import conninfo_to_dict

from domain.errors import ConflictError
from infrastructure.event_store.database import connect
from tests.infrastructure.event_store.load import OurStore, Store, Told, Writer, faults, write_together

Kind = Literal["ours", "the library"]
TABLE = "library_events"
OPEN_SECONDS = 60
STUCK_SECONDS = 100
"""How long a reader may see nothing before it counts as having missed what is left."""


class Plan(Struct, frozen=True):
    """Who appends how much to what: `run` is one of ours."""

    kind: Kind
    url: str
    run: int
    processes: int
    threads: int
    appends: int
    """Of each thread."""
    readers: int
    seed: int


class Counted(Struct, frozen=True):
    """What one round came to, and what was wrong with it."""

    records: int
    conflicts: int
    missed: int
    """Records that a reader passed over for good."""
    found: list[str]


class LibraryStore:
    """The library's recorder, in which a record is an event."""

    def __init__(self, recorder: PostgresApplicationRecorder) -> None:
        self._recorder = recorder

    def head(self, stream: int) -> int:
        last = self._recorder.select_events(str(stream), desc=True, limit=1)
        return last[0].originator_version if last else 0

    def append(self, stream: int, version: int, name: str, count: int) -> Sequence[int]:
        events = [StoredEvent(str(stream), version + number, name, b"{}") for number in range(count)]
        try:
            return self._recorder.insert_events(events) or ()
        except IntegrityError as error:
            raise ConflictError(str(error)) from error


def library_recorder(url: str, connections: int) -> PostgresApplicationRecorder:
    """With its database functions, which Truetape refuses to run under."""
    info = conninfo_to_dict(url)
    datastore = PostgresDatastore(
        str(info["dbname"]), str(info["host"]), str(info["port"]), str(info["user"]), "",
        pool_size=connections, connect_timeout=OPEN_SECONDS, originator_id_type="text", enable_db_functions=True,
    )  # fmt: skip
    return PostgresApplicationRecorder(datastore, events_table_name=TABLE)


@contextmanager
def opened(plan: Plan, connections: int) -> Iterator[tuple[Store, PostgresApplicationRecorder]]:
    """What appends, and what can be subscribed to."""
    if plan.kind == "ours":
        with connect(plan.url) as database:
            database.datastore.pool.timeout = OPEN_SECONDS
            yield OurStore(database, plan.run), database.recorder
    else:
        recorder = library_recorder(plan.url, connections)
        try:
            yield LibraryStore(recorder), recorder
        finally:
            recorder.datastore.close()


def write_in_process(plan: Plan, process: int) -> tuple[list[Told], int]:
    """One process's part; returns what its writers were told and how often they were too late."""
    with opened(plan, plan.threads) as (store, _):
        numbers = range(process * plan.threads, (process + 1) * plan.threads)
        writers = [Writer(store, number, plan.seed) for number in numbers]
        write_together(writers, plan.appends)
    return [each for writer in writers for each in writer.told], sum(writer.conflicts for writer in writers)


class Reader:
    """Tails from the beginning, and keeps the position of everything it is given."""

    def __init__(self, subscription: Subscription[ApplicationRecorder]) -> None:
        self.seen: list[int] = []
        self.failed: BaseException | None = None
        self._subscription = subscription
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def read_to(self, position: int) -> None:
        """Wait until it has been given this position, or nothing any more for long, and end."""
        self.wait_for(position)
        self._subscription.stop()
        self._thread.join()

    def wait_for(self, position: int) -> None:
        with self._changed:
            while (not self.seen or self.seen[-1] < position) and self.failed is None:
                if not self._changed.wait(STUCK_SECONDS):
                    return

    def _read(self) -> None:
        try:
            for each in self._subscription:
                with self._changed:
                    self.seen.append(each.id)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  (said by whoever waits)
            with self._changed:
                self.failed = error
                self._changed.notify_all()


@contextmanager
def tailing(recorder: PostgresApplicationRecorder, count: int) -> Iterator[list[Reader]]:
    """Readers; who waits for them to reach something does so before the end."""
    with ExitStack() as stack:
        yield [Reader(stack.enter_context(recorder.subscribe(gt=0))) for _ in range(count)]


def contend(plan: Plan, pool: ProcessPoolExecutor) -> Counted:
    """One round: everybody writes, everybody reads, and then it is counted."""
    with opened(plan, 2 * plan.readers + 1) as (_, recorder):
        if plan.kind == "the library":
            recorder.create_table()  # here alone: several at once would be in each other's way
        with tailing(recorder, plan.readers) as readers:
            try:
                parts = list(pool.map(write_in_process, [plan] * plan.processes, range(plan.processes)))
            finally:
                last = recorder.max_notification_id() or 0
                for reader in readers:
                    reader.read_to(last)
    told = [each for part, _ in parts for each in part]
    kept = positions_of(plan)
    found = list(reading_faults(readers))
    if plan.kind == "ours":
        found += faults(plan.url, told)
    if len({name for name, _ in kept}) != len(told) + (plan.kind == "ours"):
        found.append(f"of {len(told)} appends there are {len({name for name, _ in kept})}")
    missed = sum(len({position for _, position in kept} - set(reader.seen)) for reader in readers)
    return Counted(len(kept), sum(conflicts for _, conflicts in parts), missed, found)


def reading_faults(readers: Sequence[Reader]) -> Iterator[str]:
    """What readers suffered other than missing something."""
    for number, reader in enumerate(readers):
        if reader.failed is not None:
            yield f"reader {number} has failed: {reader.failed}"
        if any(before >= after for before, after in pairwise(reader.seen)):
            yield f"reader {number} was given something twice or out of order"


def positions_of(plan: Plan) -> list[tuple[str, int]]:
    """(name, position) of every record."""
    ours = "SELECT actor, position FROM records"
    statement = ours if plan.kind == "ours" else f"SELECT topic, notification_id FROM {TABLE}"
    with psycopg.connect(plan.url) as connection:
        return connection.execute(statement.encode()).fetchall()


def processes(count: int) -> ProcessPoolExecutor:
    """Processes that are begun anew: they share no connection with this one."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
