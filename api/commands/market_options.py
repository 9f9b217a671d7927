"""The options that name a market and an account, the same for every command that plays a strategy, and what they say."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from msgspec import Struct

from domain.errors import InputError

if TYPE_CHECKING:
    from replay.game import Game, Window
    from replay.inputs import InstrumentTable
    from replay.plan import Account
    from replay.strategy_plan import StrategyPlan

STRATEGY = Annotated[str, typer.Argument(help="sma_cross, grid, ..., or a file: my.py.")]
VALUES = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter of the strategy; may be repeated.")
]
CONFIG = Annotated[
    Path | None, typer.Option(help="TOML: [parameters] or [group], perhaps [[instruments]], [risk], ...")
]
CANDLES = Annotated[Path | None, typer.Option(help="Candles: Binance kline CSV, CSV or Parquet.")]
TAPE = Annotated[str | None, typer.Option(help="Candles: the name of a stored tape.")]
MARKET = Annotated[str | None, typer.Option(help="Candles: what was downloaded from this venue.")]
TIMEFRAME = Annotated[str, typer.Option(help="The timeframe of what was downloaded.")]
FROM = Annotated[str | None, typer.Option("--from", help="Only candles that open from this UTC time on.")]
TO = Annotated[str | None, typer.Option("--to", help="Only candles that open before this UTC time.")]
INSTRUMENT = Annotated[str | None, typer.Option(help="BASE/QUOTE, such as BTC/USDT.")]
TICK = Annotated[str | None, typer.Option(help="Price grid; as fine as the candles without it.")]
STEP = Annotated[str | None, typer.Option(help="Quantity grid; 0.00000001 without it.")]
BALANCE = Annotated[list[str], typer.Option(help="ASSET=AMOUNT at the start; may be repeated.")]
MIN_NOTIONAL = Annotated[str, typer.Option(help="Smallest order, in the quote asset.")]
MAKER_FEE = Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")]
TAKER_FEE = Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")]
SLIPPAGE = Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")]
ACCOUNT = Annotated[str, typer.Option(help="spot, or margin: may be short, at a leverage of one.")]
FEE_ASSET = Annotated[str, typer.Option(help="Where the fee of a buy is taken: quote or base.")]
FILL = Annotated[
    str, typer.Option(help="candle-v1; close-fill: at the deciding close; through: limits need more than a touch.")
]
PERIODS = Annotated[float, typer.Option("--periods-per-year", help="Trading days: 365, 252 for stocks.")]


class Market(Struct, frozen=True):
    """The options on the market, as they were typed: which instrument, where its candles come from, which of them."""

    instrument: INSTRUMENT = None
    candles: CANDLES = None
    tape: TAPE = None
    market: MARKET = None
    timeframe: TIMEFRAME = "1m"
    start: FROM = None
    end: TO = None
    tick: TICK = None
    step: STEP = None

    def table(self) -> "InstrumentTable | None":
        """The one market that they name; None where they name none, and a configuration has to."""
        from replay.inputs import InstrumentTable
        from replay.plan import check_grid
        from replay.strategy_plan import FINEST

        if self.instrument is None:
            if self._sources():
                raise typer.BadParameter("it is missing", param_hint="--instrument")
            return None
        tick = FINEST if self.tick is None else check_grid("--tick", number("tick", self.tick))
        step = FINEST if self.step is None else check_grid("--step", number("step", self.step))
        return InstrumentTable(self.instrument, tick, step, *self._named(self.instrument))

    def window(self) -> "Window | None":
        """Which candles are wanted; None where all are."""
        from replay.strategy_plan import window_between

        return window_between(self.start, self.end)

    def _sources(self) -> list[str]:
        ways = {"--candles": self.candles, "--tape": self.tape, "--market": self.market}
        return [name for name, value in ways.items() if value is not None]

    def _named(self, instrument: str) -> tuple[str, str]:
        """(file, name of a stored tape), one of both; raises where it is said in no way, or in two."""
        said = self._sources()
        if len(said) > 1:
            raise InputError(f"{' and '.join(said)} are given; allowed: one of them")
        if not said:
            raise typer.BadParameter("one of them is missing", param_hint="--candles, --tape or --market")
        if self.market is None:
            return str(self.candles or ""), self.tape or ""
        from infrastructure.market_data.download import tape_name
        from infrastructure.market_data.venue_candles import Series

        return "", tape_name(Series(self.market, instrument, self.timeframe, sandbox=False))


class Terms(Struct, frozen=True):
    """The options on the account, as they were typed."""

    balance: BALANCE
    min_notional: MIN_NOTIONAL = "0"
    maker_fee: MAKER_FEE = "0"
    taker_fee: TAKER_FEE = "0"
    slippage: SLIPPAGE = "0"
    account: ACCOUNT = "spot"
    fee_asset: FEE_ASSET = "quote"
    fill: FILL = "candle-v1"


def check(market: Market, terms: Terms) -> None:
    """Everything that can be refused before a file is read."""
    from infrastructure.venues.simulated import ALL_RULES
    from replay.plan import FEE_ASSETS, KINDS, check_one_of, check_rate

    check_one_of("--account", terms.account, KINDS)
    check_one_of("--fee-asset", terms.fee_asset, FEE_ASSETS)
    check_one_of("--fill", terms.fill, ALL_RULES)
    for name, grid in (("tick", market.tick), ("step", market.step)):
        if grid is not None:
            _amount(name, grid, None)
    _amount("min_notional", terms.min_notional, (market.instrument or "").partition("/")[2])
    for name in ("maker_fee", "taker_fee"):
        check_rate(option(name), number(name, getattr(terms, name)))
    check_rate("--slippage", number("slippage", terms.slippage), 0)
    _balances(terms.balance)


def account_of(terms: Terms) -> "Account":
    """The account that they ask for."""
    from infrastructure.venues.simulated import Terms as VenueTerms
    from replay.plan import Account

    charges = VenueTerms(
        number("maker_fee", terms.maker_fee), number("taker_fee", terms.taker_fee), number("slippage", terms.slippage)
    )
    kind, fee_asset, rules = cast("tuple[Any, ...]", (terms.account, terms.fee_asset, terms.fill))
    least = number("min_notional", terms.min_notional)
    return Account(kind, _balances(terms.balance), charges, least, fee_asset, rules)


def plan_of(strategy: str, market: Market, config: Path | None, values: list[str]) -> "StrategyPlan":
    """A strategy on the market that the options name, or on those of the configuration; `values` are NAME=VALUE."""
    from replay.strategy_plan import strategy_plan

    given = pairs(values)
    return strategy_plan(strategy, given, config, market.table(), market.window())


def game_of(strategy: str, market: Market, terms: Terms, config: Path | None, values: list[str]) -> "Game":
    """A strategy's game, as a backtest of it would play it; raises InputError."""
    from infrastructure.data_folder import checked_home

    refuse_alerts(strategy)
    check(market, terms)
    plan = plan_of(strategy, market, config, values)
    return plan.game(account_of(terms), plan.stored(checked_home()))


