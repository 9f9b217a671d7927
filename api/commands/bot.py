"""`truetape bot`: bots of the running server, from creation to deletion."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.options import BOT, JSON, PAIRS
from api.terminal import exits, print_json

app = typer.Typer(help="Bots of the running server.", rich_markup_mode=None)


@app.command("list")
@exits
def list_bots(as_json: JSON = False) -> None:
    """List the bots with what they have made."""
    from api import remote_views as views
    from api.remote import Remote

    found = Remote().items("bots")
    if as_json:
        print_json(found)
    else:
        views.bots([bot for bot in found if bot["status"] != "deleted"])


@app.command("show")
@exits
def show_bot(
    bot: BOT,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the settings as create and set read them.")] = False,
    as_json: JSON = False,
) -> None:
    """Show a bot with its settings, its result and its open orders."""
    from api import remote_views as views
    from api.remote import Remote
    from api.remote_views import shown

    remote = Remote()
    found = remote.get("bots", bot)
    working = remote.items("orders", bot=bot, status="open")
    if as_json:
        print_json({"bot": found, "open_orders": working})
        return
    if as_toml:
        views.print_table("group", found["settings"])
        return
    settings, result = found["settings"], found["pnl"]
    legs = [f"{leg['weight_pct']}% at {leg['gap_pct']}%, out at {leg['take_profit_pct']}%" for leg in settings["legs"]]
    views.show_facts(
        {
            "bot": f"{bot} ({found['strategy']}) on {found['account']}, {found['instrument']}",
            "status": found["status"] + (f", {views.halted(found)}" if found["halt"] else ""),
            "group": f"{_size(settings, result['asset'])} by {settings['entry']}: {'; '.join(legs)}",
            "groups": f"{found['groups']:,}, live: {found['live_group'] or 'none'}",
            "realized": f"{shown(result['realized'])} {result['asset']}, fees {shown(result['fees'])}",
            "unrealized": f"{shown(result['unrealized'])} {result['asset']}",
            "webhook": ", ".join(found["sources"]) or "none: truetape webhook create",
        }
    )
    views.orders(working, "no open orders")


def _size(settings: Mapping[str, Any], asset: str) -> str:
    """How much a group or a pyramid costs, or may lose."""
    from api.remote_views import shown

    if settings["capital"] is not None:
        return f"{shown(settings['capital'])} {asset}"
    if settings["capital_pct_of_equity"] is not None:
        return f"{settings['capital_pct_of_equity']}% of the equity"
    if settings["risk_pct_of_equity"] is not None:
        return f"{settings['risk_pct_of_equity']}% of the equity at risk"
    return f"{shown(settings['risk_amount'])} {asset} at risk"


@app.command("create")
@exits
def create_bot(
    bot: BOT,
    account: Annotated[str, typer.Option(help="The account that it trades on.")],
    instrument: Annotated[str, typer.Option(help="BASE/QUOTE, which the account lists.")],
    config: Annotated[Path, typer.Option(help="TOML with a [group] table, as for a backtest.")],
    strategy: Annotated[str, typer.Option(help="What it trades by.")] = "dca_signals",
    as_json: JSON = False,
) -> int:
    """Create a bot, which then has to be started."""
    import msgspec

    from api.remote_views import act
    from domain.bot.settings import form_of
    from replay.inputs import read_settings

    settings = msgspec.to_builtins(form_of(read_settings(config)))
    body = {"name": bot, "account": account, "strategy": strategy, "instrument": instrument, "settings": settings}
    return act("POST", "bots", body=body, as_json=as_json)


@app.command("set")
@exits
def set_bot(
    bot: BOT,
    pairs: PAIRS = None,
    config: Annotated[Path | None, typer.Option(help="TOML with a [group] table, which then holds whole.")] = None,
    as_json: JSON = False,
) -> int:
    """Change the settings for the next group, such as `bot set dca max_pyramids=2`; what is not named stays."""
    from api.remote_views import put_settings

    path = ("bots", bot, "settings")
    return put_settings("group", path[:2], path, pairs or [], config, within="settings", as_json=as_json)


@app.command("start")
@exits
def start_bot(bot: BOT, as_json: JSON = False) -> int:
    """Let it act on signals."""
    return _tell(bot, "start", as_json=as_json)


@app.command("pause")
@exits
def pause_bot(bot: BOT, as_json: JSON = False) -> int:
    """Let it take no entries for a while; what is open goes on."""
    return _tell(bot, "pause", as_json=as_json)


@app.command("resume")
@exits
def resume_bot(bot: BOT, as_json: JSON = False) -> int:
    """Let a paused bot take entries again."""
    return _tell(bot, "resume", as_json=as_json)


@app.command("stop")
@exits
def stop_bot(bot: BOT, as_json: JSON = False) -> int:
    """Let it act on no signals any more; what is open goes on."""
    return _tell(bot, "stop", as_json=as_json)


@app.command("close")
@exits
def close_bot(bot: BOT, as_json: JSON = False) -> int:
    """Close its live group at the market."""
    return _tell(bot, "close", as_json=as_json)


@app.command("delete")
@exits
def delete_bot(bot: BOT, as_json: JSON = False) -> int:
    """End a bot that is stopped and holds nothing, and its webhook."""
    from api.remote_views import act

    return act("DELETE", "bots", bot, as_json=as_json)


def _tell(bot: str, what: str, *, as_json: bool) -> int:
    from api.remote_views import act

    return act("POST", "bots", bot, what, as_json=as_json)
