"""`truetape delivery`: what was delivered to the webhooks of the running server, and what became of it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import console, exits, print_json

app = typer.Typer(help="Alerts as they came, and their verdicts.", rich_markup_mode=None)


@app.command("list")
@exits
def list_deliveries(
    bot: Annotated[str | None, typer.Option(help="Only for this bot.")] = None,
    source: Annotated[str | None, typer.Option(help="Only of this webhook.")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="accepted, duplicate, stale, malformed, refused, queued or replaced.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many deliveries at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List deliveries of alerts, newest first, with the verdict on each."""
    from api.remote import Remote

    found = Remote().items("deliveries", limit=limit, bot=bot, source=source, verdict=verdict)
    if as_json:
        print_json(found)
        return
    show_deliveries(found)


def show_deliveries(found: Sequence[Mapping[str, Any]]) -> None:
    """Deliveries as a table."""
    from api.remote_views import Column, show_rows, signal_name

    columns: list[Column] = [
        ("at", "at"), ("signal", signal_name), ("bot", "bot"), ("alert", "alert_id"), ("action", "action"),
        ("price>", "price"), ("group>", "group"), ("verdict", "verdict"),
        ("because", lambda row: f"{row['code']}: {row['reason']}" if row["code"] else "-"),
    ]  # fmt: skip
    show_rows(found, columns, "no deliveries")


@app.command("show")
@exits
def show_delivery(
    source: Annotated[str, typer.Argument(help="The webhook.")],
    number: Annotated[int, typer.Argument(min=1, help="The delivery's number there.")],
    as_json: JSON = False,
) -> None:
    """Show a delivery with its body, secrets redacted."""
    from api.remote import Remote
    from api.remote_views import show_facts

    found = Remote().get("deliveries", source, number)
    if as_json:
        print_json(found)
        return
    body = found["body"]
    show_facts({key: value for key, value in found.items() if value is not None and key not in {"body", "as_of"}})
    console.print(body, soft_wrap=True)
