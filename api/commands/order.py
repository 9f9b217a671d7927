"""`truetape order`: orders of the running server, and those by hand."""

from typing import Annotated

import typer

from api.commands.options import ACCOUNT, JSON
from api.terminal import exits, print_json

app = typer.Typer(help="Orders of the running server.", rich_markup_mode=None)

_TYPES = {(False, False): "market", (True, False): "limit", (False, True): "stop", (True, True): "stop_limit"}


@app.command("list")
@exits
def list_orders(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only of this bot.")] = None,
    status: Annotated[str | None, typer.Option(help="open, done, or one status, such as filled.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many orders at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List orders, newest first."""
    from api import remote_views as views
    from api.remote import Remote

    found = Remote().items("orders", limit=limit, account=account, bot=bot, status=status)
    if as_json:
        print_json(found)
    else:
        views.orders(found)


@app.command("show")
@exits
def show_order(
    account: ACCOUNT,
    order: Annotated[int, typer.Argument(min=1, help="The order's number, as order list shows it.")],
    as_json: JSON = False,
) -> None:
    """Show all that is known of an order."""
    from api import remote_views as views
    from api.remote import Remote

    found = Remote().get("orders", account, order)
    if as_json:
        print_json(found)
    else:
        views.show_settings({key: value for key, value in found.items() if key != "as_of"})


@app.command("place")
@exits
def place_order(
    account: ACCOUNT,
    side: Annotated[str, typer.Argument(help="buy or sell.")],
    quantity: Annotated[str, typer.Argument(help="How much of the base asset.")],
    instrument: Annotated[str, typer.Argument(help="BASE/QUOTE, which the account lists.")],
    limit: Annotated[str | None, typer.Option(help="At this price or better; without it a market order.")] = None,
    stop: Annotated[str | None, typer.Option(help="Only once the price has come to this.")] = None,
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="Never more than what is held.")] = False,
    as_json: JSON = False,
) -> int:
    """Place an order by hand, such as `order place demo buy 0.01 BTC/USDT --limit 46000`."""
    from api.remote_views import act

    prices = {name: price for name, price in (("limit", limit), ("stop", stop)) if price is not None}
    body = {
        "account": account, "instrument": instrument, "side": side, "quantity": quantity, "reduce_only": reduce_only,
        "type": _TYPES[limit is not None, stop is not None], **prices,
    }  # fmt: skip
    return act("POST", "orders", body=body, as_json=as_json)


@app.command("cancel")
@exits
def cancel_order(
    account: ACCOUNT,
    order: Annotated[int, typer.Argument(min=1, help="The order's number, as order list shows it.")],
    as_json: JSON = False,
) -> int:
    """Ask for an order to be cancelled."""
    from api.remote_views import act

    return act("DELETE", "orders", account, order, as_json=as_json)
