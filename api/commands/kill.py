"""`truetape kill` and `resume`: no new exposure for a bot, an account or everything, until somebody ends that."""

from typing import Annotated

import typer

from api.commands.options import JSON
from api.terminal import exits
from domain.errors import InputError

BOT = Annotated[str | None, typer.Option(help="Only this bot.")]
ACCOUNT = Annotated[str | None, typer.Option(help="Only this account.")]
EVERYTHING = Annotated[bool, typer.Option("--all", help="Every account.")]


@exits
def kill(
    bot: BOT = None,
    account: ACCOUNT = None,
    everything: EVERYTHING = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="Close what is held, at the market.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "by hand",
    as_json: JSON = False,
) -> int:
    """Halt trading: nothing raises exposure any more, what works is cancelled. It survives a restart."""
    from api.remote_views import act

    scope = _scope(bot, account, everything=everything)
    return act("POST", "kill", body={**scope, "flatten": flatten, "reason": reason}, as_json=as_json)


@exits
def resume(bot: BOT = None, account: ACCOUNT = None, everything: EVERYTHING = False, as_json: JSON = False) -> int:
    """End a halt of the same extent; bots that were halted one by one stay so until each is named."""
    from api.remote_views import act

    scope = _scope(bot, account, everything=everything)
    return act("POST", "kill", "resume", body={**scope, "confirm": True}, as_json=as_json)


def _scope(bot: str | None, account: str | None, *, everything: bool) -> dict[str, str]:
    named = {name: value for name, value in (("bot", bot), ("account", account)) if value is not None}
    if len(named) + everything != 1:
        raise InputError("say what: one of --bot NAME, --account NAME and --all")
    scope = "everything" if everything else next(iter(named))
    return {"scope": scope, **named}
