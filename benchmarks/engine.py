"""How long the loop takes, by phase, per filled order and per idle candle; what it keeps in memory; what keeping costs.

Run by hand: `.venv/bin/python -m benchmarks.engine`. Each figure stands beside a probe of the same run that does the
least the figure could, so that ratios mean something on a machine that is busy or slow.
"""

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path

import msgspec
import numpy as np

from benchmarks import keeping, recording, workloads
from benchmarks.recording import Recording
from benchmarks.timing import Spread, Work, in_turns, table
from benchmarks.workloads import DENSE, LADDER, RESTING, Workload
from domain.account.events import OrderFilled
from infrastructure.event_store.codec import decode_block
from infrastructure.event_store.ledger import GROUP_SIZE
from infrastructure.market_data.columns_file import integers
from infrastructure.market_data.tape import Tape
from infrastructure.venues.lane import Pace
from projections.catalogue import PROJECTIONS
from projections.rows import MemoryRows, Projection, fold_records
from replay import event_lines, log_tables, summary
from replay.game import Game, play
from replay.spool import BLOCK, Spool

MEMORY = "benchmarks.memory"
UNIT_LOOPS = 1_000_000
NS = 1e-9


def played(game: Game, *, pace: Pace = "skip") -> str:
    """A whole run into a spool; its digest."""
    with Spool() as spool:
        play(game, spool, pace=pace)
        spool.flush()
        return spool.digest.hexdigest()


