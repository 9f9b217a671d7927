"""The market tape: one instrument's candles as integer quanta, named by a digest of their content."""

import hashlib
from bisect import bisect_left
from pathlib import Path
from typing import Literal, Self

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import AmountError, InputError, MissingError
from domain.values import LARGEST, POWERS, SCALE_MAX, Time
from infrastructure.market_data.columns_file import (
    Copy,
    Integers,
    copied_header,
    integers,
    keep_copy,
    read_copy,
    stamp_of,
    view,
)

FORMAT = 1
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
GAPS_SHOWN = 5

Kind = Literal["candles", "trades"]


class Gap(Struct, frozen=True):
    """A hole: no candle opened after `since` and before `until`, more than one interval later."""

    since: Time
    until: Time


class Gaps(Struct, frozen=True):
    """How many holes a tape has, how long the longest is in microseconds between open times, and the first few."""

    count: int = 0
    longest: int = 0
    first: tuple[Gap, ...] = ()


class Earlier(Struct, frozen=True):
    """What an extended tape was before: runs that were made then name it by this digest, and find it cut out again."""

    digest: str
    start: Time
    end: Time
    price_scale: int
    volume_scale: int


class Download(Struct, frozen=True):
    """Where a tape came from, and from when to when its venue was asked: what is missing there, the venue has not."""

    venue: str
    symbol: str
    timeframe: str
    sandbox: bool
    since: Time
    until: Time
    earlier: tuple[Earlier, ...] = ()


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a tape without reading its columns. `interval` is in microseconds, 0 where unknown."""

    format: int
    kind: Kind
    instrument: str
    price_scale: int
    volume_scale: int
    interval: int
    rows: int
    start: Time
    end: Time
    digest: str
    gaps: Gaps
    download: Download | None = None


class Tape(Struct, frozen=True, eq=False):
    """Candles in the order of their open times; columns are int64 views of microseconds and quanta of 10^-scale.

    `digest` names the whole tape as imported: a slice or a rescaled copy keeps it. `interval` is in microseconds, 0 where
    one candle is all there is. Candles may be missing anywhere.
    """

    open_times: memoryview
    opens: memoryview
    highs: memoryview
    lows: memoryview
    closes: memoryview
    volumes: memoryview
    price_scale: int
    volume_scale: int
    interval: int
    digest: str
    instrument: str = ""
    download: Download | None = None

    def __len__(self) -> int:
        return len(self.open_times)

    @property
    def columns(self) -> dict[str, memoryview]:
        """The columns by the names they are stored under."""
        values = (self.open_times, self.opens, self.highs, self.lows, self.closes, self.volumes)
        return dict(zip(COLUMNS, values, strict=True))

    @property
    def gaps(self) -> Gaps:
        """The holes between the candles."""
        return find_gaps(integers(self.open_times), self.interval)

    @property
    def header(self) -> Header:
        """What a listing shows."""
        return Header(
            format=FORMAT,
            kind="candles",
            instrument=self.instrument,
            price_scale=self.price_scale,
            volume_scale=self.volume_scale,
            interval=self.interval,
            rows=len(self),
            start=Time(self.open_times[0]) if len(self) else Time(0),
            end=Time(self.open_times[-1]) if len(self) else Time(0),
            digest=self.digest,
            gaps=self.gaps,
            download=self.download,
        )

    def slice(self, start: Time, end: Time) -> Self:
        """The candles that open from `start` on and before `end`; nothing is copied."""
        first = bisect_left(self.open_times, start)
        last = max(first, bisect_left(self.open_times, end))
        return replace(
            self,
            open_times=self.open_times[first:last],
            opens=self.opens[first:last],
            highs=self.highs[first:last],
            lows=self.lows[first:last],
            closes=self.closes[first:last],
            volumes=self.volumes[first:last],
        )

    def rescaled(self, price_scale: int) -> Self:
        """The same prices in quanta of 10^-price_scale, which must be at least as fine as the tape's."""
        factor = rescale_factor(self.price_scale, price_scale, "price")
        if factor == 1:
            return self
        return replace(
            self,
            opens=scaled(self.opens, factor, "price"),
            highs=scaled(self.highs, factor, "price"),
            lows=scaled(self.lows, factor, "price"),
            closes=scaled(self.closes, factor, "price"),
            price_scale=price_scale,
        )

    def before(self, earlier: Earlier) -> Self:
        """What this tape was before it was extended; raises InputError where it is not the continuation of that."""
        price = POWERS[self.price_scale - earlier.price_scale]
        volume = POWERS[self.volume_scale - earlier.volume_scale]
        cut = self.slice(earlier.start, Time(earlier.end + 1))
        tape = replace(
            cut,
            opens=view(integers(cut.opens) // price),
            highs=view(integers(cut.highs) // price),
            lows=view(integers(cut.lows) // price),
            closes=view(integers(cut.closes) // price),
            volumes=view(integers(cut.volumes) // volume),
            price_scale=earlier.price_scale,
            volume_scale=earlier.volume_scale,
            digest=earlier.digest,
            download=None,
        )
        if digest_of(tape) != earlier.digest:
            raise InputError(f"the tape {self.digest[:12]} is not the continuation of {earlier.digest[:12]}")
        return tape

    def save(self, path: Path) -> None:
        """Write the tape, whole or not at all. A slice or rescaled copy is not the tape that its digest names."""
        assert self.digest == digest_of(self), "a view of a tape cannot be saved under the tape's digest"
        from infrastructure.market_data.parquet import write_columns  # noqa: PLC0415  (polars: only for who writes)

        write_columns(path, self.columns, msgspec.json.encode(self.header))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a stored tape; raises MissingError where it is gone, InputError where it is not as it was written."""
        copy = read_copy(path, COLUMNS)
        tape = None if copy is None else cls._sound(_header(path, copy.header, "candles"), copy.columns)
        return cls._load_stored(path) if tape is None else tape

    @classmethod
    def _load_stored(cls, path: Path) -> Self:
        """From the file itself, of which a copy is kept."""
        from infrastructure.market_data.parquet import read_columns, read_header  # noqa: PLC0415  (polars)

        stamp, raw = stamp_of(path), read_header(path)
        header, columns = _header(path, raw, "candles"), read_columns(path, COLUMNS)
        tape = cls._sound(header, columns)
        if tape is None:
            raise InputError(
                f"{path} was changed: its content is not what its digest {header.digest[:12]} names; "
                "remove it and import it again"
            )
        if stamp is not None:
            keep_copy(path, stamp, Copy(raw, columns))
        return tape

    @classmethod
    def _sound(cls, header: Header, columns: dict[str, memoryview]) -> Self | None:
        """The tape of these columns; None where they are not what the header says."""
        scales = (header.price_scale, header.volume_scale)
        tape = cls(*_ordered(columns), *scales, header.interval, header.digest, header.instrument, header.download)
        return tape if digest_of(tape) == header.digest and tape.header == header else None

    @classmethod
    def find_by_digest(cls, home: Path, digest: str) -> Self:
        """The stored tape with this digest, under whatever name, or that which it was before a download extended it.

        Raises MissingError where none is there and whole.
        """
        reason = ""
        for path in tape_paths(home):
            try:
                header = decode_header(path)
                if header.digest == digest:
                    return cls.load(path)
                for each in header.download.earlier if header.download else ():
                    if each.digest == digest:
                        return cls.load(path).before(each)
            except (InputError, MissingError) as error:
                # Another copy may be whole; if none is, the damage is part of the answer.
                reason = f"\n{error}"
        raise MissingError(f"no sound tape in {folder(home)} has the digest {digest}{reason}")


def make_tape(
    columns: dict[str, Integers], price_scale: int, volume_scale: int, interval: int, instrument: str = ""
) -> Tape:
    """A tape of these columns, named and ordered as `COLUMNS`, with its digest."""
    views = {name: view(columns[name]) for name in COLUMNS}
    tape = Tape(*_ordered(views), price_scale, volume_scale, interval, "", instrument)
    return replace(tape, digest=digest_of(tape))


def digest_of(tape: Tape) -> str:
    """SHA-256 of what decisions depend on: scales, interval and columns; not the instrument, nor the file's encoding."""
    facts = f"price_scale={tape.price_scale} volume_scale={tape.volume_scale} interval={tape.interval} rows={len(tape)}"
    return content_digest(f"truetape.candles.v{FORMAT} {facts}", tape.columns)


def content_digest(facts: str, columns: dict[str, memoryview]) -> str:
    """SHA-256 of a line of facts and then each column as little-endian int64, in hexadecimal."""
    digest = hashlib.sha256(f"{facts}\n".encode())
    for column in columns.values():
        digest.update(integers(column).astype("<i8", copy=False).data)
    return digest.hexdigest()


def _ordered(
    columns: dict[str, memoryview],
) -> tuple[memoryview, memoryview, memoryview, memoryview, memoryview, memoryview]:
    opened, first, high, low, last, volume = (columns[name] for name in COLUMNS)
    return opened, first, high, low, last, volume


def find_gaps(open_times: Integers, interval: int) -> Gaps:
    steps = np.diff(open_times)
    rows = np.flatnonzero(steps > interval) if interval else np.empty(0, np.int64)
    if not len(rows):
        return Gaps()
    first = tuple(Gap(Time(int(open_times[row])), Time(int(open_times[row + 1]))) for row in rows[:GAPS_SHOWN])
    return Gaps(len(rows), int(steps[rows].max()), first)


def rescale_factor(have: int, want: int, what: str) -> int:
    """The power of ten from one scale to a finer one; raises InputError where it is coarser."""
    if want < have:
        raise InputError(
            f"{what} scale {want} is coarser than the tape's {have}: its amounts need {have} decimal places"
        )
    if want > SCALE_MAX:
        raise AmountError(f"{what} scale {want} is above {SCALE_MAX}")
    factor: int = POWERS[want - have]
    return factor


def scaled(column: memoryview, factor: int, what: str) -> memoryview:
    """The column times a power of ten; raises AmountError beyond 64 bits."""
    values = integers(column)
    if len(values) and max(int(values.max()), -int(values.min())) > LARGEST // factor:
        raise AmountError(f"the tape's {what}s times {factor} do not fit 64 bits")
    return view(values * factor)


def decode_header(path: Path, kind: Kind | None = None) -> Header:
    """The header of a stored tape; raises InputError where it is not a header of this format and kind."""
    raw = copied_header(path)
    if raw is None:
        from infrastructure.market_data.parquet import read_header  # noqa: PLC0415  (polars)

        raw = read_header(path)
    return _header(path, raw, kind)


def _header(path: Path, raw: bytes, kind: Kind | None = None) -> Header:
    try:
        header = msgspec.json.decode(raw, type=Header)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path} is no tape of format {FORMAT}: {error}") from None
    if header.format != FORMAT:
        raise InputError(f"{path} is a tape of format {header.format}; this version reads {FORMAT}")
    if kind is not None and header.kind != kind:
        raise InputError(f"{path} is a tape of {header.kind}, not {kind}")
    return header


def folder(home: Path) -> Path:
    """Where an installation keeps its tapes."""
    return home / "market"


def tape_paths(home: Path) -> list[Path]:
    """The stored tapes, by name."""
    return sorted(path for path in folder(home).glob("*.parquet") if not path.name.startswith("."))
