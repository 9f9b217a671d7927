"""`truetape up`: the whole system: database, worker, API, and if asked markets that move."""

import signal
from typing import Annotated

import typer

from api.terminal import console, exits


@exits
def up(
    host: Annotated[str | None, typer.Option(help="Where to listen; else TRUETAPE_HOST, this machine only.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else TRUETAPE_PORT, 8000.")] = None,
    market: Annotated[
        list[str] | None, typer.Option(help="walk:SYMBOL=PRICE or tape:NAME=SYMBOL moves a market; may be repeated.")
    ] = None,
    speed: Annotated[int, typer.Option(min=1, help="How many times faster than its own time a tape plays.")] = 1,
    demo: Annotated[
        bool, typer.Option("--demo", help="Paper accounts, a bot, its webhook, two strategies, a walking market.")
    ] = False,
    origin: Annotated[list[str] | None, typer.Option(help="A web origin that browsers may call from.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No live view.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="End the session of a worker that hangs, and go on in its place.")
    ] = False,
) -> None:
    """Run the server until Ctrl-C; started again, it goes on where it was."""
    from api.demo_desk import WALK
    from api.server import Plan, listen, serve
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings

    # A supervisor's SIGTERM and a terminal that is closed end it as cleanly as Ctrl-C; nohup has the latter ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGINT))
    settings = load_settings()
    markets = [*([WALK] if demo else []), *(market or [])]
    plan = Plan(markets, speed, demo, view=not quiet, origins=origin or (), take_over=take_over)
    chosen = (host or settings.host, settings.port if port is None else port)
    with listen(*chosen) as listening, open_database(settings) as database:
        try:
            serve(database, settings, listening, plan)
        except KeyboardInterrupt:
            console.print("stopped")
