"""A load of appends, each known by its own name, and what must be true of the log whatever happened meanwhile."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

import psycopg
from eventsourcing.persistence import PersistenceError
from msgspec import Struct

from domain.errors import ConflictError, InDoubtError, StoreError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.mapper import RecordMapper
from infrastructure.proof.log_check import check_log
from tests.infrastructure.event_store.rows import record

Said = Literal["acknowledged", "refused", "in doubt"]
CONTENDED = (1, 2, 3)
"""Streams that all writers append to."""
RECORDS_MAX = 4
_ROWS = "SELECT position, run, stream, version, events, actor, leaf, state FROM records ORDER BY position"


class Told(Struct, frozen=True):
    """What a writer was told of an append of so many records: where they are, where that is known."""

    name: str
    records: int
    said: Said
    positions: tuple[int, ...] = ()


class Store(Protocol):
    """Something that appends records with a name to a stream, and says where the stream ends."""

    def head(self, stream: int) -> int:
        """The stream's version."""

    def append(self, stream: int, version: int, name: str, count: int) -> Sequence[int]:
        """Append so many records from this version on; returns the positions. Raises ConflictError or StoreError."""


class OurStore:
    """One run of our log."""

    def __init__(self, database: Database, run: int) -> None:
        self._recorder = database.recorder
        self._run = run
        self._mapper = RecordMapper(run)

    def head(self, stream: int) -> int:
        try:
            last = self._recorder.select_events(f"{self._run}/{stream}", desc=True, limit=1)
        except PersistenceError as error:
            raise StoreError(f"the stream cannot be read: {error}") from error
        return last[0].last_version if last else 0

    def append(self, stream: int, version: int, name: str, count: int) -> Sequence[int]:
        records = [named(stream, version + 2 * number, name) for number in range(count)]
        return self._recorder.insert_events([self._mapper.to_stored_event(each) for each in records])


def named(stream: int, version: int, name: str) -> Record[Event]:
    """A record of two events."""
    return Record(stream, version, Time(5), name, None, record(stream, version, 2).events)


class Writer:
    """Appends under names of its own, to its own stream and to contended ones, and notes what it was told."""

    def __init__(self, store: Store, number: int, seed: int) -> None:
        self.told: list[Told] = []
        self.conflicts = 0
        self._store = store
        self._number = number
        self._chance = random.Random(seed * 1000 + number)

    def write(self, count: int, going: Callable[[], bool] = lambda: True) -> None:
        """Make so many appends, or as many as there is time for."""
        for _ in range(count):
            if not going():
                return
            self._append(f"w{self._number}.{len(self.told)}")

    def _append(self, name: str) -> None:
        """Until the append is acknowledged or refused for another reason than that others were faster."""
        stream = self._chance.choice([100 + self._number, *CONTENDED])
        count = self._chance.randint(1, RECORDS_MAX)
        while True:
            try:
                positions = self._store.append(stream, self._store.head(stream) + 1, name, count)
            except ConflictError:
                self.conflicts += 1
                continue
            except InDoubtError:
                self.told.append(Told(name, count, "in doubt"))
            except StoreError:
                self.told.append(Told(name, count, "refused"))
            else:
                self.told.append(Told(name, count, "acknowledged", tuple(positions)))
            return


def write_together(writers: Sequence[Writer], count: int, going: Callable[[], bool] = lambda: True) -> None:
    """Let all of them write at once, until they have written so much, or no more is wanted."""
    failed: list[BaseException] = []

    def write(writer: Writer) -> None:
        try:
            writer.write(count, going)
        except BaseException as error:  # noqa: BLE001  (raised again below, where somebody sees it)
            failed.append(error)

    threads = [threading.Thread(target=write, args=[writer]) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def faults(url: str, told: Sequence[Told]) -> Iterator[str]:
    """What is wrong with the log: with its order, with its bytes, with what the writers were told of it."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(_ROWS.encode()).fetchall()
    end, heads = 1, Counter[tuple[int, int]]()
    found: dict[str, list[int]] = {}
    for position, run, stream, version, events, name, leaf, state in rows:
        if position != end:
            yield f"position {position} follows {end - 1}"
        if version != heads[run, stream] + 1:
            yield f"version {version} of stream {stream} follows {heads[run, stream]}"
        if codec.leaf_of(state) != leaf or codec.decode(state).version != version:
            yield f"position {position} is not what was hashed"
        end, heads[run, stream] = position + events, version + events - 1
        if name != "engine":
            found.setdefault(name, []).append(position)
    yield from _untrue(told, found)


def _untrue(told: Sequence[Told], found: dict[str, list[int]]) -> Iterator[str]:
    """Appends that are not on the log as their writers were told."""
    for each in told:
        positions = found.pop(each.name, [])
        if each.said == "acknowledged" and positions != list(each.positions):
            yield f"{each.name} was acknowledged at {each.positions} and is at {positions}"
        if each.said == "refused" and positions:
            yield f"{each.name} was refused and is at {positions}"
        if each.said == "in doubt" and len(positions) not in {0, each.records}:
            yield f"{each.name} is there in part: {len(positions)} of {each.records} records"
    for name, positions in found.items():
        yield f"{name} is at {positions}, and nobody has said so"


def all_faults(database: Database, told: Sequence[Told]) -> list[str]:
    """The same, and what the check of the whole log finds."""
    damage = check_log(database).damage
    return [*faults(database.url, told), *([damage.message] if damage else [])]
