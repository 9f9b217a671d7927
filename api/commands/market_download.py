"""`truetape market download`: a venue's public candles become a tape, or extend the one that is there."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.market import DATE_CHARACTERS, duration, show_tape, tape_facts
from api.commands.options import JSON
from api.terminal import console, exits, print_json, progress

if TYPE_CHECKING:
    from domain.values import Time
    from infrastructure.market_data.download import Downloaded

PERCENT = 100


@exits
def download(
    venue: Annotated[str, typer.Argument(help="The venue as ccxt calls it: binance, okx, kraken, bybit, ...")],
    symbol: Annotated[str, typer.Argument(help="BASE/QUOTE, such as BTC/USDT; BTC/USDT:USDT is the perpetual.")],
    timeframe: Annotated[str, typer.Option(help="1m, 5m, 1h, 1d, ...: as the venue has them.")] = "1m",
    since: Annotated[
        str | None, typer.Option("--from", help="UTC ISO date or time; where the tape ends if it is there.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="UTC ISO date or time; now without it.")] = None,
    name: Annotated[str | None, typer.Option(help="The tape's name; VENUE-BASE-QUOTE-TIMEFRAME without it.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="From the venue's test network.")] = False,
    as_json: JSON = False,
) -> None:
    """Download a venue's public candles, within its rate limits. Called again, it goes on where it was, or extends."""
    from infrastructure.market_data.download import Wanted
    from infrastructure.market_data.download import download as download_candles
    from infrastructure.market_data.venue_candles import Series
    from infrastructure.settings import load_settings

    settings = load_settings()
    wanted = Wanted(
        Series(venue, symbol, timeframe, sandbox),
        _time(since),
        _time(until),
        name,
    )
    with progress(f"downloading {wanted.series}", PERCENT, quiet=as_json) as advance:
        done = download_candles(wanted, settings.home, settings.venue_urls.get(venue), advance=advance)
    if as_json:
        print_json(tape_facts(done.stored) | _facts(done))
        return
    show_tape(done.stored)
    _say(done)


def _time(text: str | None) -> "Time | None":
    from domain.values import parse_time

    if text is None:
        return None
    return parse_time(f"{text}T00:00:00Z" if len(text) == DATE_CHARACTERS else text)


def _facts(done: "Downloaded") -> dict[str, Any]:
    header = done.stored.header
    return {
        "new": done.stored.is_new,
        "candles_new": done.candles,
        "candles_resumed": done.resumed,
        "requests": done.requests,
        "seconds": round(done.seconds, 3),
        "missing_at_start_seconds": max(0, header.start - done.since) // 1_000_000,
    }


def _say(done: "Downloaded") -> None:
    from domain.values import time_text

    kept = f", {done.resumed:,} of them kept from before" if done.resumed else ""
    console.print(
        f"{done.candles:,} new candles{kept}; {done.requests:,} requests, {done.seconds:.1f} s", soft_wrap=True
    )
    header = done.stored.header
    if header.start - done.since >= header.interval:
        late = duration((header.start - done.since) // header.interval * header.interval)
        console.print(f"the venue gave none before {time_text(header.start)}: {late} are missing", soft_wrap=True)
