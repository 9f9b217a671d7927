"""`truetape backtest`: recorded alerts over candles of one instrument or of several, to fills, results and a log."""

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from msgspec import Struct

from api.terminal import exits, print_json, progress
from domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infrastructure.market_data.shelf import Stored
    from infrastructure.venues.simulated_market import TimedAlert
    from replay.backtest import Game
    from replay.plan import Account, Plan

STRATEGIES = ("dca_signals",)
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
    strategy: Annotated[str, typer.Argument(help="dca_signals: position groups from recorded alerts.")],
    signals: Annotated[Path, typer.Option(help="Recorded alerts, JSON lines.")],
    config: Annotated[Path, typer.Option(help="TOML with a [group] table, perhaps with [[instruments]].")],
    balance: Annotated[list[str], typer.Option(help="ASSET=AMOUNT at the start; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder for summary.json, fills.csv, events.jsonl.")],
    candles: Annotated[Path | None, typer.Option(help="Candles: Binance kline CSV, CSV or Parquet.")] = None,
    instrument: Annotated[str | None, typer.Option(help="BASE/QUOTE, such as BTC/USDT.")] = None,
    tick: Annotated[str | None, typer.Option(help="Price grid.")] = None,
    step: Annotated[str | None, typer.Option(help="Quantity grid.")] = None,
    min_notional: Annotated[str, typer.Option(help="Smallest order, in the quote asset.")] = "0",
    maker_fee: Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")] = "0",
    taker_fee: Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")] = "0",
    slippage: Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")] = "0",
    account: Annotated[str, typer.Option(help="spot, or margin: may be short, at a leverage of one.")] = "spot",
    fee_asset: Annotated[str, typer.Option(help="Where the fee of a buy is taken: quote or base.")] = "quote",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run in Postgres.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run recorded alerts over candles, and write what happened.

    One instrument is said by --candles, --instrument, --tick and --step, several by [[instruments]] in the configuration.
    """
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings
    from replay.inputs import read_signals
    from replay.session import Stopwatch, carry_out, check_folder

    _one_of("STRATEGY", strategy, STRATEGIES)
    settings = load_settings()
    watch = Stopwatch()
    terms = Terms(
        instrument, candles, tick, step, min_notional, maker_fee, taker_fee, slippage, account, fee_asset, balance
    )  # fmt: skip
    _check(terms)
    with ExitStack() as stack:
        with watch.phase("import"):
            plan, asked = _plan(terms, config), _account(terms)
            alerts = read_signals(signals, plan.route())
            plan.check(asked)
            check_folder(out)
        with watch.phase("write"):
            database = stack.enter_context(open_database(settings)) if keep else None
        # All that could be refused without the candles has been; from here on things are written.
        with watch.phase("import"):
            stored = plan.stored(settings.home)
        with watch.phase("load"):
            game = _game(plan, asked, stored, alerts)
        _make_folder(out)
        with progress("candles", game.candles, quiet=as_json) as advance:
            summary = carry_out(game, out, watch, database, advance)
    show(summary, out, as_json=as_json)


def show(summary: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Print a summary for a person or a program."""
    if as_json:
        print_json(summary)
    else:
        from api.views import summary_view

        summary_view(summary, out)


def _check(terms: Terms) -> None:
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
