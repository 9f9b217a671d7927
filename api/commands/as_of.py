"""`truetape as-of`: what the running server would have said at a moment of the past."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import console, exits, print_json
from domain.errors import InputError

Found = Sequence[Mapping[str, Any]]
LISTS = ("accounts", "bots", "deliveries", "fills", "groups", "orders", "pnl", "portfolio", "positions")
"""What can be looked at by itself, named as in the API."""
_LIMIT = 50


@exits
def as_of(
    view: Annotated[str, typer.Argument(metavar="[VIEW]", help=f"{', '.join(LISTS)}; all money without one.")],
    moment: Annotated[
        str | None,
        typer.Argument(metavar="WHEN", help="A position of the log, or a time such as 2026-01-31T09:30:00Z."),
    ] = None,
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Of a view, how many rows at most.")] = _LIMIT,
    as_json: JSON = False,
) -> None:
    """Show a view as it was known then; without one, money, positions and open orders."""
    from api import remote_views as views
    from api.remote import Remote

    if moment is None:
        point, found = Remote().picture(views.books(account), view)
        _show(point, found, lambda: views.show_books(found), as_json=as_json)
        return
    if view not in LISTS:
        raise InputError(f"there is no view {view!r}; allowed: {', '.join(LISTS)}")
    if view in {"accounts", "deliveries"} and account is not None:
        raise InputError(f"the view {view} is of all accounts; leave --account out")
    point, rows = Remote().page(view, limit=limit, account=account, as_of=moment)
    _show(point, {view: rows}, lambda: _table_of(view)(rows), as_json=as_json)


def _show(point: Mapping[str, Any], found: Mapping[str, Any], show: Callable[[], None], *, as_json: bool) -> None:
    if as_json:
        print_json({"as_of": point, **found})
        return
    when = f", decided {point['at']}" if point["at"] else ""
    console.print(f"as of position {point['position']:,}{when}")
    show()


def _table_of(view: str) -> Callable[[Found], None]:
    from api import remote_views as views
    from api.commands.account import show_accounts
    from api.commands.delivery import show_deliveries
    from api.commands.fill import show_fills
    from api.commands.group import show_groups
    from api.commands.pnl import show_sums

    tables: dict[str, Callable[[Found], None]] = {
        "accounts": show_accounts, "bots": views.bots, "deliveries": show_deliveries, "fills": show_fills,
        "groups": show_groups, "orders": views.orders, "pnl": show_sums, "portfolio": views.balances,
        "positions": views.positions,
    }  # fmt: skip
    return tables[view]
