"""`truetape market prices`: what the accounts of the running server may trade, and the last prices there."""

from typing import Annotated

import typer

from api.commands.options import JSON
from api.terminal import exits, print_json


@exits
def prices(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    as_json: JSON = False,
) -> None:
    """List the running server's instruments with their grids, fees and last prices."""
    from api.remote import Remote
    from api.remote_views import Column, amount, show_rows

    found = Remote().items("market", account=account)
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("account", "account"), ("instrument", "instrument"), ("tick>", "tick"), ("step>", "step"),
        ("at least>", amount("minimum_notional")), ("maker>", "maker_fee"), ("taker>", "taker_fee"),
        ("last>", lambda row: row["last"]["price"] if row["last"] else "-"),
        ("at", lambda row: row["last"]["at"] if row["last"] else "-"),
    ]  # fmt: skip
    show_rows(found, columns, "no instruments: truetape account instrument")
