"""`truetape run`: the histories that the running server keeps."""

from typing import Annotated

import typer

from api.commands.options import JSON
from api.terminal import exits, print_json

app = typer.Typer(help="Histories that are kept.", rich_markup_mode=None)


@app.command("list")
@exits
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="How many runs at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List the runs, newest first: backtests that were kept, and paper trading, which goes on."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows

    found = Remote().items("runs", limit=limit)
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("run>", "run"), ("mode", "mode"), ("label", "label"), ("engine", "engine_version"), ("tape", "tape_name"),
        ("begun", "created_at"),
        ("ended", lambda row: row["end"]["ended_at"] if row["end"] else "goes on" if row["current"] else "interrupted"),
        ("events>", lambda row: f"{row['end']['events']:,}" if row["end"] else "-"),
    ]  # fmt: skip
    show_rows(found, columns, "no runs")
