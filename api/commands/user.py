"""`truetape user`: who may log in at the running server, as what, and what they did about access."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from api.commands.options import JSON
from api.terminal import exits, print_json
from domain.errors import InputError

app = typer.Typer(help="Who may log in, and as what.", rich_markup_mode=None)

NAME = Annotated[str, typer.Argument(help="The user's name.")]
ROLE_HELP = "viewer, auditor, trader or admin."
VARIABLE = "TRUETAPE_NEW_PASSWORD"


@app.command("list")
@exits
def list_users(as_json: JSON = False) -> None:
    """List the users."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows

    found = Remote().get("users")["items"]
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("user", "name"), ("role", "role"), ("disabled", lambda row: "yes" if row["disabled"] else "-"),
        ("since", "created_at"),
    ]  # fmt: skip
    show_rows(found, columns, "no users")


@app.command("create")
@exits
def create_user(name: NAME, role: Annotated[str, typer.Option(help=ROLE_HELP)], as_json: JSON = False) -> int:
    """Add a user; the password is TRUETAPE_NEW_PASSWORD, else asked for, or the first line of standard input."""
    return _change("POST", name, {"name": name, "role": role, "password": _ask_for_password()}, as_json=as_json)


@app.command("change")
@exits
def change_user(
    name: NAME,
    role: Annotated[str | None, typer.Option(help=ROLE_HELP)] = None,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Whether they may not log in any more.")
    ] = None,
    password: Annotated[bool, typer.Option("--password", help="Give a new one, as create does.")] = False,
    as_json: JSON = False,
) -> int:
    """Change a user's role or password, disable or enable; their sessions end with it."""
    given: dict[str, object] = {"role": role, "disabled": disabled}
    body = {key: value for key, value in given.items() if value is not None}
    if password:
        body["password"] = _ask_for_password()
    if not body:
        raise InputError("say what to change: --role, --disable, --enable or --password")
    return _change("PATCH", name, body, as_json=as_json)


@app.command("log")
@exits
def access_log(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many lines at most.")] = 50, as_json: JSON = False
) -> None:
    """List what was done about access, newest first: logins, users, webhooks."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows

    found = Remote().get("auth", "log", limit=limit)["items"]
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("at", "at"), ("by", "actor"), ("did", "action"), ("about", "subject"), ("from", "address"),
    ]  # fmt: skip
    show_rows(found, columns, "nothing was done")


def _change(method: str, name: str, body: Mapping[str, object], *, as_json: bool) -> int:
    from api.remote import RefusedError, Remote
    from api.remote_views import show_facts, show_refusal
    from api.terminal import EXIT_CLEAN

    path = ("users",) if method == "POST" else ("users", name)
    try:
        done = Remote().command(method, *path, body=body)
    except RefusedError as refusal:
        return show_refusal(refusal, as_json=as_json)
    if as_json:
        print_json(done)
    else:
        show_facts({"user": done["name"], "role": done["role"], "disabled": "yes" if done["disabled"] else "no"})
    return EXIT_CLEAN


def _ask_for_password() -> str:
    given = os.environ.get(VARIABLE)
    if given:
        return given
    if sys.stdin.isatty():
        return str(typer.prompt("new password", hide_input=True, confirmation_prompt=True, err=True))
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise InputError(f"no password: set {VARIABLE}, or write it to standard input")
    return given
