"""`truetape login` and `logout`: who the commands to a running server come from."""

import os
import sys
from typing import Annotated

import typer

from api.commands.options import JSON
from api.terminal import console, exits, print_json
from domain.errors import InputError

FIRST_USER = "admin"


@exits
def login(
    user: Annotated[str | None, typer.Option(help="Else TRUETAPE_USER; asked for without either.")] = None,
    as_json: JSON = False,
) -> None:
    """Log in at the running server, for the commands that talk to it.

    The password is TRUETAPE_PASSWORD, else asked for, or the first line of standard input where that is no terminal.
    """
    from api.remote import Remote, in_the_clear

    remote = Remote()
    if in_the_clear(remote.url):
        print(f"warning: {remote.url} is not encrypted: the password can be read on the way", file=sys.stderr)  # noqa: T201  (plain)
    name = user or os.environ.get("TRUETAPE_USER") or _ask_for_user()
    role = remote.login(name, os.environ.get("TRUETAPE_PASSWORD") or _ask_for_password())
    if as_json:
        print_json({"url": remote.url, "user": name, "role": role})
    else:
        console.print(f"logged in at {remote.url} as {name} ({role})", soft_wrap=True)


@exits
def logout(as_json: JSON = False) -> None:
    """End the session of `truetape login`."""
    from api.remote import Remote

    remote = Remote()
    remote.logout()
    if as_json:
        print_json({"url": remote.url})
    else:
        console.print(f"logged out at {remote.url}", soft_wrap=True)


def _ask_for_user() -> str:
    if not sys.stdin.isatty():
        return FIRST_USER
    return typer.prompt("user", default=FIRST_USER, err=True)  # type: ignore[no-any-return]  # a prompt without a type gives text


def _ask_for_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, err=True))
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise InputError("no password: set TRUETAPE_PASSWORD, or write it to standard input")
    return given
