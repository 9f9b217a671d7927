"""The trade tape: one instrument's prints in the order they were reported, as integer quanta."""

from bisect import bisect_left
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import InputError
from domain.values import Time, time_text
from infrastructure.market_data.amounts import Amounts, RowError, exact_amounts
from infrastructure.market_data.checks import Check, positive, raise_first, read_column, refuse_first
from infrastructure.market_data.columns_file import Integers, view
from infrastructure.market_data.parquet import read_columns, write_columns
from infrastructure.market_data.raw_file import read_bytes
from infrastructure.market_data.sources import Source, is_parquet, parquet_columns, read_parquet
from infrastructure.market_data.tape import (
    FORMAT,
    Gaps,
    Header,
    content_digest,
    decode_header,
    rescale_factor,
    scaled,
)
from infrastructure.market_data.times import exact_times

COLUMNS = ("at", "price", "quantity")
SPELLINGS = (COLUMNS, ("trade_time_ms", "price", "qty"))
_SELECTORS = ("market", "symbol")


class TradeTape(Struct, frozen=True, eq=False):
    """Trades in file order, several of which may share a time; `digest` names the whole tape, as on a candle tape."""

    times: memoryview
    prices: memoryview
    quantities: memoryview
    price_scale: int
    quantity_scale: int
    digest: str
    instrument: str = ""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def columns(self) -> dict[str, memoryview]:
        """The columns by the names they are stored under."""
        return dict(zip(COLUMNS, (self.times, self.prices, self.quantities), strict=True))

    @property
    def header(self) -> Header:
        """What a listing shows; a trade tape has no interval and so no gaps."""
        return Header(
            format=FORMAT,
            kind="trades",
            instrument=self.instrument,
            price_scale=self.price_scale,
            volume_scale=self.quantity_scale,
            interval=0,
            rows=len(self),
            start=Time(self.times[0]) if len(self) else Time(0),
            end=Time(self.times[-1]) if len(self) else Time(0),
            digest=self.digest,
            gaps=Gaps(),
        )

    def slice(self, start: Time, end: Time) -> Self:
        """The trades from `start` on and before `end`; nothing is copied."""
        first = bisect_left(self.times, start)
        last = max(first, bisect_left(self.times, end))
        return replace(
            self,
            times=self.times[first:last],
            prices=self.prices[first:last],
            quantities=self.quantities[first:last],
        )

    def rescaled(self, price_scale: int, quantity_scale: int) -> Self:
        """The same amounts in finer quanta; a coarser scale is an InputError."""
        price_factor = rescale_factor(self.price_scale, price_scale, "price")
        quantity_factor = rescale_factor(self.quantity_scale, quantity_scale, "quantity")
        return replace(
            self,
            prices=scaled(self.prices, price_factor, "price"),
            quantities=scaled(self.quantities, quantity_factor, "quantity"),
            price_scale=price_scale,
            quantity_scale=quantity_scale,
        )

    def save(self, path: Path) -> None:
        """Write the tape, whole or not at all. A slice or rescaled copy is not the tape that its digest names."""
        assert self.digest == digest_of(self), "a view of a tape cannot be saved under the tape's digest"
        write_columns(path, self.columns, msgspec.json.encode(self.header))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a stored tape; raises MissingError where it is gone, InputError where it is not as it was written."""
        header = decode_header(path, "trades")
        times, prices, quantities = read_columns(path, COLUMNS).values()
        scales = (header.price_scale, header.volume_scale)
        tape = cls(times, prices, quantities, *scales, header.digest, header.instrument)
        if digest_of(tape) != header.digest or tape.header != header:
            raise InputError(f"{path} was changed: its content is not what its digest {header.digest[:12]} names")
        return tape


def read_trades(path: Path, symbol: str = "", market: str = "", instrument: str = "") -> TradeTape:
    """Read the trades of one instrument from a Parquet file, in its order.

    Columns are at, price, quantity, or trade_time_ms, price, qty; where `symbol` and `market` columns tell several
    instruments apart, the arguments must choose one. Raises InputError naming file, row and what is wrong.
    """
    if not is_parquet(path):
        raise InputError(f"{path}: trades are read from .parquet files only")
    raw = read_bytes(path)
    have = parquet_columns(path, raw)
    names = next((each for each in SPELLINGS if set(each) <= set(have)), None)
    if names is None:
        raise InputError(f"{path} has columns {', '.join(have)}; needed are {' or '.join(map(str, SPELLINGS))}")
    chosen = {"market": market, "symbol": symbol}
    selectors = [name for name in _SELECTORS if name in have]
    if absent := [name for name, value in chosen.items() if value and name not in selectors]:
        raise InputError(f"{path} has no column {absent[0]} to choose by")
    source = read_parquet(path, raw, [*names, *selectors])
    source = _chosen(source, {name: chosen[name] for name in selectors})
    errors: list[RowError] = []
    times = read_column(source, names[0], exact_times, errors)
    price = read_column(source, names[1], exact_amounts, errors)
    quantity = read_column(source, names[2], exact_amounts, errors)
    raise_first(source, errors)
    assert times is not None
    assert price is not None
    assert quantity is not None
    refuse_first(source, [_ascending(times), positive("price", *price), positive(names[2], *quantity)])
    return make_trade_tape(times, price, quantity, instrument)


def make_trade_tape(times: Integers, price: Amounts, quantity: Amounts, instrument: str = "") -> TradeTape:
    """A tape of these columns, with its digest."""
    columns = (view(times), view(price.quanta), view(quantity.quanta))
    tape = TradeTape(*columns, price.scale, quantity.scale, "", instrument)
    return replace(tape, digest=digest_of(tape))


def digest_of(tape: TradeTape) -> str:
    """SHA-256 of what decisions depend on: scales and columns."""
    facts = f"price_scale={tape.price_scale} quantity_scale={tape.quantity_scale} rows={len(tape)}"
    return content_digest(f"truetape.trades.v{FORMAT} {facts}", tape.columns)


def _chosen(source: Source, chosen: dict[str, str]) -> Source:
    """The rows of one instrument, which still know their numbers in the file."""
    frame = source.frame.with_row_index("row")
    for name, value in chosen.items():
        if value:
            frame = frame.filter(pl.col(name).cast(pl.String) == value)
    kinds = frame.select(pl.col(name).cast(pl.String) for name in chosen).unique(maintain_order=True).rows()
    if frame.is_empty() or (chosen and len(kinds) > 1):
        known = source.frame.select(pl.col(name).cast(pl.String) for name in chosen).unique(maintain_order=True)
        offer = ", ".join("/".join(map(str, row)) for row in known.rows()[:10])
        found = "no" if frame.is_empty() else "more than one"
        raise InputError(f"{source.path} has {found} instrument of that {'/'.join(chosen)}; there are: {offer}")
    return Source(source.path, frame.drop("row").rechunk(), rows=frame["row"].to_list())


def _ascending(times: Integers) -> Check:
    def describe(row: int) -> str:
        return f"time {time_text(int(times[row]))} is out of order, after {time_text(int(times[row - 1]))}"

    return np.diff(times, prepend=times[0]) < 0, describe
