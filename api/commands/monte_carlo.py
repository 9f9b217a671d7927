"""`truetape monte-carlo`: the trades of a backtest in other orders, to see what of its result was their order."""

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import JSON
from api.terminal import exits, print_json


@exits
def monte_carlo(
    folder: Annotated[Path, typer.Argument(help="What a backtest wrote: its round trips and its summary.")],
    method: Annotated[
        str, typer.Option(help="shuffle: each trade once; bootstrap: as many, drawn from all.")
    ] = "shuffle",
    paths: Annotated[int, typer.Option(help="How many orders are drawn.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same orders.")] = 1,
    as_json: JSON = False,
) -> None:
    """Draw a backtest's trades in other orders, and say how its final equity and its deepest drawdown spread."""
    import msgspec

    from replay.sweep.monte_carlo import read_method, read_trades, simulate

    chosen = read_method(method)
    profits, start, currency = read_trades(folder)
    found = msgspec.to_builtins(simulate(profits, start, chosen, paths, seed))
    if as_json:
        print_json({"currency": currency, **found})
    else:
        from api.search_views import monte_carlo_view

        monte_carlo_view(found, currency)
