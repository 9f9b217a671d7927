"""`truetape as-of`: what the running server's accounts had at a moment of the past."""

from typing import Annotated

import typer

from api.terminal import console, exits, print_json


@exits
def as_of(
    moment: Annotated[str, typer.Argument(help="A position of the log, or a time such as 2026-01-31T09:30:00Z.")],
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show money, positions and open orders as they were known then, folded from the log."""
    from api import remote_views as views
    from api.remote import Remote

    point, found = Remote().picture(views.books(account), moment)
    if as_json:
        print_json({"as_of": point, **found})
        return
    when = f", decided {point['at']}" if point["at"] else ""
    console.print(f"as of position {point['position']:,}{when}")
    views.show_books(found)
