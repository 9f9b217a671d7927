"""`truetape backtest`: a strategy, or recorded alerts, over candles of one instrument or of several, to results and a log."""

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer
from msgspec import Struct

from api.commands import backtest_options as options
from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress
from domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from domain.values import Time
    from infrastructure.market_data.shelf import Stored
    from infrastructure.venues.simulated_market import TimedAlert
    from replay.backtest import Game
    from replay.plan import Account, Plan

DCA = "dca_signals"
DATE_CHARACTERS = 10
KINDS = ("spot", "margin")
FEE_ASSETS = ("quote", "base")


class Terms(Struct, frozen=True):
    """The command's options on the market and the account, as they were typed."""

    instrument: str | None
    candles: Path | None
    tick: str | None
    step: str | None
    min_notional: str
    maker_fee: str
    taker_fee: str
    slippage: str
    account: str
    fee_asset: str
    balance: list[str]


@exits
def backtest(
    strategy: options.STRATEGY,
    balance: options.BALANCE,
    out: options.OUT,
    values: options.VALUES = None,
    config: options.CONFIG = None,
    signals: options.SIGNALS = None,
    candles: options.CANDLES = None,
    tape: options.TAPE = None,
    market: options.MARKET = None,
    timeframe: options.TIMEFRAME = "1m",
    start: options.FROM = None,
    end: options.TO = None,
    instrument: options.INSTRUMENT = None,
    tick: options.TICK = None,
    step: options.STEP = None,
    min_notional: options.MIN_NOTIONAL = "0",
    maker_fee: options.MAKER_FEE = "0",
    taker_fee: options.TAKER_FEE = "0",
    slippage: options.SLIPPAGE = "0",
    account: options.ACCOUNT = "spot",
    fee_asset: options.FEE_ASSET = "quote",
    feed: options.FEED = "skip",
    periods: options.PERIODS = 365,
    lines: options.LINES = None,
    keep: options.KEEP = False,
    as_json: JSON = False,
) -> int:
    """Run a strategy over candles, and write what happened, with a report to open in a browser.

    One instrument is said by --instrument with --candles, --tape or --market, several by [[instruments]] in the
    configuration. dca_signals needs --signals, --config, --tick and --step. Exit code 1 where a strategy broke.
    """
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings
    from infrastructure.venues.lane import PACES
    from replay.session import Asked, Stopwatch, carry_out, check_folder

    _one_of("--feed", feed, PACES)
    settings, watch = load_settings(), Stopwatch()
    terms = _check(
        Terms(
            instrument, candles, tick, step, min_notional, maker_fee, taker_fee, slippage, account, fee_asset, balance
        )
    )
    source = Source(candles, tape, market, timeframe, start, end)
    asked = Asked(lines=strategy == DCA if lines is None else lines, pace=cast("Any", feed), periods_per_year=periods)
    with ExitStack() as stack:
        with watch.phase("import"):
            prepared = _prepared(strategy, terms, source, config, signals, values or [])
            check_folder(out)
        with watch.phase("write"):
            database = stack.enter_context(open_database(settings)) if keep else None
        # All that could be refused without the candles has been; from here on things are written.
        with watch.phase("import"):
            stored = prepared.stored(settings.home)
        with watch.phase("load"):
            game = prepared.game(stored)
        _make_folder(out)
        with progress("candles", game.candles, quiet=as_json) as advance:
            summary = carry_out(game, out, watch, database, advance, asked)
    show(summary, out, as_json=as_json)
    return EXIT_FOUND if summary["failed"] else EXIT_CLEAN


class Source(Struct, frozen=True):
    """Where the candles come from and which of them, as it was typed."""

    candles: Path | None
    tape: str | None
    market: str | None
    timeframe: str
    start: str | None
    end: str | None

    def named(self, instrument: str) -> tuple[str, str]:
        """(file, name of a stored tape), one of both; raises where it is said in no way, or in two."""
        ways = {"--candles": self.candles, "--tape": self.tape, "--market": self.market}
        said = [option for option, value in ways.items() if value is not None]
        if len(said) > 1:
            raise InputError(f"{' and '.join(said)} are given; allowed: one of them")
        if not said:
            raise typer.BadParameter("one of them is missing", param_hint="--candles, --tape or --market")
        if self.market is None:
            return str(self.candles or ""), self.tape or ""
        from infrastructure.market_data.download import tape_name
        from infrastructure.market_data.venue_candles import Series

        return "", tape_name(Series(self.market, instrument, self.timeframe, sandbox=False))


