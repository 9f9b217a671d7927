"""Faults under load: connections cut at random bytes, the server killed, its disk full; then the log is held to account.

    python -m benchmarks.log_faults [--cuts 500] [--kills 20] [--fills 5] [--seed 1]

Two openings of the database, as of two processes, with three writers each, append to streams of their own and to common
ones. Afterwards each append that was acknowledged must be on the log once and where it was said to be, each that was
refused must not be there, each in doubt must be there whole or not at all; positions and versions must be dense, and the
check of the whole log must find nothing. After each fault every writer has to get through again without being restarted.
A cut ends a connection after a random number of bytes in a random direction, through a TCP proxy. Kills are SIGKILL, in
turns of all the server's processes and of a random one. The full disk is a small one of its own, filled to the last byte;
where none can be mounted that part says so. Exits 1 where anything is wrong.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.timing import table
from infrastructure.embedded_postgres import DATABASE, WRITER, EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect
from tests.infrastructure.event_store.load import Told, all_faults
from tests.infrastructure.event_store.proxy import CuttingDoor
from tests.infrastructure.event_store.rows import begin
from tests.infrastructure.event_store.scenarios import cut, fill, kill, small_disk

DISK_MEGABYTES = 400
SHOWN = 10
Scenario = Callable[[EmbeddedPostgres, Sequence[Database], int], list[Told]]


@contextmanager
def cluster(disk_megabytes: int = 0) -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, ExitStack() as stack:
        home = Path(folder)
        if disk_megabytes:
            home = stack.enter_context(small_disk(home / "disk", disk_megabytes))
        server = stack.enter_context(EmbeddedPostgres(home))
        migrations.migrate(server.owner_url)
        yield server


def suffered(title: str, scenario: Scenario, disk_megabytes: int = 0) -> list[str]:
    """Let it happen, print what came of it, and return what is wrong."""
    with cluster(disk_megabytes) as server, connect(server.url) as one, connect(server.url) as other:
        run = begin(one).run
        start = time.monotonic()
        told = scenario(server, [one, other], run)
        seconds = time.monotonic() - start
        found = all_faults(one, told)
    said = Counter(each.said for each in told)
    rows = [(f"appends {said_so}", f"{said[said_so]:,}", "") for said_so in ("acknowledged", "refused", "in doubt")]
    table(f"{title}, {seconds:.0f} s", [*rows, ("wrong on the log", f"{len(found)}", "; ".join(found[:SHOWN]))])
    return found


def cutting(cuts: int, seed: int) -> Scenario:
    def scenario(server: EmbeddedPostgres, _: Sequence[Database], run: int) -> list[Told]:
        with CuttingDoor(str(server.folder), seed) as door, ExitStack() as stack:
            url = door.url(WRITER, DATABASE)
            return cut(door, [stack.enter_context(connect(url)) for _ in range(2)], run, cuts)

    return scenario


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--fills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = []
    if asked.cuts:
        found += suffered(f"{asked.cuts} connections cut at random bytes", cutting(asked.cuts, asked.seed))
    if asked.kills:
        found += suffered(
            f"the server killed {asked.kills} times",
            lambda server, databases, run: kill(server, databases, run, asked.kills, asked.seed),
        )
    if asked.fills:
        try:
            found += suffered(
                f"the disk full {asked.fills} times",
                lambda server, databases, run: fill(server, databases, run, asked.fills),
                DISK_MEGABYTES,
            )
        except PermissionError as error:
            print(f"\nthe disk full: not tried, {error}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
