"""`truetape lookahead`: whether a strategy sees what was not known then, or decides from what the log does not have."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands import market_options as options
from api.commands.market_options import Market, Terms
from api.commands.options import JSON, spelled
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, printable, progress

if TYPE_CHECKING:
    from replay.honesty import Difference, Findings

SAID = {
    "again": "played again",
    "every": "asked at every candle",
    "stepped": "with its features stepped candle by candle",
    "cut": "on the tape that ends there",
    "higher": "with other, higher candles from there on",
    "lower": "with other, lower candles from there on",
}


@exits
@spelled(place=Market, terms=Terms)
def lookahead(
    place: Market,
    terms: Terms,
    strategy: options.STRATEGY,
    values: options.VALUES = None,
    config: options.CONFIG = None,
    cuts: Annotated[int, typer.Option(min=1, help="At how many candles the tape is cut.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cuts.")] = 1,
    as_json: JSON = False,
) -> int:
    """Look for a strategy that peeks: play it on tapes that are cut, or other ones from a candle on.

    Every feature and every decision before the cut must be the same; so must a second run, one that asks at every candle,
    and features stepped candle by candle. Exit code 1 where a difference is found, or the strategy broke.
    """
    from replay.honesty import runs_of_shift_test, shift_test

    game = options.game_of(strategy, place, terms, config, values or [])
    with progress("runs", runs_of_shift_test(cuts), quiet=as_json) as advance:
        found = shift_test(game, cuts, seed, advance)
    if as_json:
        print_json(_plain(found))
    else:
        _show(found)
    return EXIT_FOUND if found.difference is not None or found.failed else EXIT_CLEAN


def _plain(found: "Findings") -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    if found.difference is not None:
        plain["difference"] |= {name: _time(getattr(found.difference, name)) for name in ("at", "since")}
    return plain


def _show(found: "Findings") -> None:
    for bot, features in found.features.items():
        console.print(f"{bot}: features {', '.join(features) or 'none'}", soft_wrap=True)
    console.print(f"{found.candles:,} candles, {found.decisions:,} decisions, {found.cuts} cuts")
    for bot, error in found.failed.items():
        console.print(printable(f"{bot} broke and decided nothing more: {error}"), soft_wrap=True)
    if found.difference is None:
        console.print("no difference: what it saw and decided was known then")
    else:
        for line in _lines(found.difference):
            console.print(printable(line), soft_wrap=True)


def _lines(difference: "Difference") -> list[str]:
    since = "" if difference.since is None else f", cut at {_time(difference.since)}"
    return [
        f"{difference.name} of {difference.bot} differs at the candle of {_time(difference.at)}{since}",
        f"  as it was: {difference.first}",
        f"  {SAID[difference.test]}: {difference.second}",
    ]


def _time(at: "int | None") -> str | None:
    from domain.values import Time, time_text

    return None if at is None else time_text(Time(at))
