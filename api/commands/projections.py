"""`truetape projections`: the read models, rebuilt from the log or held against it."""

from typing import Annotated

import typer

from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, printable

app = typer.Typer(help="Rebuild the read models from the log.", rich_markup_mode=None)
SHOWN = 20


@app.callback()
def group() -> None:
    """Rebuild the read models from the log."""


@app.command("rebuild")
@exits
def rebuild(
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; say what would change, exit 1 if any.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Fold the whole log again and put the new rows in the place of the old ones."""
    from infrastructure import read_models
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings
    from projections import PROJECTIONS

    with open_database(load_settings()) as database:
        if not diff:
            reached = {each.name: read_models.rebuild(database, each) for each in PROJECTIONS}
            if as_json:
                print_json(reached)
            else:
                console.print(f"rebuilt to position {max(reached.values(), default=0):,}: {', '.join(reached)}")
            return EXIT_CLEAN
        found = [difference for each in PROJECTIONS for difference in read_models.differences(database, each)]
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
