"""`truetape webhook`: where the running server takes alerts for its bots."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from api.commands.options import BOT, JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json
from domain.errors import InputError

if TYPE_CHECKING:
    from api.remote import Remote

app = typer.Typer(help="Webhooks of the running server.", rich_markup_mode=None)

PATH = "/webhooks/tradingview/"
VERDICT_SECONDS = 10.0


@app.command("list")
@exits
def list_webhooks(as_json: JSON = False) -> None:
    """List the webhooks with the last alert of each."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows

    remote = Remote()
    found = [
        {"webhook": webhook, "bot": bot["bot"], "status": bot["status"], "last_delivery": _last(remote, webhook)}
        for bot in remote.items("bots")
        for webhook in bot["sources"]
    ]
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("webhook", "webhook"), ("bot", "bot"), ("status", "status"),
        ("last alert", lambda row: _verdict(row["last_delivery"])),
    ]  # fmt: skip
    show_rows(found, columns, "no webhooks: truetape webhook create")


@app.command("create")
@exits
def create_webhook(
    bot: BOT,
    lag_seconds_max: Annotated[
        int | None, typer.Option(min=1, help="How old an alert may be when it comes; any age without it.")
    ] = None,
    follow: Annotated[
        str, typer.Option(help="Go by an alert's action, or by the position that its strategy should hold.")
    ] = "action",
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="Where a body has a key of our form: action=$.order.action. May be repeated."),
    ] = None,
    as_json: JSON = False,
) -> int:
    """Give a bot its webhook; the address and the secret are shown once."""
    body = {"lag_seconds_max": lag_seconds_max, "follow": follow, "mapping": _mapping(mapping or [])}
    return _shown("webhook", bot, body=body, as_json=as_json)


@app.command("rotate")
@exits
def rotate_webhook(
    bot: BOT,
    grace_seconds: Annotated[int, typer.Option(min=0, help="How long the old address goes on counting.")] = 0,
    as_json: JSON = False,
) -> int:
    """Give a bot's webhook a new address and secret, shown once."""
    return _shown("webhook/rotate", bot, body={"grace_seconds": grace_seconds}, as_json=as_json)


@app.command("show")
@exits
def show_webhook(bot: BOT, as_json: JSON = False) -> None:
    """Show how a bot's webhook reads its alerts; its address and its secret are never shown again."""
    from api.remote import Remote
    from api.remote_views import show_facts

    found = Remote().get("bots", bot, "webhook")
    if as_json:
        print_json(found)
        return
    lag = found["lag_seconds_max"]
    show_facts(
        {
            "webhook": f"{found['webhook']} for {bot}, {found['instrument']}, since {found['opened_at']}",
            "follows": found["follow"],
            "age": "any" if lag is None else f"{lag} s at most",
            **_facts_of(found),
        }
    )


@app.command("mapping")
@exits
def set_mapping(
    bot: BOT,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="Where a body has a key of our form: action=$.order.action. May be repeated."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="No mapping: tell the form by its keys.")] = False,
    as_json: JSON = False,
) -> int:
    """Read a bot's alerts by another mapping, from the next delivery on: all of it, in place of the last one."""
    from api.remote_views import act

    if none == bool(mapping):
        raise InputError("say one of --map KEY=PATH, as often as there are keys, and --none")
    return act("PUT", "bots", bot, "webhook", "mapping", body={"mapping": _mapping(mapping or [])}, as_json=as_json)


@app.command("unauthorized")
@exits
def list_unauthorized(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many deliveries at most.")] = 50, as_json: JSON = False
) -> None:
    """List deliveries with a wrong token, secret or signature, newest first; of their bodies only the shape."""
    from api.remote import Remote
    from api.remote_views import Column, show_rows

    found = Remote().get("webhooks", "unauthorized", limit=limit)["items"]
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("at", "at"), ("from", "address"), ("webhook", "webhook"), ("because", "reason"), ("bytes>", "length"),
        ("begins", "prefix"),
    ]  # fmt: skip
    show_rows(found, columns, "none")


