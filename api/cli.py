"""The command line: every command, and one way to say what went wrong."""

from collections.abc import Sequence

import typer
from typer.exceptions import Abort, TyperException

from api.commands import backtest, demo, events, market, projections, system, verify
from api.terminal import EXIT_INTERRUPTED, fail

app = typer.Typer(
    name="truetape",
    help="An event-sourced trading engine: backtest, paper, live and audit are one loop over one log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(market.app, name="market")
app.command("backtest")(backtest.backtest)
app.command("verify")(verify.verify)
app.add_typer(events.app, name="events")
app.add_typer(projections.app, name="projections")
app.command("migrate")(system.migrate)
app.command("doctor")(system.doctor)
app.command("demo")(demo.demo)


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Bad usage is said in a line, not in a page."""
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="truetape", standalone_mode=False)
    except TyperException as error:
        return fail(f"{error.format_message()} See truetape --help.")
    except Abort:
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0
