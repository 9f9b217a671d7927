"""The command line: every command, and one way to say what went wrong."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, Exit, TyperException

from api.terminal import EXIT_CLEAN, EXIT_INTERRUPTED, EXIT_UNABLE, fail

COMMANDS: Mapping[str, str] = {
    "up": "up:up", "login": "login:login", "logout": "login:logout", "user": "user:app", "account": "account:app",
    "bot": "bot:app", "webhook": "webhook:app", "delivery": "delivery:app", "order": "order:app", "fill": "fill:app",
    "group": "group:app", "strategy": "strategy:app", "pnl": "pnl:pnl", "pool": "pool:app", "queue": "queue:app",
    "offset": "offset:app", "risk": "risk:app", "kill": "kill:kill", "resume": "kill:resume", "as-of": "as_of:as_of",
    "explain": "explain:app", "events": "events:app", "market": "market:app", "backtest": "backtest:backtest",
    "sweep": "sweep:sweep", "walk-forward": "walk_forward:walk_forward", "lookahead": "lookahead:lookahead",
    "recursive": "recursive:recursive", "monte-carlo": "monte_carlo:monte_carlo", "run": "run:app",
    "verify": "verify:verify", "what-if": "what_if:what_if", "audit": "audit:app", "report": "report:report",
    "projections": "projections:app", "migrate": "system:migrate", "doctor": "system:doctor", "demo": "demo:demo",
}  # fmt: skip
"""Every command, and where in `api.commands` it is: only the one that is called is imported, all of them for help."""
_MORE: Mapping[str, Mapping[str, str]] = {
    "webhook": {"template": "webhook_template:template"},
    "strategy": {name: f"strategy_paper:{name}" for name in ("start", "configure", "pause", "resume", "close")},
    "market": {"download": "market_download:download", "prices": "market_prices:prices"},
}
"""Commands of a group that have a module of their own."""


def app_of(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands only."""
    app = typer.Typer(
        name="truetape",
        help="An event-sourced trading engine: backtest, paper, live and audit are one loop over one log.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # With something of its own to call, one command is a group of one: it is still called by its name.
    app.callback()(_before)
    for name in names:
        found = _imported(name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _say_version(asked: bool) -> None:
    if not asked:
        return
    from infrastructure.event_store.engine_version import engine_version

    typer.echo(f"truetape {engine_version()}")
    raise Exit


VERSION = Annotated[bool, typer.Option("--version", help="Say which version this is.", callback=_say_version)]


def _before(*, version: VERSION = False) -> None:
    """What can be asked before any command."""


@cache
def _imported(name: str) -> Any:
    found = _at(COMMANDS[name])
    for part, place in _MORE.get(name, {}).items():
        found.command(part)(_at(place))
    return found


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"api.commands.{module}"), name)


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Bad usage is said in a line, no usage at all is answered with the page."""
    called = arguments[0] if arguments else ""
    app = app_of([called] if called in COMMANDS else COMMANDS)
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="truetape", standalone_mode=False)
    except TyperException as error:
        return fail(_usage(error))
    except Abort:
        return EXIT_INTERRUPTED
    except SystemExit:
        # Typer's way out where the reader of a page of help has gone.
        return EXIT_CLEAN
    if not arguments:
        return EXIT_UNABLE
    return code if isinstance(code, int) else 0


def _usage(error: TyperException) -> str:
    """What is wrong with the command as it was typed, what is allowed, and whose help says more."""
    context: Any = getattr(error, "ctx", None)
    said, path = [error.format_message().strip()], "truetape"
    if not said[0].endswith((".", "?")):
        said[0] += "."
    if context is not None:
        path = context.command_path
        if list_commands := getattr(context.command, "list_commands", None):
            said.append(f"Allowed: {', '.join(list_commands(context))}.")
    return " ".join([*said, f"See {path} --help."])
