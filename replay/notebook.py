"""A backtest in one call, for notebooks and scripts: what comes of it is a `Result` of figures, DataFrames and the page."""

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl
from msgspec import structs

from domain.account.events import AccountKind
from domain.errors import InputError, MissingError
from domain.market import FeeAsset
from domain.strategy.plugin import Strategy
from domain.strategy.registry import register
from domain.values import parse_decimal, time_text
from infrastructure.market_data.importers import tape_of
from infrastructure.market_data.shelf import find_tape, import_cached
from infrastructure.market_data.sources import Source
from infrastructure.market_data.tape import COLUMNS, Tape
from infrastructure.plugins import load_plugins
from infrastructure.settings import load_settings
from infrastructure.strategy_file import strategy_from, strategy_of
from infrastructure.venues.simulated import ALL_RULES, RULES, Rules, Terms
from replay.frames import curve_frame, events_frame, fills_frame, round_trips_frame
from replay.game import Game, Watch, Window, play
from replay.gathered import Gathered
from replay.inputs import InstrumentTable
from replay.metrics.metrics import PERIODS_PER_YEAR
from replay.plan import FEE_ASSETS, KINDS, Account, check_grid, check_one_of, check_rate
from replay.results import Results, results_of
from replay.session import summarize, write_page_of
from replay.spool import Spool
from replay.strategy_plan import FINEST, plan_of, window_between

Amount = Decimal | int | float | str
"""Taken as it prints: 0.1 is one tenth."""
When = str | date | datetime


class Columns(Protocol):
    """A table that gives a column by its name: a DataFrame of polars or pandas, or a dict of lists."""

    def __getitem__(self, name: str, /) -> Any: ...