@app.command("test")
@exits
def send_test(
    bot: BOT,
    address: Annotated[
        str | None, typer.Argument(help="What create or rotate showed, or its token; asked for without it.")
    ] = None,
    action: Annotated[str, typer.Option(help="buy, sell or exit.")] = "buy",
    as_json: JSON = False,
) -> int:
    """Send an alert of now for the bot's instrument, as a chart does, and say what became of it.

    It counts as any other: a bot that runs trades on it. Exit 1 where it was not accepted.
    """
    import secrets

    from api.remote import Remote

    remote = Remote()
    symbol = remote.get("bots", bot)["instrument"].replace("/", "")
    identity = f"test-{secrets.token_hex(4)}"
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    alert = {"id": identity, "time": at, "symbol": symbol, "action": action}
    row = remote.deliver(_path(address or _ask_for_address()), alert)["row"]
    found = _find(remote, identity)
    if as_json:
        print_json({"row": row, "alert": alert, "delivery": found})
    elif found is None:
        console.print(f"kept for good as row {row} of the inbox; no verdict within {VERDICT_SECONDS:.0f} seconds")
    else:
        console.print(f"alert {identity}: {_verdict(found)}", soft_wrap=True)
    return EXIT_CLEAN if found is not None and found["verdict"] == "accepted" else EXIT_FOUND


def _facts_of(webhook: Mapping[str, Any]) -> dict[str, str]:
    mapping = webhook["mapping"]
    if not mapping:
        return {"mapping": "none: the form is told by its keys"}
    return {"mapping": f"since {webhook['mapped_at']}", **{f"  {key}": path for key, path in mapping.items()}}


def _mapping(pairs: list[str]) -> dict[str, str]:
    """Refused here in a line, and not only by the server."""
    from domain.signal.paths import check_mapping

    parts = (pair.partition("=") for pair in pairs)
    return check_mapping({key: path for key, _, path in parts})


def _shown(path: str, bot: str, *, body: dict[str, Any], as_json: bool) -> int:
    from api.remote import RefusedError, Remote
    from api.remote_views import show_facts, show_refusal

    remote = Remote()
    try:
        made = remote.command("POST", "bots", bot, *path.split("/"), body=body)
    except RefusedError as refusal:
        return show_refusal(refusal, as_json=as_json)
    address = remote.url + made["path"]
    if as_json:
        print_json({**made, "address": address})
        return EXIT_CLEAN
    show_facts({"webhook": made["webhook"], "secret": made["secret"]})
    console.print(f"address  {address}", soft_wrap=True)
    console.print("Neither the address nor the secret is shown again.")
    return EXIT_CLEAN


def _ask_for_address() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("address", hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _path(address: str) -> str:
    """The path on our server; an address of another server is refused, its token is not ours to send."""
    from api.remote import server_url

    token = address.rpartition("/")[2]
    if address in {token, PATH + token, server_url() + PATH + token} and token.startswith("ttw_"):
        return PATH + token
    where = urlsplit(address).hostname or "that"
    raise InputError(f"{where} is no webhook at {server_url()}; allowed: the address that create showed, or its token")


def _find(remote: "Remote", identity: str) -> dict[str, Any] | None:
    """What became of the alert, once that is known."""
    deadline = time.monotonic() + VERDICT_SECONDS
    while time.monotonic() < deadline:
        for delivery in remote.items("deliveries", limit=50):
            if delivery["alert_id"] == identity:
                return dict(delivery)
        time.sleep(0.1)
    return None


def _last(remote: "Remote", webhook: str) -> dict[str, Any] | None:
    return next(iter(remote.items("deliveries", limit=1, source=webhook)), None)


def _verdict(delivery: dict[str, Any] | None) -> str:
    if delivery is None:
        return "none yet"
    said = f"{delivery['verdict']} at {delivery['at']}"
    if delivery["group"]:
        said += f", group {delivery['group']}"
    return f"{said}, {delivery['code']}: {delivery['reason']}" if delivery["code"] else said
