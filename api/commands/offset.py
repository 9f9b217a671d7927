"""`truetape offset`: closing the worst loser with parts of the best winners, by the account's rules and by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.options import ACCOUNT, JSON, PAIRS
from api.terminal import exits, print_json

app = typer.Typer(help="Losers that winners pay for.", rich_markup_mode=None)

BOT = Annotated[str, typer.Argument(help="The bot that the group is of.")]
GROUP = Annotated[int, typer.Argument(min=1, help="The group's number, as offset show has it.")]
LIMIT = Annotated[int, typer.Option(min=1, help="How many at most.")]


@app.command("show")
@exits
def show_offset(
    account: ACCOUNT,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the settings as set --config reads them.")] = False,
    as_json: JSON = False,
) -> None:
    """Show an account's risk offset: settings, what is under way, why nothing happened last, and the groups it watches."""
    from api import remote_views as views
    from api.remote import Remote

    found = Remote().get("accounts", account, "offset")
    if as_json:
        print_json(found)
        return
    if as_toml:
        views.print_table("offset", found["settings"])
        return
    views.show_settings(found["settings"])
    under_way, latest = found["under_way"], found["latest"]
    views.show_facts(
        {
            "skip": "the next loser is passed over" if found["skip"] else "-",
            "under way": "-" if under_way is None else _under_way(under_way),
            "latest": "-" if latest is None else _latest(latest),
        }
    )
    columns: list[views.Column] = [
        ("bot", "bot"), ("group>", "group"), ("opened", "opened_at"), ("pyramids at most>", "max_pyramids"),
        ("waits from", "timer_from"), ("ready", "ready_at"), ("blocked", lambda row: "yes" if row["blocked"] else "-"),
    ]  # fmt: skip
    views.show_rows(found["groups"], columns, "no group is live")


@app.command("evaluations")
@exits
def list_evaluations(account: ACCOUNT, limit: LIMIT = 20, as_json: JSON = False) -> None:
    """List the evaluations after which nothing happened, newest first."""
    from api.remote import Remote
    from api.remote_views import Column, amount, show_rows

    found = Remote().items("accounts", account, "offset", "evaluations", limit=limit)
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("evaluation>", "number"), ("at", "at"), ("outcome", "outcome"), ("needed>", amount("needed")),
        ("available>", amount("available")), ("losers>", "losers_count"), ("winners>", "winners_count"),
    ]  # fmt: skip
    show_rows(found, columns, "no evaluations: truetape offset evaluate")


@app.command("list")
@exits
def list_offsets(
    account: ACCOUNT,
    status: Annotated[str | None, typer.Option(help="paying, closing, completed or abandoned.")] = None,
    limit: LIMIT = 20,
    as_json: JSON = False,
) -> None:
    """List the offsets, newest first: which loser, what was needed, what was paid and lost."""
    from api.remote import Remote
    from api.remote_views import Column, amount, show_rows

    found = Remote().items("accounts", account, "offset", "offsets", limit=limit, status=status)
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("offset>", "number"), ("chosen", "chosen_at"), ("bot", "bot"), ("group>", "group"), ("trades", "instrument"),
        ("needed>", amount("needed")), ("paid>", amount("paid")), ("lost>", amount("lost")),
        ("result>", amount("result")), ("status", _ended),
    ]  # fmt: skip
    show_rows(found, columns, "no offsets")


@app.command("set")
@exits
def set_offset(
    account: ACCOUNT,
    pairs: PAIRS = None,
    config: Annotated[Path | None, typer.Option(help="TOML with an [offset] table, which then holds whole.")] = None,
    as_json: JSON = False,
) -> int:
    """Change the settings, such as `offset set demo loss_threshold_pct=-7`; the first time also begins it."""
    from api.remote_views import put_settings

    place = ("accounts", account, "offset")
    return put_settings("offset", place, (*place, "settings"), pairs or [], config, as_json=as_json)


@app.command("evaluate")
@exits
def evaluate(account: ACCOUNT, as_json: JSON = False) -> int:
    """Look now, by all the rules, and act on what is found."""
    return _tell(account, "run", as_json=as_json)


@app.command("skip")
@exits
def skip(account: ACCOUNT, as_json: JSON = False) -> int:
    """Pass over the next loser that would be closed, once."""
    return _tell(account, "skip", as_json=as_json)


@app.command("block")
@exits
def block(account: ACCOUNT, bot: BOT, group: GROUP, as_json: JSON = False) -> int:
    """Keep a group out: it is neither closed nor made to pay."""
    return _tell(account, "block", {"bot": bot, "group": group}, as_json=as_json)


@app.command("unblock")
@exits
def unblock(account: ACCOUNT, bot: BOT, group: GROUP, as_json: JSON = False) -> int:
    """Let a group take part again."""
    return _tell(account, "unblock", {"bot": bot, "group": group}, as_json=as_json)


def _tell(account: str, what: str, body: Any = None, *, as_json: bool) -> int:
    from api.remote_views import act

    return act("POST", "accounts", account, "offset", what, body=body, as_json=as_json)


def _under_way(row: Mapping[str, Any]) -> str:
    from api.remote_views import shown

    parts = ", ".join(f"{each['bot']}/{each['group']}" for each in row["parts"])
    return f"{row['bot']}/{row['group']} needs {shown(row['needed'])}, paid {shown(row['paid'])} so far by {parts}"


def _latest(row: Mapping[str, Any]) -> str:
    from api.remote_views import shown

    said = f"{row['outcome'].replace('_', ' ')} at {row['at']}"
    if row["losers_count"]:
        said += f": {row['losers_count']} losers, {shown(row['available'])} of {shown(row['needed'])} available"
    return said


def _ended(row: Mapping[str, Any]) -> str:
    status = row["status"].replace("_", " ")
    return f"{status} {row['code']}: {row['reason']}" if row["code"] else status
