"""`truetape pool`: how many position groups an account may have open, and who has a slot."""

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import ACCOUNT, JSON, PAIRS
from api.terminal import console, exits, print_json

app = typer.Typer(help="How many groups may be open, and which are.", rich_markup_mode=None)


@app.command("show")
@exits
def show_pool(
    account: ACCOUNT,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the settings as set --config reads them.")] = False,
    as_json: JSON = False,
) -> None:
    """Show an account's pool: its settings and the slots in use."""
    from api import remote_views as views
    from api.remote import Remote

    found = Remote().get("accounts", account, "pool")
    settings = found["settings"]
    if as_json:
        print_json(found)
        return
    if as_toml:
        views.print_table("pool", settings)
        return
    waiting = found["waiting"]
    waits = "1 signal waits" if waiting == 1 else f"{waiting} signals wait"
    console.print(f"{account}: {found['reserved']} of {settings['max_open_groups']} slots in use, {waits}")
    views.show_settings(settings)
    columns: list[views.Column] = [
        ("bot", "bot"), ("signal", views.signal_name), ("trades", "instrument"), ("timeframe", "timeframe"),
        ("side", "direction"), ("at>", "price"), ("group>", "group"), ("since", "reserved_at"),
    ]  # fmt: skip
    views.show_rows(found["slots"], columns, "no slot is in use")


@app.command("set")
@exits
def set_pool(
    account: ACCOUNT,
    pairs: PAIRS = None,
    config: Annotated[Path | None, typer.Option(help="TOML with a [pool] table, which then holds whole.")] = None,
    as_json: JSON = False,
) -> int:
    """Change the pool's settings, such as `pool set demo max_open_groups=3`; what is not named stays as it is."""
    from api.remote_views import put_settings

    place = ("accounts", account, "pool")
    return put_settings("pool", place, (*place, "settings"), pairs or [], config, as_json=as_json)
