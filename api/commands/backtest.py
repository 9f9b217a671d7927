"""`truetape backtest`: recorded alerts over a candle file, to fills, results and a log."""

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from msgspec import Struct

from api.terminal import exits, print_json, progress
from domain.errors import InputError

if TYPE_CHECKING:
    from domain.bot.settings import GroupSettings
    from replay.backtest import Setup

STRATEGIES = ("dca_signals",)
KINDS = ("spot", "margin")
FEE_ASSETS = ("quote", "base")


class Terms(Struct, frozen=True):
    """The command's options on the market and the account, as they were typed."""

    instrument: str
    tick: str
    step: str
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
    candles: Annotated[Path, typer.Option(help="Candles: Binance kline CSV, CSV or Parquet.")],
    instrument: Annotated[str, typer.Option(help="BASE/QUOTE, such as BTC/USDT.")],
    config: Annotated[Path, typer.Option(help="TOML with a [group] table.")],
    balance: Annotated[list[str], typer.Option(help="ASSET=AMOUNT at the start; may be repeated.")],
    tick: Annotated[str, typer.Option(help="Price grid.")],
    step: Annotated[str, typer.Option(help="Quantity grid.")],
    out: Annotated[Path, typer.Option(help="Folder for summary.json, fills.csv, events.jsonl.")],
    min_notional: Annotated[str, typer.Option(help="Smallest order, in the quote asset.")] = "0",
    maker_fee: Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")] = "0",
    taker_fee: Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")] = "0",
    slippage: Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")] = "0",
    account: Annotated[str, typer.Option(help="spot, or margin: may be short, at a leverage of one.")] = "spot",
    fee_asset: Annotated[str, typer.Option(help="Where the fee of a buy is taken: quote or base.")] = "quote",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run in Postgres.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run recorded alerts over candles, and write what happened."""
    from infrastructure.database import open_database
    from infrastructure.market_data.shelf import import_cached
    from infrastructure.settings import load_settings
    from replay.backtest import SOURCE, check_setup, game_of
    from replay.inputs import read_settings, read_signals
    from replay.session import Stopwatch, carry_out, check_folder

    _one_of("STRATEGY", strategy, STRATEGIES)
    settings = load_settings()
    watch = Stopwatch()
    terms = Terms(
        instrument, tick, step, min_notional, maker_fee, taker_fee, slippage, account, fee_asset, balance
    )  # fmt: skip
    _check(terms)
    with ExitStack() as stack:
        with watch.phase("import"):
            group = read_settings(config)
            alerts = read_signals(signals, SOURCE)
            check_setup(_setup(terms, group))
            check_folder(out)
        with watch.phase("write"):
            database = stack.enter_context(open_database(settings)) if keep else None
        # All that could be refused without the candles has been; from here on things are written.
        with watch.phase("import"):
            stored = import_cached(candles, settings.home)
        with watch.phase("load"):
            tape = stored.load()
            game = game_of(_setup(terms, group, tape.price_scale), tape, alerts)
        _make_folder(out)
        with progress("candles", len(tape), quiet=as_json) as advance:
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
    for name in ("tick", "step"):
        _amount(name, getattr(terms, name), None)
    _amount("min_notional", terms.min_notional, terms.instrument.partition("/")[2])
    for name in ("maker_fee", "taker_fee", "slippage"):
        rate = _number(name, getattr(terms, name))
        if not -1 < rate < 1:
            raise InputError(f"{_option(name)} is {rate}; allowed: a fraction such as 0.001, between -1 and 1")
    if _number("slippage", terms.slippage) < 0:
        raise InputError("--slippage must not be below 0")
    _balances(terms.balance)


def _setup(terms: Terms, group: "GroupSettings", price_scale: int = 0) -> "Setup":
    from domain.market import make_instrument
    from infrastructure.venues.simulated import Terms as VenueTerms
    from replay.backtest import Setup

    instrument = make_instrument(
        terms.instrument,
        _number("tick", terms.tick),
        _number("step", terms.step),
        _number("min_notional", terms.min_notional),
        price_scale=price_scale,
        fee_asset=cast("Any", terms.fee_asset),
    )
    charges = VenueTerms(
        _number("maker_fee", terms.maker_fee),
        _number("taker_fee", terms.taker_fee),
        _number("slippage", terms.slippage),
    )
    return Setup(instrument, charges, _balances(terms.balance), group, cast("Any", terms.account))


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