def idle(tape: Tape, repeats: int) -> None:
    """Candles at which nothing happens."""
    nothing, resting = workloads.game(None, tape), workloads.game(RESTING, tape)
    short = workloads.first(tape, len(tape) // 10)
    nothing_short, resting_short = workloads.game(None, short), workloads.game(RESTING, short)
    assert played(nothing_short, pace="every") == played(nothing_short), "each candle through the core, another log"
    lows, highs = tape.lows, tape.highs
    spent = in_turns(
        {
            "none": lambda: played(nothing),
            "resting": lambda: played(resting),
            "every": lambda: played(nothing_short, pace="every"),
            "every, resting": lambda: played(resting_short, pace="every"),
            "python": lambda: _python_scan(lows, highs),
            "numpy": lambda: _numpy_scan(lows, highs),
        },
        repeats,
    )
    all_, few = len(tape), len(short)
    python, numpy = spent["python"], spent["numpy"]
    table(
        f"Idle candles ({all_:,}; every candle through the core: {few:,}), nanoseconds a candle",
        [
            ("no order rests (day ends only)", spent["none"].per(all_, NS), ""),
            (
                "an order rests, no candle meets it",
                spent["resting"].per(all_, NS),
                _times(spent["resting"], python, "python"),
            ),
            ("probe: two comparisons in a Python loop", python.per(all_, NS), ""),
            ("probe: the same with numpy", numpy.per(all_, NS), ""),
            ("each through the core, no order rests", spent["every"].per(few, NS), ""),
            ("each through the core, an order rests", spent["every, resting"].per(few, NS), ""),
        ],
    )


def _python_scan(lows: memoryview, highs: memoryview) -> int:
    for index in range(len(lows)):
        if lows[index] <= 0 or highs[index] >= 10**12:
            return index
    return len(lows)


def _numpy_scan(lows: memoryview, highs: memoryview) -> int:
    return int(np.flatnonzero((integers(lows) <= 0) | (integers(highs) >= 10**12)).size)


def phases(workload: Workload, tape: Tape, repeats: int) -> Recording:
    """Each part of the loop by itself, on what a whole run gave it."""
    game = workloads.game(workload, tape)
    made = Recording(game)
    recording.check(made)
    parts, content = recording.taken_apart(made), b"".join(made.blocks)
    chunks = [made.records[start : start + BLOCK] for start in range(0, len(made.records), BLOCK)]
    encoder = msgspec.msgpack.Encoder()
    spent = in_turns(
        {
            "whole": lambda: played(game),
            "core": lambda: recording.core(made),
            "market": lambda: recording.feed_and_venue(made),
            "ledger": lambda: recording.ledger(made),
            "remake": lambda: recording.made_again(parts),
            "encode": lambda: [encoder.encode(chunk) for chunk in chunks],
            "sha256": lambda: hashlib.sha256(content).digest(),
            "copy": lambda: bytearray(content),
            "unit": _unit,
        },
        repeats,
    )
    fills = made.fills
    rest = spent["whole"].median - sum(spent[name].median for name in ("core", "market", "ledger"))
    events = made.counts.total()
    table(
        f"{workload.name}: {len(tape):,} candles, {len(game.alerts):,} alerts, {made.orders:,} orders, {fills:,} filled, "
        f"{len(made.records):,} records, {events:,} events, {len(content):,} bytes; microseconds per filled order",
        [
            ("whole run", spent["whole"].per(fills), f"{spent['whole'].median / events * 1e6:.2f} an event"),
            (
                "core: decide, evolve, policies",
                spent["core"].per(fills),
                _times(spent["core"], spent["remake"], "remade"),
            ),
            ("feed and venue", spent["market"].per(fills), f"{made.watched / fills:.1f} candles scanned per fill"),
            ("encode, digest, spool", spent["ledger"].per(fills), _times(spent["ledger"], spent["encode"], "encoded")),
            ("the loop around them (difference)", f"{rest / fills * 1e6:9.3f}", ""),
            ("probe: remake the same events and records", spent["remake"].per(fills), ""),
            ("probe: msgspec encodes the same records", spent["encode"].per(fills), ""),
            ("probe: sha256 of the same bytes", spent["sha256"].per(fills), ""),
            ("probe: copy of the same bytes", spent["copy"].per(fills), ""),
            ("probe: one turn of an empty Python loop, ns", spent["unit"].per(UNIT_LOOPS, NS), ""),
        ],
    )
    return made


def all_phases(tape: Tape, repeats: int) -> None:
    after(phases(DENSE, tape, repeats), repeats)
    phases(LADDER, tape, repeats)


def after(made: Recording, repeats: int) -> None:
    """What is made of the log once the run is over."""
    counts = [len(made.records[start : start + BLOCK]) for start in range(0, len(made.records), BLOCK)]
    blocks = list(zip(made.blocks, counts, strict=True))
    instrument, encoder = made.game.markets[0].instrument, msgspec.json.Encoder()
    with tempfile.TemporaryDirectory() as folder:
        works: dict[str, Work] = {
            "decode": lambda: [decode_block(block, count) for block, count in blocks],
            **{f"fold {one.name}": partial(_folded, (one,), made) for one in PROJECTIONS},
            "fold all": partial(_folded, PROJECTIONS, made),
            "fills.csv": lambda: log_tables.write_fills(Path(folder, "fills.csv"), made.records),
            "events.jsonl": lambda: event_lines.write_events(Path(folder, "events.jsonl"), made.records),
            "summary": lambda: summary.summarize(made.records, instrument),
            "probe: JSON of the same records": lambda: encoder.encode(made.records),
        }
        spent = in_turns(works, repeats)
    fills = made.fills
    table(
        f"After the run, {fills:,} filled orders; microseconds per filled order",
        [(name, took.per(fills), "") for name, took in spent.items()],
    )


def _folded(projections: Sequence[Projection], made: Recording) -> None:
    fold_records(projections, MemoryRows(), made.records)


def growth_of_time(tape: Tape, repeats: int) -> None:
    """Whole runs over a hundredth, a tenth and all of the tape: the same mix of orders, more of them."""
    rows = []
    for workload, part in product((DENSE, LADDER), (100, 10, 1)):
        game = workloads.game(workload, workloads.first(tape, len(tape) // part))
        fills = _fills(game)
        spent = in_turns({"run": partial(played, game)}, 3 if part == 1 else repeats)["run"]
        name = workload.name.partition(":")[0]
        rows.append((f"{name}: {fills:,} filled, {game.candles:,} candles", spent.per(fills), f"{spent.median:.2f} s"))
    table("Whole runs, microseconds per filled order", rows)


def _fills(game: Game) -> int:
    with Spool() as spool:
        play(game, spool)
        return sum(isinstance(event, OrderFilled) for record in spool.records() for event in record.events)


def growth_of_memory(tape: Tape, candles: int) -> None:
    """Runs in processes of their own: resident memory, and what the run itself allocated and kept."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tape.parquet")
        tape.save(path)
        for name, part in product(("dense", "ladder"), (10, 1)):
            command = [sys.executable, "-m", MEMORY, str(path), str(candles // part), name]
            plain, traced = (
                json.loads(subprocess.run([*command, how], check=True, capture_output=True).stdout)
                for how in ("", "trace")
            )
            grown = (plain["rss_after"] - plain["rss_before"]) / 2**20
            figures = f"resident {plain['rss_before'] / 2**20:.0f} MiB, then {grown:+.1f}"
            rest = traced["traced"] - traced["identities"]
            remark = (
                f"kept {traced['traced'] / 2**20:.2f} MiB: {traced['identities'] / 2**20:.2f} alert identities, "
                f"{rest / 2**20:.2f} else (at its peak {traced['traced_peak'] / 2**20:.2f})"
            )
            done = f"{name}: {plain['orders']:,} orders, {plain['alerts']:,} alerts"
            rows.append((done, figures, remark))
    table("Memory of one run", rows)


def kept(made: Recording, repeats: int) -> None:
    """The log into Postgres; wall time."""
    written, projected, read = keeping.measure(made, repeats)
    records = len(made.records)

    def rate(spread: Spread) -> str:
        return f"{records / spread.median:9,.0f} ({records / spread.most:,.0f} .. {records / spread.least:,.0f})"

    table(
        f"Kept in Postgres: {records:,} records in groups of {GROUP_SIZE:,}; records per second",
        [
            ("the ledger", rate(written["keep"]), ""),
            (
                "probe: binary COPY of the same rows and groups",
                rate(written["copy in groups"]),
                _times(written["keep"], written["copy in groups"], "COPY"),
            ),
            ("probe: binary COPY at once", rate(written["copy at once"]), ""),
            ("only mapping and hashing the rows", rate(written["map"]), ""),
            ("reading back, checked and decoded", rate(read), ""),
            (f"all projections of {repeats} such runs", f"{repeats * records / projected.median:9,.0f}", ""),
        ],
    )


def _times(figure: Spread, probe: Spread, name: str) -> str:
    return f"{figure.median / probe.median:.1f} x {name}"


def _unit() -> None:
    for _ in range(UNIT_LOOPS):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("idle", "phases", "growth", "memory", "keep"))
    arguments = parser.parse_args()
    repeats = arguments.repeats
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("msgspec", "numpy", "psycopg"))
    print(f"Python {platform.python_version()}, {versions}; medians of {repeats} (least .. most), processor time")
    whole = workloads.market(arguments.candles)
    tape = workloads.first(whole, arguments.candles)
    parts: dict[str, Callable[[], None]] = {
        "idle": lambda: idle(tape, repeats),
        "phases": lambda: all_phases(workloads.first(tape, len(tape) // 10), repeats),
        "growth": lambda: growth_of_time(tape, repeats),
        "memory": lambda: growth_of_memory(whole, len(tape)),
        "keep": lambda: kept(Recording(workloads.game(DENSE, workloads.first(tape, len(tape) // 10))), 3),
    }
    for name, part in parts.items():
        if arguments.only in {None, name}:
            start = time.perf_counter(), time.process_time()
            part()
            wall, spent = time.perf_counter() - start[0], time.process_time() - start[1]
            print(f"  ({name}: {wall:.0f} s, of them {spent:.0f} s of this process's processor time)")


if __name__ == "__main__":
    main()
