"""`truetape events`: the log as people and programs read it, kept or as it grows."""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import JSON, RUN
from api.terminal import console, exits, print_json
from domain.errors import MissingError

if TYPE_CHECKING:
    from infrastructure.event_store.database import Database

app = typer.Typer(help="Read the log of kept runs, and follow the running server's.", rich_markup_mode=None)

TAG = Annotated[str | None, typer.Option(help="Only events whose name begins so, such as account.order.")]


@app.command("list")
@exits
def list_events(
    run: RUN = None,
    tag: TAG = None,
    limit: Annotated[int, typer.Option(min=1, help="How many events at most.")] = 50,
    after: Annotated[int, typer.Option(min=0, help="Only events after this position.")] = 0,
    as_json: JSON = False,
) -> None:
    """List events in the order of the log."""
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings

    with open_database(load_settings()) as database:
        lines = (line for line in _lines(database, run, tag) if line["position"] > after)
        found = list(islice(lines, limit))
    if as_json:
        print_json(found)
        return
    from api.views import events_view

    events_view(found)


@app.command("show")
@exits
def show_event(position: Annotated[int, typer.Argument(help="The event's position.")], as_json: JSON = False) -> None:
    """Show one event with everything in it."""
    from infrastructure.database import open_database
    from infrastructure.event_store.runs import run_at
    from infrastructure.settings import load_settings

    with open_database(load_settings()) as database:
        run = run_at(database, position)
        found = next((line for line in _lines(database, run, None) if line["position"] == position), None)
    if found is None:
        raise MissingError(f"there is no event at position {position}")
    if as_json:
        print_json(found)
    else:
        console.print_json(data=found)


@app.command("export")
@exits
def export_events(
    path: Annotated[Path, typer.Argument(help="The file to write, JSON lines.")],
    run: RUN = None,
    tag: TAG = None,
    as_json: JSON = False,
) -> None:
    """Write a run's events to a file, one per line."""
    import msgspec

    from infrastructure.database import open_database
    from infrastructure.settings import load_settings
    from replay.result import replacing

    encoder, count = msgspec.json.Encoder(), 0
    with open_database(load_settings()) as database, replacing(path) as file:
        for line in _lines(database, run, tag):
            file.write(encoder.encode(line).decode() + "\n")
            count += 1
    if as_json:
        print_json({"path": str(path), "events": count})
    else:
        console.print(f"{count:,} events written to {path}", soft_wrap=True)


@app.command("segments")
@exits
def export_segments(
    folder: Annotated[Path, typer.Argument(help="Where to write; what is there already is left.")],
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Parquet, for analysts, instead of sealed blocks.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Seal what is full of the log, and write its segments as files, of all runs."""
    from infrastructure import segment_files
    from infrastructure.database import open_database
    from infrastructure.event_store.segments import seal
    from infrastructure.settings import load_settings

    write = segment_files.export_parquet if parquet else segment_files.export_segments
    with open_database(load_settings()) as database, console.status("sealing") as status:
        sealed = seal(database)
        written = write(database, folder, lambda number: status.update(f"segment {number}"))
    if as_json:
        print_json({"folder": str(folder), "sealed": sealed, "written": [path.name for path in written]})
    else:
        console.print(f"{sealed:,} segments sealed, {len(written):,} files written to {folder}", soft_wrap=True)


@app.command("tail")
@exits
def tail_events(
    channel: Annotated[
        list[str] | None,
        typer.Option(help="events, orders, fills, groups, portfolio, bots or deliveries; may be repeated."),
    ] = None,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="Begin at this position; with what comes next without it.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Follow what happens at the running server, until Ctrl-C; goes on where it was after a disconnect."""
    from api.following import Following
    from api.remote import Remote

    count = 0
    for message in Following(Remote(), channel or ["events"], start).messages():
        if isinstance(message, str):
            print(message, file=sys.stderr, flush=True)  # noqa: T201  (plain: it is no result)
            continue
        _tell(message, as_json=as_json)
        count += 1
        if count == limit:
            return


def _tell(message: dict[str, Any], *, as_json: bool) -> None:
    """A message, at once: whoever reads a pipe waits for it."""
    if as_json:
        print(json.dumps(message), flush=True)  # noqa: T201  (a line of its own, never wrapped)
        return
    from api.event_line import show_event as show_line

    data = message["data"]
    if message["channel"] == "portfolio":
        amounts = [f"{each['equity']} {each['asset']}" for each in data["balances"]]
        held = [f"{each['quantity']} {each['instrument']}" for each in data["positions"]]
        said = f"{message['position']:>7} {data['account']}: equity {', '.join(amounts) or '-'}"
        console.print(said + (f", holds {', '.join(held)}" if held else ""), soft_wrap=True)
    else:
        show_line(data)


def _lines(database: "Database", run: int | None, tag: str | None) -> Iterator[dict[str, Any]]:
    """The events of a run, readable, each with its position."""
    from infrastructure.event_store.readable import Reader
    from infrastructure.event_store.runs import find_run, records_of

    reader = Reader()
    for kept in records_of(database, find_run(database, run).run):
        for offset, line in enumerate(reader.lines(kept.decode())):
            if tag is None or line["event"].startswith(tag):
                yield {"position": kept.position + offset, "run": kept.run, **line}
