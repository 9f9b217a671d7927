"""A venue's candles become a tape on the shelf: page by page, each checked and kept, then one stretch without a seam.

A tape that is there is extended, and what lies between it and what is asked for is downloaded too: so a hole in it is the
venue's. A download that was killed goes on behind its last whole page, and gives the same tape as one that was not.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import InputError, VenueError
from domain.values import Time, time_text
from infrastructure.market_data.columns_file import Integers, integers
from infrastructure.market_data.download_part import Page, Part
from infrastructure.market_data.importers import PRICES, tape_of
from infrastructure.market_data.shelf import Stored, check_name, keep_tape
from infrastructure.market_data.sources import Source
from infrastructure.market_data.tape import COLUMNS, Download, Earlier, Tape, folder, make_tape, scaled
from infrastructure.market_data.tape import rescale_factor as factor
from infrastructure.market_data.venue_candles import MILLISECOND, Pause, Row, Series, VenueCandles

SETTLED = 3_600_000_000
"""Microseconds after which a candle that the venue has not published is taken not to exist."""

Span = tuple[Time, Time]
"""From, and before."""
Advance = Callable[[int], None]
"""Is told how many percent are done."""


class Wanted(Struct, frozen=True):
    """What to download: from `since`, or where the tape that is there ends; before `until`, or up to now."""

    series: Series
    since: Time | None = None
    until: Time | None = None
    name: str | None = None


class Downloaded(Struct, frozen=True):
    """What became of it: the tape, how many candles are new, what it took, and the span that was asked for."""

    stored: Stored
    candles: int
    requests: int
    seconds: float
    since: Time
    until: Time
    resumed: int
    """Candles that an earlier attempt had kept."""


def download(
    wanted: Wanted,
    home: Path,
    base_url: str | None = None,
    pause: Pause = time.sleep,
    advance: Advance = lambda _percent: None,
) -> Downloaded:
    """Download, and put the tape on the shelf.

    Raises InputError for what cannot be asked, or a candle that is none, and VenueError where the venue does not answer;
    whole pages are kept then, and the next call goes on behind them.
    """
    began = time.perf_counter()
    series, name = wanted.series, check_name(wanted.name or tape_name(wanted.series))
    _check_span(wanted)
    had = _existing(home, name, series)
    if wanted.since is None and had is None:
        raise InputError(f"{series} has not been downloaded as {name} yet: say --from when")
    with Part(home, name, series) as part:
        resumed = sum(page.rows for page in part.pages)
        try:
            candles = VenueCandles(series, base_url, pause)
            now = candles.now()
            spans = _spans(wanted, had, now)
            _fetch(candles, part, list(_missing(spans, part.pages)), now, advance)
        except VenueError as error:
            raise VenueError(f"{error}\n{_kept(part)}") from None
        tape = _joined(series, had, part.table(), spans)
        tape = replace(tape, download=_origin(series, tape, had, spans, now))
        stored = keep_tape(tape, home, name, had.digest if had is not None else None)
        part.finish()
    added = len(tape) - (len(had) if had is not None else 0)
    taken = time.perf_counter() - began
    return Downloaded(stored, added, candles.requests, taken, spans[0][0], spans[-1][1], resumed)


def _check_span(wanted: Wanted) -> None:
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise InputError(f"--from {time_text(wanted.since)} is not before --to {time_text(wanted.until)}")
    _ = wanted.series.interval  # refused here already, before anything is asked


def tape_name(series: Series) -> str:
    parts = (series.venue, series.symbol, series.timeframe, "sandbox" if series.sandbox else "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part for part in parts if part))


def _existing(home: Path, name: str, series: Series) -> Tape | None:
    """The tape to extend; raises InputError where the name is another's."""
    path = folder(home) / f"{name}.parquet"
    if not path.exists():
        return None
    tape = Tape.load(path)
    known = tape.download
    if known is None or Series(known.venue, known.symbol, known.timeframe, known.sandbox) != series:
        raise InputError(f"name {name} is taken by a tape that is no download of {series}; choose another with --name")
    return tape


def _spans(wanted: Wanted, had: Tape | None, now: Time) -> list[Span]:
    """What the tape lacks of one stretch over itself and what is asked for, closed candles only; at least one span."""
    interval = wanted.series.interval
    closed = Time(now - interval + MILLISECOND)
    until = closed if wanted.until is None else min(wanted.until, closed)
    if had is None:
        assert wanted.since is not None
        if wanted.since >= until:
            raise InputError(f"no candle that opened at {time_text(wanted.since)} or later has closed yet")
        return [(wanted.since, until)]
    known = had.download
    assert known is not None
    before = (min(known.since, wanted.since if wanted.since is not None else known.since), known.since)
    after = (known.until, max(known.until, until))
    return [before, after]


