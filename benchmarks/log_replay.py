"""Replay of a long log: what an event costs from sealed segments to a core, in how much memory, and what a snapshot saves.

    python -m benchmarks.log_replay [--events 10000000] [--sizes 100000,1000000,10000000]

One seeded game, as long as is asked for, is played into sealed segments of a PostgreSQL of its own (the segments are made
by the code that makes them in earnest; the rows, which replay does not read where a segment stands, are left out but
for the last). Each measurement is a process of its own. The microseconds are processor time; beside them, in the same
turns, the same blocks are decoded to untyped lists by msgspec alone, which is the least that any reader must do.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, structs

from benchmarks.workloads import DENSE, SEED, game
from domain.engine import Core, run
from domain.message import Event, Record
from domain.values import Time
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import codec, migrations, segments
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.history import history_of
from infrastructure.event_store.ledger import ENGINE_STREAM, PostgresLedger, RunOpening
from infrastructure.event_store.mapper import RecordMapper
from infrastructure.event_store.segments import SEGMENT_RECORDS, Segment, read_segments
from infrastructure.event_store.snapshot_codec import decode, encode
from infrastructure.event_store.snapshots import newest_snapshot, write_snapshot
from infrastructure.market_data.tape import COLUMNS, Tape, make_tape
from infrastructure.restoring import collection_paused, restore
from infrastructure.shard_snapshots import EVERY_RECORDS
from replay.demo import demo_tape
from replay.game import market_of

DAYS = 60
"""Of the walk that the market repeats."""
EVENTS_PER_CANDLE = 1.11
MEGABYTE = 2**20


class Figures(Struct):
    """Of one process: seconds of processor time but `wall`, bytes of memory."""

    events: int
    records: int
    stored: int
    untyped: float
    decode: float
    evolve: float
    wall: float
    started: int
    peak: int


class Sealer:
    """A ledger that keeps nothing but segments, and the tail in rows; a snapshot is taken shortly before the end."""

    def __init__(self, database: Database, ledger: PostgresLedger, core: Core, events: int) -> None:
        self.events = 1  # EngineStarted stands at position 1
        self.saved = 0
        self._database = database
        self._mapper = RecordMapper(ledger.run)
        self._run = ledger.run
        self._core = core
        self._until = events
        first = codec.encode(next(iter(history_of(database, ledger.run))).records[0])
        self._rows: list[tuple[int, int, int, bytes]] = [(1, ledger.run, 1, first)]
        self._last: tuple[int, int, bytes] = (0, 1, bytes(32))

    def append(self, records: list[Record[Event]]) -> None:
        for record in records:
            self._rows.append((self.events + 1, self._run, len(record.events), codec.encode(record)))
            self.events += len(record.events)
        if not self.saved and self._until - self.events < EVERY_RECORDS * 1.37:
            self.saved = self._rows[-1][0]
            write_snapshot(self._database, self._run, self.saved, self._core.snapshot())
            self._insert([self._rows[-1]])
        if len(self._rows) >= SEGMENT_RECORDS:
            self._seal()

    def finish(self) -> None:
        """What fills no segment stays in rows."""
        self._insert([row for row in self._rows if row[0] not in {1, self.saved}])

    def _seal(self) -> None:
        number, position, previous = self._last
        full, self._rows = self._rows[:SEGMENT_RECORDS], self._rows[SEGMENT_RECORDS:]
        segment = segments._sealed(number, position, previous, full)  # noqa: SLF001
        self._last = segment.segment + 1, segment.end, segment.digest
        fields = [list(part) if isinstance(part, tuple) else part for part in structs.astuple(segment)]
        with self._database.datastore.transaction(commit=True) as cursor:
            cursor.execute(segments._INSERT, fields)  # noqa: SLF001

    def _insert(self, rows: Sequence[tuple[int, int, int, bytes]]) -> None:
        statement = (
            "INSERT INTO records (position, run, stream, version, events, at, clock_offset, actor, key, topic, leaf, state)"
            " VALUES (%s, %s, %s, %s, %s, %s, 0, 'bench', %s, 'record.v1', %s, %s)"
        )
        with self._database.datastore.transaction(commit=True) as cursor:
            for position, number, count, state in rows:
                record = codec.decode(state)
                cursor.execute(
                    statement,
                    [position, number, record.stream, record.version, count, record.at, record.key,
                     codec.leaf_of(state), state],
                )  # fmt: skip


def long_market(candles: int) -> Tape:
    """The demo's walk over and over, a candle a minute."""
    base = demo_tape(DAYS, SEED)
    prices = np.array([base.opens, base.highs, base.lows, base.closes, base.volumes], dtype=np.int64)
    times = base.open_times[0] + 60_000_000 * np.arange(candles, dtype=np.int64)
    rows = np.tile(prices, -(-candles // len(base)))[:, :candles]
    columns = {name: np.ascontiguousarray(column) for name, column in zip(COLUMNS, (times, *rows), strict=True)}
    return make_tape(columns, base.price_scale, 0, 60_000_000, "BTCUSDT")


def play(url: str, events: int) -> None:
    """Play so many events into the database."""
    asked = game(DENSE, long_market(round(events / EVENTS_PER_CANDLE)))
    with connect(url) as database:
        ledger = PostgresLedger.begin(
            database, RunOpening("benchmark", "backtest", {}), Time(asked.markets[0].tape.open_times[0])
        )
        core, market = Core(), market_of(asked)
        sealer = Sealer(database, ledger, core, events)
        run(core, market, sealer, market)
        sealer.finish()
        print(f"{sealer.events:,} events played", flush=True)


def replay(url: str, upto: int) -> Figures:
    """From sealed segments to a core, up to a position."""
    untyped: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder()
    found = Figures(0, 0, 0, 0, 0, 0, 0, 0, 0)
    with connect(url) as database, collection_paused():
        found.started = memory("VmRSS")
        core, begun = Core(), time.perf_counter()
        for segment in read_segments(database, 0, 1):
            if segment.first_position > upto:
                break
            _one(found, core, segment, untyped)
        found.wall = time.perf_counter() - begun
        found.peak = memory("VmHWM")
    return found


def _one(found: Figures, core: Core, segment: Segment, untyped: msgspec.msgpack.Decoder[object]) -> None:
    clock = time.process_time
    block = codec._header(SEGMENT_RECORDS) + segment.block  # noqa: SLF001
    start = clock()
    untyped.decode(block)
    plain = clock()
    records = codec.decode_block(segment.block, SEGMENT_RECORDS)
    decoded = clock()
    core.restore_all([record for record in records if record.stream != ENGINE_STREAM])
    found.evolve += clock() - decoded
    found.decode += decoded - plain
    found.untyped += plain - start
    found.events += segment.events
    found.records += SEGMENT_RECORDS
    found.stored += len(segment.block)


def start(url: str, *, snapshots: bool) -> dict[str, Any]:
    """What a shard's start reads, and how long that takes."""
    with connect(url) as database:
        begun, used = time.perf_counter(), time.process_time()
        made = restore(database, 1, snapshots=snapshots)
        return {
            "records": made.records, "position": made.position, "wall": time.perf_counter() - begun,
            "used": time.process_time() - used, "peak": memory("VmHWM"), "open": made.core.open_streams(),
            "timers": len(made.core.snapshot().timers),
        }  # fmt: skip


def weigh(url: str) -> dict[str, Any]:
    """What the newest snapshot weighs, and what making and reading it takes: medians of 5, milliseconds."""
    with connect(url) as database:
        kept = newest_snapshot(database, 1)
        assert kept is not None
        core = Core.from_snapshot(kept[1])
        snapshot = core.snapshot()
        state = encode(snapshot)
        return {
            "bytes": len(state),
            "copy": milliseconds(core.snapshot),
            "encode": milliseconds(lambda: encode(snapshot)),
            "read": milliseconds(lambda: Core.from_snapshot(decode(state))),
        }


def milliseconds(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(5):
        begun = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - begun))
    return median(spent)


def memory(name: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the most so far) of this process."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def apart(*arguments: str) -> dict[str, Any]:
    """Do it in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.log_replay", *arguments], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return found


def compare(url: str, sizes: Sequence[int]) -> None:
    print(f"\n{'events':>12} {'probe':>7} {'decode':>7} {'evolve':>7} {'both':>7}  M events/s   peak MB (at start)")
    for size in sizes:
        found = msgspec.convert(apart("--replay", url, str(size)), Figures)
        each = [1e6 * seconds / found.events for seconds in (found.untyped, found.decode, found.evolve)]
        both = each[1] + each[2]
        print(
            f"{found.events:>12,} {each[0]:7.3f} {each[1]:7.3f} {each[2]:7.3f} {both:7.3f}  {1 / both:10.3f}"
            f"   {found.peak / MEGABYTE:.0f} ({found.started / MEGABYTE:.0f}); {found.stored / found.events:.0f} bytes an event,"
            f" {found.wall:.1f} s by the clock"
        )
    for snapshots in ("without", "with"):
        made = apart("--start", url, snapshots)
        print(
            f"start {snapshots} a snapshot: {made['wall']:.2f} s ({made['used']:.2f} s of processor), {made['records']:,}"
            f" records read, peak {made['peak'] / MEGABYTE:.0f} MB, {made['timers']} timers, open {made['open']}"
        )
    weight = apart("--weigh", url)
    print(
        f"snapshot: {weight['bytes']:,} bytes; copy {weight['copy']:.1f} ms, encode {weight['encode']:.1f} ms,"
        f" read {weight['read']:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--sizes", default="100000,1000000,10000000")
    parser.add_argument("--replay", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--start", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--weigh", help=argparse.SUPPRESS)
    parser.add_argument("--play", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.replay:
        print(msgspec.json.encode(replay(asked.replay[0], int(asked.replay[1]))).decode())
    elif asked.start:
        print(msgspec.json.encode(start(asked.start[0], snapshots=asked.start[1] == "with")).decode())
    elif asked.weigh:
        print(msgspec.json.encode(weigh(asked.weigh)).decode())
    elif asked.play:
        play(asked.play[0], int(asked.play[1]))
    else:
        with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(Path(folder)) as postgres:
            migrations.migrate(postgres.owner_url)
            # In a process of its own too, so that what the game holds is not in anybody's memory.
            command = [sys.executable, "-m", "benchmarks.log_replay", "--play", postgres.url, str(asked.events)]
            subprocess.run(command, check=True)
            compare(postgres.url, [int(size) for size in asked.sizes.split(",")])


if __name__ == "__main__":
    main()
