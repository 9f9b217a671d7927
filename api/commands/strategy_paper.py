"""`truetape strategy start|configure|pause|resume|close`: strategies that the running server trades on paper."""

from collections.abc import Sequence
from typing import Annotated

import typer

from api.commands.options import BOT, JSON
from api.terminal import exits
from domain.errors import InputError

_SET = typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the strategy; may be repeated.")


@exits
def start(
    bot: Annotated[str, typer.Argument(help="The name that it runs under.")],
    strategy: Annotated[str, typer.Argument(help="The strategy, as strategy list names it.")],
    account: Annotated[str, typer.Option(help="The account that it trades on.")],
    instrument: Annotated[str, typer.Option(help="BASE/QUOTE, which the account lists.")],
    values: Annotated[list[str] | None, _SET] = None,
    as_json: JSON = False,
) -> int:
    """Start a strategy on paper; it decides at the close of every candle."""
    from api.remote_views import act

    parameters = {name: value for name, value in _pairs(values or ()) if value}
    body = {"bot": bot, "account": account, "strategy": strategy, "instrument": instrument, "parameters": parameters}
    return act("POST", "strategies", body=body, as_json=as_json)


@exits
def configure(
    bot: BOT,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="What changes; NAME= takes a parameter back. May be repeated."
        ),
    ] = None,
    as_json: JSON = False,
) -> int:
    """Change parameters; what is not named stays. Where its code has changed on disk, that is taken too."""
    from api.remote_views import act

    parameters = {name: value or None for name, value in _pairs(values or ())}
    return act("PATCH", "strategies", bot, body={"parameters": parameters}, as_json=as_json)


@exits
def pause(bot: BOT, as_json: JSON = False) -> int:
    """Let it decide nothing for a while; what works goes on working."""
    return _tell(bot, "pause", as_json=as_json)


@exits
def resume(bot: BOT, as_json: JSON = False) -> int:
    """Let it decide again."""
    return _tell(bot, "resume", as_json=as_json)


@exits
def close(bot: BOT, as_json: JSON = False) -> int:
    """Cancel its orders, close its position at the market, and let it rest; resumed, it begins anew."""
    return _tell(bot, "close", as_json=as_json)


def _pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"--set {text!r} is not NAME=VALUE, such as fast=10")
        if name in dict(pairs):
            raise InputError(f"--set names {name} twice")
        pairs.append((name, value))
    return pairs


def _tell(bot: str, what: str, *, as_json: bool) -> int:
    from api.remote_views import act

    return act("POST", "strategies", bot, what, as_json=as_json)
