"""Candle files that tests write for themselves, and the laws' random candles."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

HEADER = "open_time,open,high,low,close,volume"
START = 1_640_995_200_000_000
MINUTE = 60_000_000


class Row(NamedTuple):
    """A candle in the decimals of its file."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def write_csv(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def kline(time: int, text: str = "10.5,11,10,10.75,3") -> str:
    """A line as Binance writes it."""
    return f"{time},{text},{time + 59_999},31.5,4,1.5,15.75,0"


def minutes(*numbers: int) -> list[str]:
    """Good header-CSV rows at these minutes."""
    return [f"{START + number * MINUTE},10.5,11,10,10.75,3" for number in numbers]


@st.composite
def candle_rows(draw: st.DrawFn, digits: int = 18) -> list[Row]:
    """Candles in order, with gaps, whose prices have at most so many digits."""
    scale = draw(st.integers(0, min(10, digits)))
    volume_scale = draw(st.integers(0, min(10, digits)))
    amounts = st.integers(1, 10**digits - 1)
    rows: list[Row] = []
    minute = 0
    for _ in range(draw(st.integers(2, 12))):
        least, first, second, most = sorted(draw(st.tuples(amounts, amounts, amounts, amounts)))
        opened, high, low, closed = (Decimal(value).scaleb(-scale) for value in (first, most, least, second))
        volume = Decimal(draw(st.integers(0, 10**digits - 1))).scaleb(-volume_scale)
        rows.append(Row(START + minute * MINUTE, opened, high, low, closed, volume))
        minute += draw(st.sampled_from([1, 1, 1, 1, 2, 35]))
    steps = [after.open_time - before.open_time for before, after in pairwise(rows)]
    common = max(set(steps), key=lambda step: (steps.count(step), -step))
    # A file of 2, 35 minutes has no common interval; keep what has one.
    kept = [rows[0]]
    for row in rows[1:]:
        if (row.open_time - kept[-1].open_time) % common:
            break
        kept.append(row)
    return kept


def spellings(number: Decimal) -> st.SearchStrategy[str]:
    """Ways to write the same number."""
    plain = format(number, "f")
    padded = plain + ("000" if "." in plain else ".000")
    return st.sampled_from([plain, padded, f"{number:E}", f"+{plain}", f" {plain} ", "0" + plain])