class Prepared(Struct, frozen=True):
    """What is run, checked as far as it can be without candles."""

    stored: "Callable[[Path], Sequence[Stored]]"
    game: "Callable[[Sequence[Stored]], Game]"


def _prepared(
    strategy: str, terms: Terms, source: Source, config: Path | None, signals: Path | None, values: list[str]
) -> Prepared:
    if strategy != DCA:
        _refuse(strategy, {"--signals": signals})
        return _strategy(strategy, terms, source, config, _pairs(values))
    others = {
        "--set": values,
        "--tape": source.tape,
        "--market": source.market,
        "--from": source.start,
        "--to": source.end,
    }
    _refuse(DCA, others)
    for name, value in (("--signals", signals), ("--config", config)):
        if value is None:
            raise typer.BadParameter(f"{DCA} needs it", param_hint=name)
    assert signals is not None
    assert config is not None
    return _alerts(terms, signals, config)


def _alerts(terms: Terms, signals: Path, config: Path) -> Prepared:
    """Recorded alerts, for bots with position groups."""
    from replay.inputs import read_signals

    plan, asked = _plan(terms, config), _account(terms)
    alerts = read_signals(signals, plan.route())
    plan.check(asked)
    return Prepared(plan.stored, lambda stored: _game(plan, asked, stored, alerts))


def _strategy(name: str, terms: Terms, source: Source, config: Path | None, values: "Mapping[str, str]") -> Prepared:
    """A strategy on the market that the options name, or on those of the configuration."""
    from replay.inputs import InstrumentTable
    from replay.strategy_plan import FINEST, strategy_plan

    market = None
    if terms.instrument is not None:
        tick = FINEST if terms.tick is None else _number("tick", terms.tick)
        step = FINEST if terms.step is None else _number("step", terms.step)
        market = InstrumentTable(terms.instrument, tick, step, *source.named(terms.instrument))
    elif source.candles or source.tape or source.market:
        raise typer.BadParameter("it is missing", param_hint="--instrument")
    window = _window(source.start, source.end)
    plan, asked = strategy_plan(name, values, config, market, window), _account(terms)
    return Prepared(plan.stored, lambda stored: plan.game(asked, stored))


def game_of_strategy(name: str, terms: Terms, source: Source, config: Path | None, values: list[str]) -> "Game":
    """A strategy's game, as a backtest of it would play it; raises InputError."""
    from infrastructure.settings import load_settings

    _refuse(f"{DCA}, which acts on alerts", {"this command": name == DCA})
    prepared = _strategy(name, _check(terms), source, config, _pairs(values))
    return prepared.game(prepared.stored(load_settings().home))


def _refuse(name: str, given: "Mapping[str, object]") -> None:
    for option, value in given.items():
        if value:
            raise InputError(f"{option} is not for {name}")


def _pairs(texts: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name):
            raise InputError(f"--set {text!r} is not NAME=VALUE, such as fast=10")
        if name in values:
            raise InputError(f"--set names {name} twice")
        values[name] = value
    return values


def _window(start: str | None, end: str | None) -> "tuple[Time, Time] | None":
    from domain.values import TIME_END, Time, parse_time

    if start is None and end is None:
        return None
    first = Time(0) if start is None else parse_time(_as_time(start))
    last = TIME_END if end is None else parse_time(_as_time(end))
    if first >= last:
        raise InputError(f"--from {start} is not before --to {end}")
    return first, last


def _as_time(text: str) -> str:
    return f"{text}T00:00:00Z" if len(text) == DATE_CHARACTERS else text


