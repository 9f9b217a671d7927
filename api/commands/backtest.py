"""`truetape backtest`: a strategy, or recorded alerts, over candles of one instrument or of several, to results and a log."""

import gc
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from msgspec import Struct

from api.commands import market_options as options
from api.commands.market_options import Market, Terms
from api.commands.options import JSON, spelled
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress
from domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infrastructure.event_store.database import Database
    from infrastructure.market_data.shelf import Stored
    from infrastructure.venues.simulated_market import TimedAlert
    from replay.game import Game
    from replay.plan import Account, Plan
    from replay.table_process import TableProcess

DCA = "dca_signals"
BYTES_MIN, CSV_BYTES_MIN = 2_000_000, 8_000_000
"""What 100,000 candles take, packed and as text."""
STRATEGY = Annotated[
    str, typer.Argument(help="sma_cross, grid, ..., or a file: my.py; dca_signals: position groups from alerts.")
]
OUT = Annotated[Path, typer.Option(help="Folder for report.html, summary.json, fills.csv, ...; it may be new.")]
SIGNALS = Annotated[Path | None, typer.Option(help="Recorded alerts, JSON lines, for dca_signals.")]
FEED = Annotated[str, typer.Option(help="skip, plain, every: how the tape is gone through; the log is the same.")]
LINES = Annotated[
    bool | None, typer.Option("--lines/--no-lines", help="Write events.jsonl too; with dca_signals it is.")
]
KEEP = Annotated[bool, typer.Option("--keep", help="Keep the run in Postgres.")]


@exits
@spelled(place=Market, terms=Terms)
def backtest(
    place: Market,
    terms: Terms,
    strategy: STRATEGY,
    out: OUT,
    values: options.VALUES = None,
    config: options.CONFIG = None,
    signals: SIGNALS = None,
    feed: FEED = "skip",
    periods: options.PERIODS = 365,
    lines: LINES = None,
    keep: KEEP = False,
    as_json: JSON = False,
) -> int:
    """Run a strategy over candles, and write what happened, with a report to open in a browser.

    One instrument is said by --instrument with --candles, --tape or --market, several by [[instruments]] in the
    configuration. dca_signals needs --signals, --config, --tick and --step. Exit code 1 where a strategy broke.
    """
    from infrastructure.data_folder import checked_home

    home = checked_home()
    with ExitStack() as stack:
        # Modules stay: while they load, the collector would walk all of them again and again for nothing.
        stack.callback(gc.enable)
        gc.disable()
        # Begun before the imports below, which take as long as its own.
        tables = _tables_beside(stack, place, out, home)
        from infrastructure.heap import keep_freed_memory
        from infrastructure.venues.lane import PACES
        from replay.plan import check_one_of
        from replay.session import Asked, Stopwatch, carry_out, check_folder

        keep_freed_memory()
        check_one_of("--feed", feed, PACES)
        options.check(place, terms)
        writes_lines = strategy == DCA if lines is None else lines
        asked = Asked(lines=writes_lines, pace=cast("Any", feed), periods_per_year=periods)
        watch = Stopwatch()
        with watch.phase("import"):
            prepared = _prepared(strategy, place, terms, config, signals, values or [])
            check_folder(out)
        with watch.phase("write"):
            database = _database(stack) if keep else None
        # All that could be refused without the candles has been; from here on things are written.
        with watch.phase("import"):
            stored = prepared.stored(home)
        with watch.phase("load"):
            game = prepared.game(stored)
        _make_folder(out)
        gc.enable()
        with progress("candles", game.candles, quiet=as_json) as advance:
            summary = carry_out(game, out, watch, database, advance, asked, tables)
    return show(summary, out, as_json=as_json)


def _tables_beside(stack: ExitStack, place: Market, out: Path, home: Path) -> "TableProcess | None":
    """A process for the tables of what looks like a long run, by the size of its file; a wrong guess costs nothing but time."""
    path = place.candles or home / "market" / f"{place.tape}.parquet"
    is_cut = place.start is not None or place.end is not None
    least = CSV_BYTES_MIN if path.suffix == ".csv" else BYTES_MIN
    if is_cut or not path.is_file() or path.stat().st_size < least:
        return None
    from replay.table_process import TableProcess

    return stack.enter_context(TableProcess(out))


def _database(stack: ExitStack) -> "Database":
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings

    return stack.enter_context(open_database(load_settings()))


