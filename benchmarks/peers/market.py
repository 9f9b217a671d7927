"""The candles of the comparison: the demo's walk by chance, or a rough one with gaps and wide candles, as a plain Parquet file."""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from infrastructure.market_data.random_walk import walk

SEED = 20_260_101
START = 1_767_225_600_000_000
"""2026-01-01, microseconds."""
MINUTE = 60_000_000
HOME = 9_000_000
"""Cents."""

Row = tuple[int, int, int, int, int]


def rough_walk(chance: random.Random) -> Iterator[Row]:
    """Candles that open away from the last close and are wide enough to meet several levels at once."""
    price = HOME
    while True:
        opened = price + chance.choice((0, 0, chance.randint(-30_000, 30_000)))
        close = opened + (HOME - opened) // 40 + chance.randint(-20_000, 20_000)
        high, low = max(opened, close) + chance.randint(0, 15_000), min(opened, close) - chance.randint(0, 15_000)
        yield opened, high, low, close, chance.randint(1, 90)
        price = close


def write_candles(path: Path, count: int, *, rough: bool = False) -> None:
    chance = random.Random(SEED)
    rows = rough_walk(chance) if rough else walk(chance, HOME, HOME)
    names = ("open", "high", "low", "close", "volume")
    columns = dict(zip(names, zip(*islice(rows, count), strict=True), strict=True))
    times = pl.Series("open_time", range(START, START + count * MINUTE, MINUTE), dtype=pl.Int64)
    amounts = [(pl.Series(name, columns[name]) / 100).round(2) for name in names[:4]]
    pl.DataFrame([times, *amounts, pl.Series("volume", columns["volume"], dtype=pl.Float64)]).write_parquet(path)