def show(summary: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Print a summary for a person or a program."""
    if as_json:
        print_json(summary)
    else:
        from api.views import summary_view

        summary_view(summary, out)


def _check(terms: Terms) -> Terms:
    """Everything that can be refused before a file is read."""
    _one_of("--account", terms.account, KINDS)
    _one_of("--fee-asset", terms.fee_asset, FEE_ASSETS)
    for name, grid in (("tick", terms.tick), ("step", terms.step)):
        if grid is not None:
            _amount(name, grid, None)
    _amount("min_notional", terms.min_notional, (terms.instrument or "").partition("/")[2])
    for name in ("maker_fee", "taker_fee", "slippage"):
        rate = _number(name, getattr(terms, name))
        if not -1 < rate < 1:
            raise InputError(f"{_option(name)} is {rate}; allowed: a fraction such as 0.001, between -1 and 1")
    if _number("slippage", terms.slippage) < 0:
        raise InputError("--slippage must not be below 0")
    _balances(terms.balance)
    return terms


def _plan(terms: Terms, config: Path) -> "Plan":
    """What is asked for, with what the configuration puts in force for the whole account."""
    from msgspec import structs

    from replay.backtest import ACCOUNT
    from replay.inputs import read_controls

    return structs.replace(_markets(terms, config), commands=tuple(read_controls(config, ACCOUNT)))


def _markets(terms: Terms, config: Path) -> "Plan":
    """What the configuration says of several instruments, or the options of one."""
    from domain.values import InstrumentId
    from replay.backtest import SOURCE, STRATEGY, BotSetup
    from replay.inputs import InstrumentTable, read_instruments, read_settings
    from replay.plan import Plan, make_plan

    one = {name: getattr(terms, name) for name in ("candles", "instrument", "tick", "step")}
    instruments = read_instruments(config)
    if instruments:
        given = [_option(name) for name, value in one.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} is given, and {config} has [[instruments]]; allowed: one of both")
        return make_plan(config, instruments)
    missing = [_option(name) for name, value in one.items() if value is None]
    if missing:
        raise typer.BadParameter("it is missing, and the configuration has no [[instruments]]", param_hint=missing[0])
    settings = read_settings(config)
    assert terms.instrument is not None
    assert terms.candles is not None
    table = InstrumentTable(
        terms.instrument, _number("tick", terms.tick or ""), _number("step", terms.step or ""), str(terms.candles)
    )
    bot = BotSetup(STRATEGY, SOURCE, InstrumentId(terms.instrument), settings)
    return Plan(None, (table,), (bot,))


def _account(terms: Terms) -> "Account":
    from infrastructure.venues.simulated import Terms as VenueTerms
    from replay.plan import Account

    charges = VenueTerms(
        _number("maker_fee", terms.maker_fee),
        _number("taker_fee", terms.taker_fee),
        _number("slippage", terms.slippage),
    )
    kind, fee_asset = cast("Any", terms.account), cast("Any", terms.fee_asset)
    return Account(kind, _balances(terms.balance), charges, _number("min_notional", terms.min_notional), fee_asset)


def _game(plan: "Plan", account: "Account", stored: "Sequence[Stored]", alerts: "Sequence[TimedAlert]") -> "Game":
    from replay.backtest import portfolio_game
    from replay.plan import is_unrouted

    tapes = [each.load() for each in stored]
    portfolio = plan.portfolio(account, [tape.price_scale for tape in tapes], unrouted=is_unrouted(alerts))
    return portfolio_game(portfolio, tapes, alerts)


def _balances(texts: list[str]) -> dict[str, Decimal]:
    balances: dict[str, Decimal] = {}
    for text in texts:
        asset, equals, amount = text.partition("=")
        if not (equals and asset.isalnum()):
            raise InputError(f"--balance {text!r} is not ASSET=AMOUNT, such as USDT=10000")
        if asset in balances:
            raise InputError(f"--balance names {asset} twice")
        balances[asset] = _number("balance", amount)
    return balances


def _number(name: str, text: str) -> Decimal:
    from domain.values import parse_decimal

    try:
        return parse_decimal(text)
    except InputError as error:
        raise InputError(f"{_option(name)}: {error}") from None


def _amount(name: str, text: str, asset: str | None) -> None:
    """Refuse what is no exact amount: of an asset, or else of a grid as fine as there can be."""
    from domain.errors import AmountError
    from domain.values import SCALE_MAX, cash_scale, decimal_places, exact_quanta

    number = _number(name, text)
    scale = min(SCALE_MAX, decimal_places(number)) if asset is None else cash_scale(asset)
    try:
        exact_quanta(number, scale)
    except AmountError as error:
        raise InputError(f"{_option(name)}: {error}") from None


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be made: {error.strerror}") from None
