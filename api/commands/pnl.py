"""`truetape pnl`: profit and loss of the running server, summed as asked."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import exits, print_json


@exits
def pnl(
    by: Annotated[str, typer.Option(help="account, bot, group, instrument or day.")] = "account",
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only of this bot.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Only of this instrument.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many sums at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """Sum profit and loss; realized is before fees."""
    from api.remote import Remote

    found = Remote().items("pnl", limit=limit, by=by, account=account, bot=bot, instrument=instrument)
    if as_json:
        print_json(found)
        return
    show_sums(found)


def show_sums(found: Sequence[Mapping[str, Any]]) -> None:
    """Sums of profit and loss as a table."""
    from api.remote_views import Column, amount, show_rows

    summed: list[Column] = [
        (name, name) for name in ("bot", "group", "instrument", "day") if found and found[0][name] is not None
    ]
    columns: list[Column] = [
        ("account", "account"), *summed, ("asset", "asset"), ("realized>", amount("realized")),
        ("unrealized>", amount("unrealized")), ("fees>", amount("fees")), ("turnover>", amount("turnover")),
        ("fills>", "fills"),
    ]  # fmt: skip
    show_rows(found, columns, "no profit and no loss")
