"""`truetape projections`: the read models, rebuilt from the log or held against it, and the history of their rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, printable
from domain.errors import InputError

if TYPE_CHECKING:
    from infrastructure.row_rebuild import Difference, Rebuilt
    from projections.rows import Projection

app = typer.Typer(help="Rebuild the read models from the log.", rich_markup_mode=None)
SHOWN = 20


@app.callback()
def group() -> None:
    """Rebuild the read models from the log."""


@app.command("rebuild")
@exits
def rebuild(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these projections; all unless told.")
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; say what would change, exit 1 if any.")] = False,
    as_json: JSON = False,
) -> int:
    """Fold the whole log again and put the new rows in the place of the old ones."""
    from infrastructure import row_rebuild
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings

    projections = _named(names or [])
    with open_database(load_settings()) as database:
        if diff:
            return _show_differences(row_rebuild.differences(database, projections), as_json=as_json)
        rebuilt = row_rebuild.rebuild(database, projections)
    return _show_rebuilt(rebuilt, as_json=as_json)


def _named(names: Sequence[str]) -> "Sequence[Projection]":
    from projections.catalogue import PROJECTIONS

    known = {each.name: each for each in PROJECTIONS}
    for name in names:
        if name not in known:
            raise InputError(f"there is no projection {name}; there are {', '.join(known)}")
    return [each for each in PROJECTIONS if not names or each.name in names]


def _show_rebuilt(rebuilt: "Rebuilt", *, as_json: bool) -> int:
    """Exit 1 where a projection could not be rebuilt: its rows are the old ones."""
    if as_json:
        print_json({"reached": rebuilt.reached, "stopped": {name: str(why) for name, why in rebuilt.stopped.items()}})
    else:
        if rebuilt.reached:
            position = max(rebuilt.reached.values())
            console.print(f"rebuilt to position {position:,}: {', '.join(rebuilt.reached)}", soft_wrap=True)
        for name, why in rebuilt.stopped.items():
            console.print(printable(f"not rebuilt, the old rows stay: {name}: {why}"), soft_wrap=True)
    return EXIT_FOUND if rebuilt.stopped else EXIT_CLEAN


def _show_differences(found: "Sequence[Difference]", *, as_json: bool) -> int:
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found))
    elif not found:
        console.print("nothing differs")
    else:
        for difference in found[:SHOWN]:
            key = ", ".join(map(str, difference.key))
            changes = "; ".join(f"{name}: {old} -> {new}" for name, (old, new) in difference.fields.items())
            said = f"{difference.kind} {difference.table} of run {difference.run} ({key}) {changes}"
            console.print(printable(said.rstrip()), soft_wrap=True)
        console.print(f"{len(found):,} rows differ")
    return EXIT_FOUND if found else EXIT_CLEAN


@app.command("history")
@exits
def history(
    anew: Annotated[bool, typer.Option("--anew", help="Forget the history first, and fold all of it again.")] = False,
    as_json: JSON = False,
) -> None:
    """Seal the log and keep the history of the rows up to there, so that any moment is read at once."""
    from infrastructure.database import open_database
    from infrastructure.event_store.segments import seal
    from infrastructure.row_history import begin_anew, keep_history
    from infrastructure.row_views import log_end
    from infrastructure.settings import load_settings

    with open_database(load_settings()) as database:
        if anew:
            begin_anew(database)
        sealed, reached, last = seal(database), keep_history(database), log_end(database)
    if as_json:
        print_json({"sealed": sealed, "position": reached, "log": last})
    else:
        console.print(f"the history of the rows goes to position {reached:,} of {last:,}")
