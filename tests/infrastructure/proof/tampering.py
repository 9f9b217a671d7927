"""A small log of two runs and the ways in which a superuser may change it, recomputing whatever can be recomputed."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from domain.message import Event, Record
from domain.position_group.events import GroupClosed
from domain.values import Time
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from tests.infrastructure.event_store.rows import begin, record

COLUMNS = (
    "position run stream version events at observed_at venue_at clock_offset actor cause_stream cause_version key topic "
    "leaf state"
).split()
INSERT = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
OPEN = """
ALTER TABLE records DISABLE TRIGGER ALL;
ALTER TABLE runs DISABLE TRIGGER ALL;
ALTER TABLE records DROP CONSTRAINT records_run_stream_version_key;
"""
CHECKS = "SELECT conname FROM pg_constraint WHERE conrelid = 'records'::regclass AND contype IN ('c', 'f')"

Row = dict[str, Any]
Rows = list[Row]
Chance = random.Random


def write_log(database: Database, count: int, seed: int = 1) -> None:
    """About `count` records of two runs, in turn, on several streams, some of several events and with a cause."""
    chance = random.Random(seed)
    runs = [begin(database), begin(database)]
    heads: list[dict[int, int]] = [{}, {}]
    for at in range(count):
        number = chance.randrange(2)
        stream = chance.randint(1, 4)
        version, events = heads[number].get(stream, 0) + 1, chance.choice([1, 1, 1, 2, 3])
        cause = (stream, version - 1) if version > 1 and chance.random() < 0.5 else None
        runs[number].append([record(stream, version, events, cause, at)])
        runs[number].flush()
        heads[number][stream] = version + events - 1


class Trial(NamedTuple):
    """What was done to the log, and the position that must be named."""

    kind: str
    rows: Rows
    position: int


class Bench:
    """A log with its triggers and constraints off, to be spoilt and restored."""

    def __init__(self, superuser_url: str) -> None:
        self._connection = psycopg.connect(superuser_url, autocommit=True)
        self._connection.execute(OPEN)
        for (name,) in self._connection.execute(CHECKS).fetchall():
            self._connection.execute(f"ALTER TABLE records DROP CONSTRAINT {name}".encode())
        self.rows = self.read()

    def close(self) -> None:
        self._connection.close()

    def read(self) -> Rows:
        found = self._connection.execute(f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY position".encode())
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]

    def write(self, rows: Rows) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("DELETE FROM records")
            cursor.executemany(INSERT.encode(), [[row[name] for name in COLUMNS] for row in rows])

    def execute(self, statement: str, *parameters: Any) -> int:
        return self._connection.execute(statement.encode(), parameters).rowcount


# --- what can be changed ---------------------------------------------------------------------------------------------


def flipped(data: bytes, chance: Chance) -> bytes:
    place, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


FLIPS: dict[str, Callable[[Any, Chance], Any]] = {
    "position": lambda _, chance: chance.choice([-1, 10**9]) * chance.randint(1, 99),
    "run": lambda run, chance: run + chance.choice([1, -1, 2**40]),
    "stream": lambda stream, chance: stream + chance.randint(1, 9),
    "version": lambda version, chance: version + chance.choice([-1, 1]),
    "events": lambda events, chance: events + chance.randint(1, 3),
    "at": lambda at, chance: at + chance.randint(1, 9),
    "observed_at": lambda at, chance: chance.randint(1, 9) + (at or 0),
    "venue_at": lambda at, chance: chance.randint(1, 9) + (at or 0),
    "clock_offset": lambda offset, chance: offset + chance.randint(1, 9),
    "actor": lambda actor, _: actor + "x",
    "cause_stream": lambda stream, chance: chance.randint(1, 9) + (stream or 0),
    "cause_version": lambda version, chance: chance.randint(1, 9) + (version or 0),
    "key": lambda key, _: (key or "") + "x",
    "topic": lambda topic, _: topic + "x",
    "leaf": flipped,
    "state": flipped,
}


def renumbered(rows: Sequence[Row]) -> Rows:
    """The rows in this order, their positions dense again."""
    found, position = [], 1
    for row in rows:
        found.append({**row, "position": position})
        position += row["events"]
    return found


def restated(row: Row, **changes: Any) -> Row:
    """A record with other contents, its bytes, its columns and its leaf made to agree."""
    decoded = msgspec.structs.replace(codec.decode(row["state"]), **changes)
    state = codec.encode(decoded)
    cause = decoded.cause or (None, None)
    return {
        **row, "stream": decoded.stream, "version": decoded.version, "events": len(decoded.events), "at": decoded.at,
        "actor": decoded.actor, "cause_stream": cause[0], "cause_version": cause[1], "key": decoded.key, "state": state,
        "leaf": codec.leaf_of(state),
    }  # fmt: skip


def rechained(rows: Sequence[Row]) -> Rows:
    """The rows in this order, positions and versions dense again, every record restated to fit."""
    heads: dict[tuple[int, int], int] = {}
    found = []
    for row in rows:
        version = heads.get((row["run"], row["stream"]), 0) + 1
        again = row if row["version"] == version else restated(row, version=version)
        heads[row["run"], row["stream"]] = version + again["events"] - 1
        found.append(again)
    return renumbered(found)


def flip(rows: Rows, target: int, chance: Chance) -> Rows:
    name = chance.choice(COLUMNS)
    row = rows[target]
    return [*rows[:target], {**row, name: FLIPS[name](row[name], chance)}, *rows[target + 1 :]]


def delete(rows: Rows, target: int, chance: Chance) -> Rows:
    rest = [*rows[:target], *rows[target + 1 :]]
    return chance.choice([rest, renumbered(rest), rechained(rest)])


def swap(rows: Rows, target: int, chance: Chance) -> Rows:
    other = chance.choice(
        [each for each in range(target + 1, len(rows)) if rows[each]["state"] != rows[target]["state"]]
    )
    mixed = list(rows)
    mixed[target], mixed[other] = rows[other], rows[target]
    return chance.choice([renumbered, rechained])(mixed)


def truncate(rows: Rows, target: int, _: Chance) -> Rows:
    return rows[:target]


def insert(rows: Rows, target: int, chance: Chance) -> Rows:
    forged = restated(rows[target], stream=77, version=1, key="forged", cause=None, at=Time(chance.randint(0, 99)))
    return renumbered([*rows[:target], forged, *rows[target:]])


def rewrite(rows: Rows, target: int, chance: Chance) -> Rows:
    """One record says something else, and everything that follows from that is put right."""
    decoded: Record[Event] = codec.decode(rows[target]["state"])
    change: dict[str, Any] = chance.choice([
        {"actor": decoded.actor + "x"},
        {"at": Time(decoded.at + 1)},
        {"events": (*decoded.events, GroupClosed("b", 1, "forged"))},
        {"events": (GroupClosed("b", 1, "other"), *decoded.events[1:])},
    ])  # fmt: skip
    return rechained([*rows[:target], restated(rows[target], **change), *rows[target + 1 :]])


def move_run(rows: Rows, target: int, _: Chance) -> Rows:
    """From the target on, what belonged to one run belongs to the other: no byte of a record says which."""
    return [*rows[:target], *({**row, "run": 3 - row["run"]} for row in rows[target:])]


KINDS: dict[str, Callable[[Rows, int, Chance], Rows]] = {
    each.__name__: each for each in (flip, delete, swap, truncate, insert, rewrite, move_run)
}


def make_trial(rows: Rows, covered: int, number: int) -> Trial:
    """The trial of a number: each kind in turn, at a random record that the checkpoint covers."""
    chance = random.Random(number)
    kind = list(KINDS)[number % len(KINDS)]
    target = chance.randrange(covered)
    changed = KINDS[kind](rows, target, chance)
    assert changed != rows
    return Trial(kind, changed, _first_difference(rows, changed))


def _first_difference(rows: Rows, changed: Rows) -> int:
    """Positions are dense, so it is where the first record that differs stood."""
    ordered = sorted(changed, key=lambda row: row["position"])
    for before, after in zip(rows, ordered, strict=False):
        if before != after:
            return int(before["position"])
    shorter = min(len(rows), len(ordered))
    return int(rows[shorter]["position"])


def change_run(bench: Bench, run: int, what: str) -> None:
    changes: dict[str, Any] = {"label": "other", "settings": Jsonb({"seed": 8}), "tape_digest": "0" * 64}
    assert bench.execute(f"UPDATE runs SET {what} = %s WHERE run = %s", changes[what], run) == 1
