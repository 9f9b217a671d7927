"""`truetape queue`: signals that wait for a slot of an account's pool."""

from typing import Annotated

import typer

from api.commands.options import ACCOUNT, JSON
from api.terminal import exits, print_json
from domain.errors import InputError

app = typer.Typer(help="Signals that wait for a slot.", rich_markup_mode=None)

BOT = Annotated[str, typer.Argument(help="The bot that the signal is for.")]
SIGNAL = Annotated[str, typer.Argument(help="The signal as queue list names it: SOURCE/NUMBER.")]


@app.command("list")
@exits
def list_queue(
    account: ACCOUNT,
    status: Annotated[str, typer.Option(help="waiting, promoted, replaced, expired, removed, or all.")] = "waiting",
    bot: Annotated[str | None, typer.Option(help="Only of this bot.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many signals at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List the signals that wait, newest first; with --status what became of others."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows, signal_name

    wanted = None if status == "all" else status
    remote = Remote()
    remote.get("accounts", account)  # a queue of nobody is empty too
    found = remote.items("accounts", account, "queue", limit=limit, status=wanted, bot=bot)
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("bot", "bot"), ("signal", signal_name), ("trades", "instrument"), ("timeframe", "timeframe"),
        ("side", "direction"), ("at>", "price"), ("group>", "group"), ("replaced>", "replacements"),
        ("first>", lambda row: str(row["preferred"] or "-")), ("since", "queued_at"), ("expires", "expires_at"),
        ("status", lambda row: row["status"] + (f": {row['reason']}" if row["reason"] else "")),
    ]  # fmt: skip
    show_rows(found, columns, "no signal waits" if status == "waiting" else "no signals")


@app.command("promote")
@exits
def promote(account: ACCOUNT, bot: BOT, signal: SIGNAL, as_json: JSON = False) -> int:
    """Give a signal the next free slot, before all others that wait."""
    from api.remote_views import act

    return act("POST", "accounts", account, "queue", "promote", body=_named(bot, signal), as_json=as_json)


@app.command("remove")
@exits
def remove(
    account: ACCOUNT,
    bot: BOT,
    signal: SIGNAL,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "by hand",
    as_json: JSON = False,
) -> int:
    """Let a signal wait no longer."""
    from api.remote_views import act

    body = {**_named(bot, signal), "reason": reason}
    return act("POST", "accounts", account, "queue", "remove", body=body, as_json=as_json)


def _named(bot: str, signal: str) -> dict[str, str | int]:
    source, _, number = signal.rpartition("/")
    if not (source and number.isascii() and number.isdigit()):
        raise InputError(f"{signal!r} is no signal; allowed: SOURCE/NUMBER, as queue list shows it")
    return {"bot": bot, "source": source, "number": int(number)}