def _missing(spans: Iterable[Span], pages: Iterable[Page]) -> Iterator[Span]:
    """What of the spans no page has."""
    ordered = sorted(pages, key=lambda page: page.since)
    for since, until in spans:
        at = since
        for page in ordered:
            if page.since > at:
                yield at, min(page.since, until)
            at = max(at, page.until)
            if at >= until:
                break
        if at < until:
            yield at, until


def _fetch(candles: VenueCandles, part: Part, spans: list[Span], now: Time, advance: Advance) -> None:
    spans = [span for span in spans if span[0] < span[1]]
    whole, done = sum(until - since for since, until in spans), 0
    interval = candles.series.interval
    for since, until in spans:
        at = since
        while at < until:
            answer = [row for row in candles.page(at) if _opened(row) >= at]  # pages may overlap what is known
            rows = [row for row in answer if _opened(row) < until]
            _check(candles.series, at, rows)
            if rows:
                end = Time(_opened(rows[-1]) + interval)
            elif answer or candles.is_open_ended:
                end = until
            else:
                end = Time(min(at + candles.page_rows * interval, until))
            if rows or end <= now - SETTLED:
                part.add(Page(at, end, len(rows)), rows)
            advance(100 * (done + min(end, until) - since) // whole)
            at = end
        done += until - since


def _check(series: Series, at: Time, rows: list[Row]) -> None:
    """Raise InputError where a page is not what an imported file must be."""
    if rows:
        table = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
        tape_of(Source(Path(f"{series}, the page from {time_text(at)}"), table), series.interval)


def _opened(row: Row) -> Time:
    return Time(int(row[0]) * MILLISECOND)


def _joined(series: Series, had: Tape | None, rows: pl.DataFrame, spans: list[Span]) -> Tape:
    """One tape of what was there and what came, which lies before and behind it."""
    tapes = []
    opened = pl.col(COLUMNS[0]).cast(pl.Int64) * MILLISECOND
    for since, until in spans:
        within = rows.filter((opened >= since) & (opened < until))
        if len(within):
            tapes.append(tape_of(Source(Path(str(series)), within), series.interval))
    if had is not None:
        tapes.append(had)
    if not tapes:
        begin, end = spans[0][0], spans[-1][1]
        raise InputError(f"{series}: the venue has no candle from {time_text(begin)} to {time_text(end)}")
    tapes.sort(key=lambda tape: tape.open_times[0])
    price, volume = max(tape.price_scale for tape in tapes), max(tape.volume_scale for tape in tapes)
    parts = [_rescaled(tape, price, volume) for tape in tapes]
    columns: dict[str, Integers] = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    assert (np.diff(columns["open_time"]) > 0).all(), "what was downloaded overlaps the tape"
    return make_tape(columns, price, volume, series.interval, series.symbol)


def _rescaled(tape: Tape, price: int, volume: int) -> dict[str, Integers]:
    prices, volumes = factor(tape.price_scale, price, "price"), factor(tape.volume_scale, volume, "volume")
    by = {**dict.fromkeys(PRICES, prices), "volume": volumes}
    return {name: integers(scaled(column, by.get(name, 1), name)) for name, column in tape.columns.items()}


def _origin(series: Series, tape: Tape, had: Tape | None, spans: list[Span], now: Time) -> Download:
    """What is known of the venue now; what it has not published yet is asked for again the next time."""
    last = Time(tape.open_times[-1] + series.interval)
    until = min(spans[-1][1], max(last, Time(now - SETTLED)))
    if spans[-1][0] >= spans[-1][1]:
        until = spans[-1][0]
    earlier: tuple[Earlier, ...] = ()
    if had is not None and had.download is not None:
        earlier = had.download.earlier
        if had.digest != tape.digest:
            was = Earlier(
                had.digest, Time(had.open_times[0]), Time(had.open_times[-1]), had.price_scale, had.volume_scale
            )
            earlier = (*earlier, was)
    return Download(series.venue, series.symbol, series.timeframe, series.sandbox, spans[0][0], until, earlier)


def _kept(part: Part) -> str:
    rows = sum(page.rows for page in part.pages)
    return f"{rows:,} candles of it are kept; the same command goes on behind them" if rows else "nothing is kept of it"
