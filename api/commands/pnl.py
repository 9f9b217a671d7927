"""`truetape pnl`: profit and loss of the running server, summed as asked."""

from typing import Annotated

import typer

from api.terminal import exits, print_json


@exits
def pnl(
    by: Annotated[str, typer.Option(help="account, bot, group, instrument or day.")] = "account",
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only of this bot.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Only of this instrument.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many sums at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Sum profit and loss; realized is before fees."""
    from api.remote import Remote
    from api.remote_views import Column, amount, show_rows

    found = Remote().items("pnl", limit=limit, by=by, account=account, bot=bot, instrument=instrument)
    if as_json:
        print_json(found)
        return
    summed: list[Column] = [
        (name, name) for name in ("bot", "group", "instrument", "day") if found and found[0][name] is not None
    ]
    columns: list[Column] = [
        ("account", "account"), *summed, ("asset", "asset"), ("realized>", amount("realized")),
        ("unrealized>", amount("unrealized")), ("fees>", amount("fees")), ("turnover>", amount("turnover")),
        ("fills>", "fills"),
    ]  # fmt: skip
    show_rows(found, columns, "no profit and no loss")
