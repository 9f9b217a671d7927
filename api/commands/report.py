"""`truetape report`: what a run did, for auditors, as CSV or JSON from its log alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.terminal import console, exits, print_json
from domain.values import LARGEST, parse_time

if TYPE_CHECKING:
    from infrastructure.event_store.database import Database
    from infrastructure.event_store.runs import Run
    from replay.report import Report, Span

STANDARD_OUTPUT = "-"


@exits
def report(
    name: Annotated[Literal["orders", "trades", "controls", "settings"], typer.Argument(help="Which report.")],
    run: Annotated[int | None, typer.Option(help="The run's number; the newest without it.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Only what was decided from this time on, 2026-01-31T00:00:00Z.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only what was decided before this time.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="As the log was at a position, or at an ISO 8601 time.")
    ] = None,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="csv or json.")] = "csv",
    out: Annotated[
        str, typer.Option(help="The file to write, its manifest beside it; - is standard output.")
    ] = STANDARD_OUTPUT,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON on standard output: the report, or with --out its manifest.")
    ] = False,
) -> None:
    """Report a run's orders, trades, controls or settings from its log.

    The same log gives the same bytes. Every row has the position of its event, which a proof can be asked for.
    """
    from infrastructure.database import open_database
    from infrastructure.event_store.runs import find_run
    from infrastructure.settings import load_settings
    from replay.report import report_of, write_report

    to_terminal = out == STANDARD_OUTPUT
    with open_database(load_settings()) as database:
        kept = find_run(database, run)
        span = _span(database, kept, start, end, as_of)
        made = report_of(database, kept, name, "json" if as_json and to_terminal else form, span)
        if to_terminal:
            _print(made)
            return
        manifest = write_report(made, Path(out))
    if as_json:
        print_json({"path": out, **manifest})
    else:
        said = f"{manifest['row_count']:,} rows of {manifest['record_count']:,} records written to {out}"
        console.print(f"{said}\nsha256 {manifest['sha256']}", soft_wrap=True)


def _span(database: "Database", run: "Run", start: str | None, end: str | None, as_of: str | None) -> "Span":
    from replay.report import Span

    return Span(
        None if start is None else parse_time(start),
        None if end is None else parse_time(end),
        LARGEST if as_of is None else _position(database, run, as_of),
    )


def _position(database: "Database", run: "Run", as_of: str) -> int:
    from api.reads import parse_as_of
    from infrastructure.row_views import resolve

    point = parse_as_of(as_of)
    assert point is not None, "there is a text, so there is a point"
    return resolve(database, run, point)


def _print(made: "Report") -> None:
    """The file's own bytes, where standard output takes bytes."""
    binary = getattr(sys.stdout, "buffer", None)
    sys.stdout.flush()
    for part in made:
        if binary is None:
            sys.stdout.write(part.decode())
        else:
            binary.write(part)
