"""What appending has cost this process: counts and latencies, kept beside the log and never in it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

from msgspec import Struct

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds: the upper ends of the histogram's buckets; the last one has no end."""


class Measured(Struct, frozen=True):
    """Since the process began: appends that are durable, their records, those refused, seconds by bucket and together."""

    appends: int
    records: int
    refused: int
    buckets: tuple[int, ...]
    seconds: float


class AppendMeasures:
    """Counts appends from when they are submitted until they are durable or refused."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._appends = self._records = self._refused = 0
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def follow(self, done: "Future[list[int]]", records: int) -> None:
        """Count an append that has just been submitted, once it is done."""
        began = self._clock()
        done.add_done_callback(lambda ended: self._note(ended, records, self._clock() - began))

    def read(self) -> Measured:
        with self._lock:
            return Measured(self._appends, self._records, self._refused, tuple(self._buckets), self._seconds)

    def _note(self, ended: "Future[list[int]]", records: int, seconds: float) -> None:
        with self._lock:
            if ended.cancelled() or ended.exception() is not None:
                self._refused += 1
                return
            self._appends += 1
            self._records += records
            self._buckets[sum(seconds > bound for bound in BOUNDS)] += 1
            self._seconds += seconds
