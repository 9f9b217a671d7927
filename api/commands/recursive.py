"""`truetape recursive`: how much of what a strategy sees and decides depends on where its tape begins."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands import market_options as options
from api.commands.market_options import Market, Terms
from api.commands.options import JSON, spelled
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, progress

if TYPE_CHECKING:
    from replay.start_dependence import Drift, Parting, StartReport

TOLERANCE = 1e-9


@exits
@spelled(place=Market, terms=Terms)
def recursive(
    place: Market,
    terms: Terms,
    strategy: options.STRATEGY,
    values: options.VALUES = None,
    config: options.CONFIG = None,
    later: Annotated[
        list[int] | None, typer.Option(min=1, help="Begin so many candles later; may be repeated.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="The relative difference that may be left in the end.")] = (
        TOLERANCE
    ),
    as_json: JSON = False,
) -> int:
    """Play a strategy on its tape from later candles on, and compare features and decisions at the same candles.

    Exit code 1 where a feature still differs by more than --tolerance after the most candles that there are.
    """
    from replay.start_dependence import BEGINS, start_test

    game = options.game_of(strategy, place, terms, config, values or [])
    begins = later or BEGINS
    with progress("runs", 1 + len(begins), quiet=as_json) as advance:
        found = start_test(game, begins, advance=advance)
    if as_json:
        print_json(_plain(found))
    else:
        _show(found)
    return EXIT_FOUND if any(drift.rest > tolerance for drift in found.drifts) else EXIT_CLEAN


def _plain(found: "StartReport") -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found, str_keys=True)
    for each, parting in zip(plain["partings"], found.partings, strict=True):
        each["last"] = _last(parting)
    return plain


def _show(found: "StartReport") -> None:
    from api.remote_views import show_rows

    counts = list(found.drifts[0].after) if found.drifts else []
    told = f"{found.candles:,} candles; largest relative difference after so many candles of the later tape"
    console.print(told, soft_wrap=True)
    rows = [_drift_row(drift) for drift in found.drifts]
    columns = [("strategy", "bot"), ("feature", "feature"), ("begins later>", "later")]
    columns += [(f"after {count}>", str(count)) for count in counts]
    show_rows(rows, columns, "no features")
    rows = [_parting_row(parting) for parting in found.partings]
    columns = [("strategy", "bot"), ("begins later>", "later"), ("decisions>", "whole"), ("of the later>", "late")]
    show_rows(rows, [*columns, ("the same>", "same"), ("last that differs", "last")], "no decisions")


def _drift_row(drift: "Drift") -> dict[str, Any]:
    rests = {str(count): "-" if rest is None else f"{rest:.3g}" for count, rest in drift.after.items()}
    return {"bot": drift.bot, "feature": drift.feature, "later": drift.later, **rests}


def _parting_row(parting: "Parting") -> dict[str, Any]:
    return {
        "bot": parting.bot, "later": parting.later, "whole": parting.whole, "late": parting.late, "same": parting.same,
        "last": _last(parting) or "none",
    }  # fmt: skip


def _last(parting: "Parting") -> str | None:
    from domain.values import time_text

    return None if parting.last is None else time_text(parting.last)