class Result:
    """What came of a backtest. Its DataFrames are made when they are asked for first, amounts as exact decimals."""

    def __init__(self, game: Game, made: Results, summary: dict[str, Any], spool: Spool) -> None:
        self.summary = summary
        """What `truetape backtest` writes to summary.json, without seconds."""
        self.metrics: dict[str, Any] = summary["metrics"]
        self._game = game
        self._made = made
        self._spool = spool
        weakref.finalize(self, spool.__exit__)

    def __repr__(self) -> str:
        about, figures = self.summary, self.metrics
        earned = "no return" if figures["total_return"] is None else f"{figures['total_return']:+.2%}"
        return f"<{about['strategy']} on {about['instrument']}: {earned}, {figures['trades']} round trips>"

    @cached_property
    def fills(self) -> pl.DataFrame:
        """A row for each fill."""
        return fills_frame(self._made.fills, self._made.instruments)

    @cached_property
    def round_trips(self) -> pl.DataFrame:
        """A row for each round trip."""
        return round_trips_frame(self._made.trades.trips, self._made.instruments)

    @cached_property
    def equity(self) -> pl.DataFrame:
        """A row for each candle: when it closed, the equity and the worth of what was held."""
        return curve_frame(self._made.curve)

    @cached_property
    def events(self) -> pl.DataFrame:
        """A row for each event of the run's log."""
        return events_frame(self._spool.records())

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the page of the run to this file, and return where it is."""
        page = Path(path)
        write_page_of(page, self._game, self._made, self.summary)
        return page


def backtest(  # noqa: PLR0913  (what a person sets, each with a name)
    strategy: str | os.PathLike[str] | Strategy,
    candles: str | os.PathLike[str] | Columns,
    *,
    instrument: str,
    balances: Mapping[str, Amount],
    parameters: Mapping[str, Any] | None = None,
    maker_fee: Amount = 0,
    taker_fee: Amount = 0,
    slippage: Amount = 0,
    tick: Amount | None = None,
    step: Amount | None = None,
    min_notional: Amount = 0,
    account: AccountKind = "spot",
    fee_asset: FeeAsset = "quote",
    fill: Rules = RULES,
    start: When | None = None,
    end: When | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
    progress: bool = False,
) -> Result:
    """Run a strategy over candles, as `truetape backtest` does; raises InputError for what makes no sense.

    `strategy` is a name, a file that ends in .py, or a Strategy. `candles` are a file, the name of a stored tape, or a table
    with the columns open_time, open, high, low, close, volume; naive times are UTC. Fees and slippage are fractions.
    """
    charges = Terms(_number("maker_fee", maker_fee), _number("taker_fee", taker_fee), _number("slippage", slippage))
    check_one_of("account", account, KINDS)
    check_one_of("fee_asset", fee_asset, FEE_ASSETS)
    check_one_of("fill", fill, ALL_RULES)
    check_rate("maker_fee", charges.maker_fee)
    check_rate("taker_fee", charges.taker_fee)
    check_rate("slippage", charges.slippage, 0)
    held = {asset: _number(f"balances {asset}", amount) for asset, amount in balances.items()}
    asked = Account(account, held, charges, _number("min_notional", min_notional), fee_asset, fill)
    market = InstrumentTable(instrument, _grid("tick", tick), _grid("step", step))
    window = window_between(_time_of(start), _time_of(end), ("start", "end"))
    plan = plan_of(_strategy_of(strategy), None, market, window)
    plan = structs.replace(plan, given=dict(parameters or {}))
    plan.check(plan.given)
    tape = _tape_of(candles, instrument)
    _check_window(tape, window)
    return _played(plan.game_on(asked, [tape]), periods_per_year, progress=progress)


def _played(game: Game, periods_per_year: float, *, progress: bool) -> Result:
    found = Gathered()
    spool = Spool(found.take)
    try:
        with _bar(game.candles, shown=progress) as watch:
            play(game, spool, watch=watch)
            spool.flush()
        made = results_of(game, found, float(periods_per_year))
        summary = msgspec.json.decode(msgspec.json.encode(summarize(game, found, made, spool)))
        return Result(game, made, summary, spool)
    except BaseException:
        spool.__exit__()
        raise


def _strategy_of(strategy: str | os.PathLike[str] | Strategy) -> Strategy:
    load_plugins()
    if isinstance(strategy, str):
        return strategy_of(strategy)
    if isinstance(strategy, os.PathLike):
        return strategy_from(Path(strategy))
    register(strategy)
    return strategy


def _tape_of(candles: str | os.PathLike[str] | Columns, instrument: str) -> Tape:
    """A file is put on the shelf, as the command does, so that the same bytes are parsed once; a table is not."""
    if not isinstance(candles, str | os.PathLike):
        columns = [_column(candles, name) for name in COLUMNS]
        if len({len(column) for column in columns}) > 1:
            raise InputError("candles have columns of different lengths")
        frame = pl.DataFrame(columns)
        if frame.is_empty():
            raise InputError("candles have no rows")
        return tape_of(Source(Path("candles"), frame), instrument=instrument)
    home, path = load_settings().home, Path(candles)
    if path.exists() or isinstance(candles, os.PathLike):
        return import_cached(path, home).load()
    try:
        return find_tape(home, candles).load()
    except MissingError as error:
        raise MissingError(f"candles {candles!r} are no file, and {error}") from None


def _column(table: Columns, name: str) -> pl.Series:
    try:
        column = table[name]
    except (KeyError, pl.exceptions.ColumnNotFoundError):
        raise InputError(f"candles have no column {name}; needed are {', '.join(COLUMNS)}") from None
    if isinstance(column, pl.Series):
        return column.alias(name)
    # What is neither a number nor a plain time, such as a time with a zone, comes as objects.
    values = np.asarray(column)
    return pl.Series(name, values.tolist() if values.dtype.hasobject else values)


def _check_window(tape: Tape, window: Window | None) -> None:
    if window is not None and not len(tape.slice(*window)):
        whole = f"{time_text(tape.open_times[0])} to {time_text(tape.open_times[-1])}"
        raise InputError(f"start and end leave no candle; there are candles from {whole}")


def _time_of(when: When | None) -> str | None:
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).isoformat()
    return when.isoformat() if isinstance(when, date) else when


def _number(name: str, amount: Amount) -> Decimal:
    try:
        return parse_decimal(str(amount))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _grid(name: str, amount: Amount | None) -> Decimal:
    if amount is None:
        return FINEST
    return check_grid(name, _number(name, amount))


@contextmanager
def _bar(candles: int, *, shown: bool) -> Iterator[Watch | None]:
    if not shown:
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415  (only where somebody looks)

    with Progress(transient=True) as bar:
        bar.add_task("candles", total=candles)
        (task,) = bar.tasks

        def watch(done: int) -> None:
            # Set, not updated: no lock and no clock in the loop; the bar's own thread redraws.
            task.completed = done

        yield watch
