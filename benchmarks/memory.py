"""What one run keeps in memory: `python -m benchmarks.memory TAPE CANDLES WORKLOAD`, a process of its own, prints JSON.

Resident memory is read before the run and at its end; with a fourth argument `trace`, `tracemalloc` sees what the run
itself allocates, since the tape and the alerts are there before it starts.
"""

import gc
import json
import sys
import tracemalloc
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks import workloads
from domain.account.events import OrderFilled, OrderIntended
from infrastructure.market_data.tape import Tape
from replay.game import ACCOUNT, SOURCE, play
from replay.spool import Spool


def main(tape_file: str, candles: int, name: str, trace: str) -> None:
    workload = {"dense": workloads.DENSE, "ladder": workloads.LADDER}[name]
    game = workloads.game(workload, workloads.first(Tape.load(Path(tape_file)), candles))
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    if trace == "trace":
        tracemalloc.start()
    with Spool() as spool:
        core = play(game, spool)
        spool.flush()
        current, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        after = process.memory_info().rss
        events = [type(event) for record in spool.records() for event in record.events]
        account, source = core.state("account", ACCOUNT), core.state("signal", SOURCE)
        found = {
            "alerts": len(game.alerts),
            "orders": events.count(OrderIntended),
            "fills": events.count(OrderFilled),
            "records": spool.digest.records,
            "rss_before": before,
            "rss_after": after,
            "traced": current,
            "traced_peak": peak,
            "identities": sys.getsizeof(source.seen) + sum(map(sys.getsizeof, source.seen)),
            "open_orders": len(account.orders),
            "ended_orders": len(account.ended),
            "open_streams": core.open_streams(),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
