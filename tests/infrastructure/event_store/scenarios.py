"""What can happen to a database under load: connections cut, the server killed, its disk full. Each returns what was told."""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store.database import Database
from tests.infrastructure.event_store.load import OurStore, Told, Writer, write_together
from tests.infrastructure.event_store.proxy import CuttingDoor

PLENTY = 1_000_000
"""More appends than there will be time for."""
WRITERS = 3
"""Threads of each process, or of what stands for one."""
PATIENCE = 1.0
"""Seconds that an append waits for a connection: long enough for a load, and an outage should not last in a test."""


def writers_of(databases: Sequence[Database], run: int, seed: int) -> list[Writer]:
    """Some writers on each, all of them on one run."""
    for database in databases:
        database.datastore.pool.timeout = PATIENCE
    numbers = iter(range(len(databases) * WRITERS))
    return [Writer(OurStore(database, run), next(numbers), seed) for database in databases for _ in range(WRITERS)]


def told_to(writers: Sequence[Writer]) -> list[Told]:
    return [each for writer in writers for each in writer.told]


class Progress:
    """Waits until the writers have been acknowledged something that was not asked for before."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    def __call__(self) -> None:
        for writer in self._writers:
            start = len(writer.told)
            deadline = time.monotonic() + 100
            while not any(each.said == "acknowledged" for each in writer.told[start:]):
                assert time.monotonic() < deadline, "the writer does not go on by itself"
                time.sleep(0.01)


@contextlib.contextmanager
def loaded(writers: Sequence[Writer]) -> Iterator[Progress]:
    """Writers that write until the end."""
    done = threading.Event()
    load = threading.Thread(target=write_together, args=[writers, PLENTY, lambda: not done.is_set()])
    load.start()
    try:
        yield Progress(writers)
    finally:
        done.set()
        load.join()


def cut(door: CuttingDoor, behind: Sequence[Database], run: int, cuts: int) -> list[Told]:
    """Cut connections until so many have been; then each writer has to get through."""
    writers = writers_of(behind, run, cuts)
    with loaded(writers) as progress:
        door.cutting = True
        while door.cuts < cuts:
            time.sleep(0.01)
        door.cutting = False
        progress()
    return told_to(writers)


def processes_of(server: EmbeddedPostgres) -> list[psutil.Process]:
    """The server's processes, its own first."""
    postmaster = psutil.Process(int((server.folder / "postmaster.pid").read_text().splitlines()[0]))
    return [postmaster, *postmaster.children(recursive=True)]


def kill_all(server: EmbeddedPostgres) -> None:
    """End every process of the server at once, as a machine does that loses its power."""
    for process in processes_of(server):
        with contextlib.suppress(psutil.NoSuchProcess):  # gone by itself
            process.send_signal(signal.SIGKILL)


def kill(server: EmbeddedPostgres, databases: Sequence[Database], run: int, kills: int, seed: int = 0) -> list[Told]:
    """Kill the server so often under load: in turns all of it, which is then started again, and one of its processes."""
    chance = random.Random(seed)
    writers = writers_of(databases, run, kills)
    with loaded(writers) as progress:
        for number in range(kills):
            progress()
            time.sleep(chance.random() / 5)
            if number % 2:
                backend = chance.choice(processes_of(server)[1:])
                with contextlib.suppress(psutil.NoSuchProcess):  # gone by itself
                    backend.send_signal(signal.SIGKILL)
            else:
                kill_all(server)
                started_again(server)
        progress()
    return told_to(writers)


def started_again(server: EmbeddedPostgres) -> None:
    """Start the server that died under those who have it open."""
    EmbeddedPostgres(server.folder.parent).revive()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own at the folder. Raises PermissionError where one may not be made here."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(f"no disk can be mounted here: {error}") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """While it lasts, the folder's disk has no byte left."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
    finally:
        filler.unlink()


def fill(server: EmbeddedPostgres, databases: Sequence[Database], run: int, times: int) -> list[Told]:
    """Let the disk be full under load so often, until every writer has been refused; then each has to get through."""
    writers = writers_of(databases, run, times)
    with loaded(writers) as progress:
        for _ in range(times):
            progress()
            with filled(server.folder.parent):
                for writer in writers:
                    start = len(writer.told)
                    while all(each.said == "acknowledged" for each in writer.told[start:]):
                        time.sleep(0.01)
            if not answers(server):
                started_again(server)  # no room for its own log ends it
            progress()
    return told_to(writers)


def answers(server: EmbeddedPostgres) -> bool:
    """Whether the server runs."""
    try:
        os.kill(int((server.folder / "postmaster.pid").read_text().splitlines()[0]), 0)
    except (OSError, IndexError, ValueError):
        return False
    return True
