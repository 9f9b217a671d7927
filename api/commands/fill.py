"""`truetape fill`: trades of the running server."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import exits, print_json

app = typer.Typer(help="Fills of the running server.", rich_markup_mode=None)


@app.command("list")
@exits
def list_fills(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only of this bot.")] = None,
    order: Annotated[int | None, typer.Option(min=1, help="Only of this order.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many fills at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List fills, newest first."""
    from api.remote import Remote

    found = Remote().items("fills", limit=limit, account=account, bot=bot, order=order)
    if as_json:
        print_json(found)
        return
    show_fills(found)


def show_fills(found: Sequence[Mapping[str, Any]]) -> None:
    """Fills as a table."""
    from api.remote_views import Column, amount, show_rows

    columns: list[Column] = [
        ("at", "at"), ("account", "account"), ("order>", "order"), ("bot", "bot"), ("group>", "group"),
        ("what", lambda row: f"{row['side']} {row['quantity']} {row['instrument']}"), ("at price>", amount("price")),
        ("cash>", amount("cash")), ("fee>", amount("fee")), ("of", "fee_asset"),
    ]  # fmt: skip
    show_rows(found, columns, "no fills")
