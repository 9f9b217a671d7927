"""`truetape verify`: run kept runs again and compare them with their logs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.terminal import EXIT_CLEAN, EXIT_FOUND, EXIT_UNABLE, console, exits, print_json, printable
from domain.errors import MissingError


@exits
def verify(
    run: Annotated[int | None, typer.Argument(help="The run's number; all kept runs without it.")] = None,
    strategy: Annotated[
        list[Path] | None, typer.Option(help="The file of a strategy that is in no package; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> int:
    """Rerun kept runs from their recorded facts and tapes, and compare record for record.

    Exit 0: all the same. 1: something diverged. 2: a tape or data is missing.
    """
    import msgspec

    from infrastructure.database import open_database
    from infrastructure.event_store.runs import find_run, list_runs
    from infrastructure.plugins import load_plugins
    from infrastructure.settings import load_settings
    from infrastructure.strategy_file import strategy_from
    from replay.verify import verify as verify_run

    load_plugins()
    for path in strategy or ():
        strategy_from(path)
    settings = load_settings()
    verdicts: list[dict[str, Any]] = []
    with open_database(settings) as database:
        runs = list_runs(database) if run is None else [find_run(database, run)]
        for kept in runs:
            try:
                verdict = msgspec.to_builtins(verify_run(database, settings.home, kept))
            except MissingError as error:
                verdict = {"run": kept.run, "label": kept.label, "status": "missing", "reason": str(error)}
            verdicts.append(verdict)
            if not as_json:
                _say(verdict)
    if as_json:
        print_json(verdicts)
    elif not verdicts:
        console.print("No run is kept yet: truetape backtest ... --keep")
    return _exit_code({verdict["status"] for verdict in verdicts})


def _exit_code(statuses: set[str]) -> int:
    if "diverged" in statuses:
        return EXIT_FOUND
    return EXIT_UNABLE if "missing" in statuses else EXIT_CLEAN


def _say(verdict: dict[str, Any]) -> None:
    name = f"run {verdict['run']} ({verdict['label']})"
    match verdict["status"]:
        case "same":
            console.print(f"{name}: the same, {verdict['records']:,} records, {verdict['log_sha256'][:16]}")
        case "interrupted":
            console.print(f"{name}: the same up to where it broke off, {verdict['records']:,} records")
        case "missing":
            console.print(f"{name}: cannot be verified: {verdict['reason']}", soft_wrap=True)
        case _:
            divergence = verdict["divergence"]
            after = f" after {verdict['records']:,} records" if verdict["records"] else ""
            console.print(f"{name}: DIVERGED ({divergence['kind']}){after}")
            console.print(f"  {printable(divergence['message'])}", soft_wrap=True)
            for side in ("recorded", "rerun"):
                if divergence[side] is not None:
                    console.print(f"  {side}: {divergence[side]}", soft_wrap=True)
