"""`truetape risk`: the limits of an account, its halts, and what ends them."""

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import ACCOUNT, JSON
from api.terminal import console, exits, print_json

app = typer.Typer(help="Limits and halts.", rich_markup_mode=None)

BOT = Annotated[str | None, typer.Option(help="Only this bot of the account.")]


@app.command("show")
@exits
def show_risk(
    account: ACCOUNT,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the limits as set --config reads them.")] = False,
    as_json: JSON = False,
) -> None:
    """Show what an account may do: its trading state and the limits in force."""
    from api import remote_views as views
    from api.remote import Remote

    found = Remote().get("risk", account)
    if as_json:
        print_json(found)
        return
    if as_toml:
        views.print_table("risk", found["limits"])
        return
    since = f"version {found['version']} since {found['set_at']}" if found["version"] else "none set"
    console.print(f"{account}: {found['state']}, limits: {since}")
    for bot, state in found["bots"].items():
        console.print(f"{bot}: {state}")
    views.show_settings(found["limits"])


@app.command("set")
@exits
def set_risk(
    account: ACCOUNT,
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="What changes; KEY= takes a limit off.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML with a [risk] table, which then holds whole.")] = None,
    as_json: JSON = False,
) -> int:
    """Put limits in force, such as `risk set demo currency=USDT daily_loss_max_pct=3`; what is not named stays."""
    from api.remote_views import put_settings

    place = ("risk", account)
    return put_settings("risk", place, (*place, "limits"), pairs or [], config, within="limits", as_json=as_json)


@app.command("halts")
@exits
def list_halts(account: ACCOUNT, as_json: JSON = False) -> None:
    """List the halts there were, newest first, and how long each took."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows

    found = Remote().get("risk", account, "halts")["items"]
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("halt>", "number"), ("bot", "bot"), ("state", "state"), ("halted", "halted_at"), ("resumed", "resumed_at"),
        ("last cancel>", lambda row: _took(row["time_to_last_cancel_us"])),
        ("flat>", lambda row: _took(row["time_to_flat_us"])),
        ("because", lambda row: f"{row['code']}: {row['reason']}"),
    ]  # fmt: skip
    show_rows(found, columns, "no halts")


@app.command("halt")
@exits
def halt(
    account: ACCOUNT,
    bot: BOT = None,
    reducing: Annotated[bool, typer.Option("--reducing", help="Let go on what makes positions smaller.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "by hand",
    as_json: JSON = False,
) -> int:
    """Stop what raises exposure; `truetape kill` also flattens."""
    from api.remote_views import act

    body = {"bot": bot, "state": "REDUCING" if reducing else "HALTED", "reason": reason}
    return act("POST", "risk", account, "halt", body=body, as_json=as_json)


@app.command("resume")
@exits
def resume(
    account: ACCOUNT,
    bot: BOT = None,
    halt: Annotated[int | None, typer.Option(min=1, help="The halt's number; without it you are told which.")] = None,
    as_json: JSON = False,
) -> int:
    """End a halt, by its number: so that nobody ends one that they have not read."""
    from api.remote_views import act

    return act("POST", "risk", account, "resume", body={"bot": bot, "halt": halt}, as_json=as_json)


@app.command("reference")
@exits
def reference(
    account: ACCOUNT,
    index: Annotated[str, typer.Argument(help="The index that the breaker watches, such as INDIAVIX.")],
    price: Annotated[str, typer.Argument(help="Its price now.")],
    as_json: JSON = False,
) -> int:
    """Tell a price of the index that the volatility breaker watches."""
    from api.remote_views import act

    return act("POST", "risk", account, "reference", body={"index": index, "price": price}, as_json=as_json)


def _took(microseconds: int | None) -> str:
    from api.views import grouped

    return "-" if microseconds is None else f"{grouped(str(microseconds))} us"
