"""`truetape account`: accounts of the running server."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import console, exits, print_json
from domain.errors import InputError

app = typer.Typer(help="Accounts of the running server.", rich_markup_mode=None)

NAME = Annotated[str, typer.Argument(help="The account's name.")]


@app.command("list")
@exits
def list_accounts(as_json: JSON = False) -> None:
    """List the accounts."""
    from api.remote import Remote

    found = Remote().items("accounts")
    if as_json:
        print_json(found)
        return
    show_accounts(found)


def show_accounts(found: Sequence[Mapping[str, Any]]) -> None:
    """Accounts as a table."""
    from api.remote_views import Column, halted, show_rows

    columns: list[Column] = [
        ("account", "account"),
        ("mode", "mode"),
        ("kind", "kind"),
        ("opened", "opened_at"),
        ("halt", halted),
    ]
    show_rows(found, columns, "no accounts: truetape account create")


@app.command("show")
@exits
def show_account(name: NAME, as_json: JSON = False) -> None:
    """Show an account's money, positions and open orders."""
    from api import remote_views as views
    from api.remote import Remote

    remote = Remote()
    account = remote.get("accounts", name)
    point, found = remote.picture(views.books(name))
    if as_json:
        print_json({"account": account, "as_of": point, **found})
        return
    console.print(f"{name}: {account['kind']} on {account['mode']}, opened {account['opened_at']}")
    if account["halt"]:
        console.print(views.halted(account), soft_wrap=True)
    if account["halted_bots"]:
        console.print(f"halted bots: {', '.join(account['halted_bots'])}", soft_wrap=True)
    views.show_books(found)


@app.command("create")
@exits
def create_account(
    name: NAME,
    balance: Annotated[list[str] | None, typer.Option(help="ASSET=AMOUNT at the start; may be repeated.")] = None,
    instrument: Annotated[str | None, typer.Option(help="BASE/QUOTE that it may trade, such as BTC/USDT.")] = None,
    tick: Annotated[str | None, typer.Option(help="Price grid of the instrument.")] = None,
    step: Annotated[str | None, typer.Option(help="Quantity grid of the instrument.")] = None,
    min_notional: Annotated[str, typer.Option(help="Smallest order, in the quote asset.")] = "0",
    maker_fee: Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")] = "0",
    taker_fee: Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")] = "0",
    slippage: Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")] = "0",
    kind: Annotated[str, typer.Option(help="spot, or margin: may be short, at a leverage of one.")] = "spot",
    as_json: JSON = False,
) -> int:
    """Open a paper account."""
    from api.remote_views import act

    listed: list[dict[str, Any]] = []
    if instrument is not None:
        if tick is None or step is None:
            raise InputError("--instrument needs its --tick and --step, such as --tick 0.01 --step 0.00001")
        listed = [
            {
                "symbol": instrument, "tick": tick, "step": step, "min_notional": min_notional, "maker_fee": maker_fee,
                "taker_fee": taker_fee, "slippage": slippage,
            }
        ]  # fmt: skip
    body = {"name": name, "mode": "paper", "kind": kind, "balances": _balances(balance or []), "instruments": listed}
    return act("POST", "accounts", body=body, as_json=as_json)


@app.command("deposit")
@exits
def deposit(
    name: NAME,
    asset: Annotated[str, typer.Argument(help="Such as USDT.")],
    amount: Annotated[str, typer.Argument(help="How much comes in.")],
    as_json: JSON = False,
) -> int:
    """Bring money in from outside."""
    from api.remote_views import act

    return act("POST", "accounts", name, "deposits", body={"asset": asset, "amount": amount}, as_json=as_json)


@app.command("instrument")
@exits
def list_instrument(
    name: NAME,
    instrument: Annotated[str, typer.Argument(help="BASE/QUOTE that it may trade from now on, such as ETH/USDT.")],
    tick: Annotated[str, typer.Option(help="Price grid.")],
    step: Annotated[str, typer.Option(help="Quantity grid.")],
    min_notional: Annotated[str, typer.Option(help="Smallest order, in the quote asset.")] = "0",
    maker_fee: Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")] = "0",
    taker_fee: Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")] = "0",
    slippage: Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")] = "0",
    as_json: JSON = False,
) -> int:
    """Let an account trade a further instrument."""
    from api.remote_views import act

    body = {
        "symbol": instrument, "tick": tick, "step": step, "min_notional": min_notional, "maker_fee": maker_fee,
        "taker_fee": taker_fee, "slippage": slippage,
    }  # fmt: skip
    return act("POST", "accounts", name, "instruments", body=body, as_json=as_json)


def _balances(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        asset, equals, amount = text.partition("=")
        if not (asset and equals and amount) or asset in found:
            raise InputError(f"--balance {text!r} is not ASSET=AMOUNT, each asset once, such as USDT=10000")
        found[asset] = amount
    return found
