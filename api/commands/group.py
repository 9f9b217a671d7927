"""`truetape group`: position groups of the running server, and their legs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from api.commands.options import BOT, JSON
from api.terminal import exits, print_json

app = typer.Typer(help="Position groups and their legs.", rich_markup_mode=None)


@app.command("list")
@exits
def list_groups(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only of this bot.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Only of this instrument.")] = None,
    status: Annotated[str | None, typer.Option(help="open, exiting or closed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many groups at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List position groups, newest first; `truetape bot close` closes a bot's live one."""
    from api.remote import Remote

    found = Remote().items(
        "groups", limit=limit, account=account, bot=bot, instrument=instrument, status=status
    )  # fmt: skip
    if as_json:
        print_json(found)
        return
    show_groups(found)


def show_groups(found: Sequence[Mapping[str, Any]]) -> None:
    """Position groups as a table."""
    from api.remote_views import Column, amount, show_rows

    columns: list[Column] = [
        ("bot", "bot"), ("group>", "group"), ("trades", "instrument"), ("side", "direction"), ("entry>", "entry"),
        ("pyramids>", "pyramids"), ("held>", amount("held")), ("cost>", amount("cost")),
        ("realized>", amount("realized")), ("unrealized>", amount("unrealized")), ("opened", "opened_at"),
        ("status", lambda row: row["status"] + (f": {row['reason']}" if row["reason"] else "")),
    ]  # fmt: skip
    show_rows(found, columns, "no groups")


@app.command("show")
@exits
def show_group(
    bot: BOT,
    group: Annotated[int, typer.Argument(min=1, help="The group's number, as group list shows it.")],
    as_json: JSON = False,
) -> None:
    """Show a position group with its legs, its stop and its targets."""
    from api import remote_views as views
    from api.remote import Remote
    from api.remote_views import amount, shown

    found = Remote().get("groups", bot, group)
    if as_json:
        print_json(found)
        return
    ends = [f"{name} {shown(found[key])}" for name, key in _ENDS.items() if found[key] is not None]
    views.show_facts(
        {
            "group": f"{bot}/{group}: {found['direction']} {found['instrument']} on {found['account']}",
            "status": found["status"] + (f": {found['reason']}" if found["reason"] else ""),
            "held": f"{shown(found['held'])}, cost {shown(found['cost'])}, {found['pyramids']} pyramids",
            "ends": "; ".join([f"take profit {found['take_profit']}", *ends]),
            "realized": f"{shown(found['realized'])}, fees {shown(found['fees'])}",
            "unrealized": shown(found["unrealized"]),
            "opened": found["opened_at"] + (f", closed {found['closed_at']}" if found["closed_at"] else ""),
        }
    )
    columns: list[views.Column] = [
        ("leg>", "leg"), ("type", "type"), ("at>", amount("price")), ("quantity>", amount("quantity")),
        ("filled>", amount("filled")), ("held>", amount("held")), ("target>", amount("target_price")),
        ("target filled>", amount("target_filled")),
        ("status", lambda row: row["status"] + (f": {row['reason']}" if row["reason"] else "")),
    ]  # fmt: skip
    views.show_rows(found["legs"], columns, "no legs")


_ENDS = {"stop": "stop_price", "target": "target_price"}
