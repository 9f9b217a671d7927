"""`truetape market`: candle files in, tapes listed, decimals out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, progress

if TYPE_CHECKING:
    from infrastructure.market_data.shelf import Damaged, Stored
    from infrastructure.market_data.tape import Gaps, Header

app = typer.Typer(help="Market tapes: import, download, list, export.", rich_markup_mode=None)

DIGEST_SHOWN = 12
DATE_CHARACTERS = 10
SECOND = 1_000_000
MINUTE = 60 * SECOND
_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (MINUTE, "m"), (SECOND, "s"), (1_000, "ms"), (1, "us"))


@app.command("import")
@exits
def import_candles(
    path: Annotated[Path, typer.Argument(help="Binance kline CSV, or CSV or Parquet with a header; .gz, .zip.")],
    instrument: Annotated[str, typer.Option(help="BASE/QUOTE, such as BTC/USDT; a label.")] = "",
    name: Annotated[str | None, typer.Option(help="The tape's name; the file's without it.")] = None,
    as_json: JSON = False,
) -> None:
    """Check a candle file and keep it as a tape. Gaps are reported, bad rows refused."""
    from infrastructure.market_data.shelf import import_cached
    from infrastructure.settings import load_settings

    home = load_settings().home
    with progress(f"importing {path.name}", quiet=as_json):
        stored = import_cached(path, home, name, instrument)
    if as_json:
        print_json(tape_facts(stored) | {"new": stored.is_new})
        return
    show_tape(stored)


@app.command("list")
@exits
def list_market(as_json: JSON = False) -> int:
    """List the tapes. Exit 1 where a file among them is no sound tape."""
    from infrastructure.market_data.shelf import Damaged, Stored, list_tapes
    from infrastructure.settings import load_settings

    found = list_tapes(load_settings().home)
    tapes = [each for each in found if isinstance(each, Stored)]
    damaged = [each for each in found if isinstance(each, Damaged)]
    if as_json:
        print_json({"tapes": [tape_facts(each) for each in tapes], "damaged": [_damage(each) for each in damaged]})
    elif not found:
        console.print("No tape yet: truetape market import FILE")
    else:
        if tapes:
            _show_all(tapes)
        for each in damaged:
            console.print(f"DAMAGED {each.name}: {each.reason}", soft_wrap=True)
    return EXIT_FOUND if damaged else EXIT_CLEAN


@app.command("export")
@exits
def export_candles(
    name: Annotated[str, typer.Argument(help="The tape's name, as market list shows it.")],
    path: Annotated[Path, typer.Argument(help="The file to write, .csv or .parquet.")],
    as_json: JSON = False,
) -> None:
    """Write a tape's candles as decimals."""
    from infrastructure.market_data.exporters import export_tape
    from infrastructure.market_data.shelf import find_tape
    from infrastructure.settings import load_settings

    stored = find_tape(load_settings().home, name)
    with progress(f"exporting {name}", quiet=as_json):
        export_tape(stored.load(), path)
    if as_json:
        print_json({"path": str(path), "rows": stored.header.rows, "digest": stored.header.digest})
    else:
        console.print(f"{stored.header.rows:,} candles written to {path}", soft_wrap=True)


def duration(microseconds: int) -> str:
    """A time span in the largest unit it is whole in: `5m`, `1h`, `2,012m`; `unknown` for none."""
    if microseconds == 0:
        return "unknown"
    size, unit = next((size, unit) for size, unit in _UNITS if microseconds % size == 0)
    return f"{microseconds // size:,}{unit}"


def show_tape(stored: "Stored") -> None:
    from rich.table import Table

    header = stored.header
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    rows = {
        "tape": stored.name if stored.is_new else f"{stored.name} (there already)",
        "instrument": header.instrument or "-",
        "rows": f"{header.rows:,}",
        "from": _time(header.start),
        "to": _time(header.end),
        "interval": duration(header.interval),
        "gaps": _gaps(header.gaps),
        "digest": header.digest,
    }
    for label, value in rows.items():
        table.add_row(label, value)
    for gap in header.gaps.first:
        table.add_row("", f"{_time(gap.since)} to {_time(gap.until)}, {duration(gap.until - gap.since)}")
    console.print(table)


def _show_all(tapes: "list[Stored]") -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in ("name", "rows", "from", "to", "every", "gaps", "digest"):
        right = column in {"rows", "every", "gaps"}
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=column != "name")
    for stored in tapes:
        header = stored.header
        days = (_time(at)[:DATE_CHARACTERS] for at in (header.start, header.end))
        every = "trades" if header.kind == "trades" else duration(header.interval)
        rows, gaps = f"{header.rows:,}", f"{header.gaps.count:,}"
        table.add_row(stored.name, rows, *days, every, gaps, header.digest[:DIGEST_SHOWN])
    console.print(table)


def _gaps(gaps: "Gaps") -> str:
    if not gaps.count:
        return "none"
    first = f"; the first {len(gaps.first)}:" if gaps.count > len(gaps.first) else ":"
    return f"{gaps.count:,}, the longest {duration(gaps.longest)}{first}"


def tape_facts(stored: "Stored") -> dict[str, Any]:
    """What is known of a tape, for programs; `interval_seconds` is null where unknown."""
    header: Header = stored.header
    return {
        "name": stored.name,
        "kind": header.kind,
        "instrument": header.instrument or None,
        "rows": header.rows,
        "from": _time(header.start),
        "to": _time(header.end),
        "interval_seconds": _in(SECOND, header.interval) if header.interval else None,
        "price_scale": header.price_scale,
        "volume_scale": header.volume_scale,
        "gaps": {
            "count": header.gaps.count,
            "longest_minutes": _in(MINUTE, header.gaps.longest),
            "first": [{"from": _time(gap.since), "to": _time(gap.until)} for gap in header.gaps.first],
        },
        "digest": header.digest,
        "path": str(stored.path),
    }


def _in(unit: int, microseconds: int) -> int | float:
    return microseconds / unit if microseconds % unit else microseconds // unit


def _damage(damaged: "Damaged") -> dict[str, Any]:
    return {"name": damaged.name, "path": str(damaged.path), "reason": damaged.reason}


def _time(at: int) -> str:
    from domain.values import time_text

    return time_text(at)