class Prepared(Struct, frozen=True):
    """What is run, checked as far as it can be without candles."""

    stored: "Callable[[Path], Sequence[Stored]]"
    game: "Callable[[Sequence[Stored]], Game]"


def _prepared(
    strategy: str, market: Market, terms: Terms, config: Path | None, signals: Path | None, values: list[str]
) -> Prepared:
    if strategy != DCA:
        _check_name(strategy)
        options.refuse(strategy, {"--signals": signals})
        plan, asked = options.plan_of(strategy, market, config, values), options.account_of(terms)
        return Prepared(plan.stored, lambda stored: plan.game(asked, stored))
    others = {
        "--set": values,
        "--tape": market.tape,
        "--market": market.market,
        "--from": market.start,
        "--to": market.end,
    }
    options.refuse(DCA, others)
    for name, value in (("--signals", signals), ("--config", config)):
        if value is None:
            raise typer.BadParameter(f"{DCA} needs it", param_hint=name)
    assert signals is not None
    assert config is not None
    return _alerts(market, terms, signals, config)


def _check_name(strategy: str) -> None:
    from domain.strategy.registry import strategies
    from infrastructure.strategy_file import SUFFIX

    if strategy in strategies() or strategy.endswith(SUFFIX):
        return
    from api.available import available_names
    from infrastructure.plugins import load_plugins

    load_plugins()
    names = available_names()
    if strategy not in names:
        raise InputError(
            f"strategy {strategy!r} is not known; allowed: {', '.join(names)}, or a file that ends in {SUFFIX}"
        )


def _alerts(market: Market, terms: Terms, signals: Path, config: Path) -> Prepared:
    """Recorded alerts, for bots with position groups."""
    from replay.inputs import read_signals

    plan, asked = _plan(market, config), options.account_of(terms)
    alerts = read_signals(signals, plan.route())
    plan.check(asked)
    return Prepared(plan.stored, lambda stored: _game(plan, asked, stored, alerts))


def show(summary: dict[str, Any], out: Path, *, as_json: bool) -> int:
    """Print a summary for a person or a program; the exit code of what it says."""
    if as_json:
        print_json(summary)
    else:
        from api.views import summary_view

        summary_view(summary, out)
    return EXIT_FOUND if summary["failed"] else EXIT_CLEAN


def _plan(market: Market, config: Path) -> "Plan":
    """What is asked for, with what the configuration puts in force for the whole account."""
    from msgspec import structs

    from replay.game import ACCOUNT
    from replay.inputs import read_controls

    return structs.replace(_markets(market, config), commands=tuple(read_controls(config, ACCOUNT)))


def _markets(market: Market, config: Path) -> "Plan":
    """What the configuration says of several instruments, or the options of one."""
    from domain.values import InstrumentId
    from replay.game import SOURCE, STRATEGY, BotSetup
    from replay.inputs import InstrumentTable, read_instruments, read_settings
    from replay.plan import Plan, make_plan

    one = {name: getattr(market, name) for name in ("candles", "instrument", "tick", "step")}
    instruments = read_instruments(config)
    if instruments:
        given = [options.option(name) for name, value in one.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} is given, and {config} has [[instruments]]; allowed: one of both")
        return make_plan(config, instruments)
    missing = [options.option(name) for name, value in one.items() if value is None]
    if missing:
        raise typer.BadParameter("it is missing, and the configuration has no [[instruments]]", param_hint=missing[0])
    settings = read_settings(config)
    assert market.instrument is not None
    assert market.candles is not None
    table = InstrumentTable(
        market.instrument,
        options.number("tick", market.tick or ""),
        options.number("step", market.step or ""),
        str(market.candles),
    )
    bot = BotSetup(STRATEGY, SOURCE, InstrumentId(market.instrument), settings)
    return Plan(None, (table,), (bot,))


def _game(plan: "Plan", account: "Account", stored: "Sequence[Stored]", alerts: "Sequence[TimedAlert]") -> "Game":
    from replay.game import portfolio_game
    from replay.plan import is_unrouted

    tapes = [each.load() for each in stored]
    portfolio = plan.portfolio(account, [tape.price_scale for tape in tapes], unrouted=is_unrouted(alerts))
    return portfolio_game(portfolio, tapes, alerts)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be made: {error.strerror}") from None