def pairs(texts: list[str]) -> dict[str, str]:
    """What `--set` says, by name."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name):
            raise InputError(f"--set {text!r} is not NAME=VALUE, such as fast=10")
        if name in values:
            raise InputError(f"--set names {name} twice")
        values[name] = value
    return values


def refuse(name: str, given: "Mapping[str, object]") -> None:
    """Refuse options that do not go with a strategy of this name."""
    for given_option, value in given.items():
        if value:
            raise InputError(f"{given_option} is not for {name}")


def refuse_alerts(strategy: str) -> None:
    """Refuse the strategy that acts on alerts, where only candles are played."""
    from replay.strategy_plan import DCA

    refuse(f"{DCA}, which acts on alerts", {"this command": strategy == DCA})


def number(name: str, text: str) -> Decimal:
    """A number that an option was given."""
    from domain.values import parse_decimal

    try:
        return parse_decimal(text)
    except InputError as error:
        raise InputError(f"{option(name)}: {error}") from None


def option(name: str) -> str:
    """How an argument is typed."""
    return "--" + name.replace("_", "-")


def _balances(texts: list[str]) -> dict[str, Decimal]:
    balances: dict[str, Decimal] = {}
    for text in texts:
        asset, equals, amount = text.partition("=")
        if not (equals and asset.isalnum()):
            raise InputError(f"--balance {text!r} is not ASSET=AMOUNT, such as USDT=10000")
        if asset in balances:
            raise InputError(f"--balance names {asset} twice")
        balances[asset] = number("balance", amount)
    return balances


def _amount(name: str, text: str, asset: str | None) -> None:
    """Refuse what is no exact amount: of an asset, or else of a grid as fine as there can be."""
    from domain.errors import AmountError
    from domain.values import SCALE_MAX, cash_scale, decimal_places, exact_quanta

    amount = number(name, text)
    scale = min(SCALE_MAX, decimal_places(amount)) if asset is None else cash_scale(asset)
    try:
        exact_quanta(amount, scale)
    except AmountError as error:
        raise InputError(f"{option(name)}: {error}") from None
