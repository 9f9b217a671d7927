"""Medians of work done in turns, so that a disturbance of the machine hits everything alike."""

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

from msgspec import Struct

Work = Callable[[], object]


class Spread(Struct, frozen=True):
    """Seconds: the median, the least and the most of the repetitions."""

    median: float
    least: float
    most: float

    def per(self, count: int, unit: float = 1e-6) -> str:
        """Median per piece, with least and most, in units of seconds."""
        middle, least, most = (seconds / max(1, count) / unit for seconds in (self.median, self.least, self.most))
        return f"{middle:9.3f} ({least:.3f} .. {most:.3f})"


def in_turns(
    works: Mapping[str, Work], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, Spread]:
    """Do each work once in each round; by default the processor's time counts, which a busy machine distorts less.

    What exists before the first round is frozen, so that a collector does not walk it: it stands for nothing that a
    real run would hold.
    """
    gc.collect()
    gc.freeze()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = clock()
            work()
            seconds[name].append(clock() - start)
            gc.collect()
    gc.unfreeze()
    return {name: Spread(median(spent), min(spent), max(spent)) for name, spent in seconds.items()}


def table(title: str, rows: list[tuple[str, str, str]]) -> None:
    """Print rows of (what, figure, remark)."""
    print(f"\n{title}")
    for what, figure, remark in rows:
        print(f"  {what:<44} {figure:<34} {remark}".rstrip())
