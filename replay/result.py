"""What a backtest leaves for its reader, beside the page and the log's own tables: the summary, and equity by day."""

import csv
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np

from domain.values import decimal_text
from infrastructure.market_data.atomic_file import written_whole
from projections.rows import day_text
from replay.metrics.curve import Curve
from replay.metrics.drawdowns import depths
from replay.metrics.periods import day_ends, sampled

EQUITY_COLUMNS = ("day", "equity", "exposure", "return", "drawdown", "deepest_drawdown")


def write_equity(path: Path, curve: Curve) -> None:
    """One UTC day per line: the equity and exposure at its last close, and how far it was and fell below its height.

    Drawdowns are zero where the run began with nothing.
    """
    ends = day_ends(curve.times)
    before = sampled(curve.equity, curve.initial, ends).tolist()
    with_initial = np.concatenate(([np.int64(curve.initial)], curve.equity))
    falls = depths(with_initial)[1:] if curve.initial > 0 else np.zeros(len(curve))
    starts = np.append(0, ends[:-1] + 1)
    deepest = np.minimum.reduceat(falls, starts).tolist()
    days = (curve.times[ends] - 1).tolist()
    values = zip(days, curve.exposure[ends].tolist(), falls[ends].tolist(), deepest, strict=True)
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(EQUITY_COLUMNS)
        for row, (day, exposure, fall, lowest) in enumerate(values):
            old, equity = before[row], before[row + 1]
            writer.writerow(
                (
                    day_text(day),
                    decimal_text(equity, curve.cash_scale),
                    decimal_text(exposure, curve.cash_scale),
                    f"{equity / old - 1:.8f}" if old > 0 else "",
                    f"{fall:.8f}",
                    f"{lowest:.8f}",
                )
            )


def versions() -> dict[str, str]:
    """What the run was made with."""
    names = ("truetape", "eventsourcing", "msgspec", "polars")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """The summary as indented JSON."""
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write a text file that appears under its name only when it is whole."""
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file
