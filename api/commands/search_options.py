"""The options that `truetape sweep` and `truetape walk-forward` share, and the question and the job they ask for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from domain.errors import InputError

if TYPE_CHECKING:
    from domain.strategy.plugin import Strategy
    from replay.sweep.backtests import BacktestJob
    from replay.sweep.job import Window
    from replay.sweep.session import Question

STRATEGY = Annotated[str, typer.Argument(help="A strategy's name, such as sma_cross, or its file.")]
VALUES = Annotated[
    list[str], typer.Option("--set", help="NAME=VALUES: 5..50:5, 0.1..0.9/5, 0.001..1:log, a|b or one value; repeated.")
]
CANDLES = Annotated[Path, typer.Option(help="Candles: Binance kline CSV, CSV or Parquet.")]
INSTRUMENT = Annotated[str, typer.Option(help="BASE/QUOTE, such as BTC/USDT.")]
TICK = Annotated[str, typer.Option(help="Price grid.")]
STEP = Annotated[str, typer.Option(help="Quantity grid.")]
BALANCE = Annotated[list[str], typer.Option(help="ASSET=AMOUNT at the start; may be repeated.")]
OUT = Annotated[Path, typer.Option(help="Folder for the files; it may be new.")]
MIN_NOTIONAL = Annotated[str, typer.Option(help="Smallest order, in the quote asset.")]
MAKER_FEE = Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")]
TAKER_FEE = Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")]
SLIPPAGE = Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")]
ACCOUNT = Annotated[str, typer.Option(help="spot, or margin: may be short, at a leverage of one.")]
FROM = Annotated[str | None, typer.Option("--from", help="Only candles that open from this UTC time on.")]
TO = Annotated[str | None, typer.Option("--to", help="Only candles that open before this UTC time.")]
SEARCH = Annotated[str, typer.Option(help="grid: all; random; bayesian: by what the last ones gave.")]
TRIALS = Annotated[int | None, typer.Option(help="How many a random or Bayesian search runs; 100 without it.")]
SEED = Annotated[int, typer.Option(help="The same seed gives the same trials.")]
BATCH = Annotated[int, typer.Option(help="How many trials a Bayesian search asks for at once.")]
OBJECTIVE = Annotated[str, typer.Option(help="What is best: sharpe, calmar, max_drawdown, ...; trades:min turns it.")]
ENGINE = Annotated[str, typer.Option(help="processes, ray (started here), or ray://HOST:PORT.")]
PROCESSES = Annotated[int | None, typer.Option(help="How many workers; as many as there are processors without it.")]


class Market(Struct, frozen=True):
    """The options on the market and the account, as they were typed."""

    candles: Path
    instrument: str
    tick: str
    step: str
    balance: list[str]
    min_notional: str = "0"
    maker_fee: str = "0"
    taker_fee: str = "0"
    slippage: str = "0"
    account: str = "spot"
    start: str | None = None
    end: str | None = None


def question_of(strategy: str, values: list[str], search: Any, objective: str) -> "Question":
    """What is searched for, all of it checked; raises InputError."""
    from infrastructure.plugins import load_plugins
    from replay.sweep.objective import read_objective
    from replay.sweep.session import Question
    from replay.sweep.space import read_space

    load_plugins()
    found = _strategy(strategy)
    space = read_space(values, found.parameters, lambda given: found.check(given, None))
    return Question(strategy, space, search, read_objective(objective))


def job_of(strategy: str, market: Market, out: Path) -> "tuple[BacktestJob, Window, dict[str, Any]]":
    """The job, the stretch of the market it is about, and what the summary says of both; raises InputError."""
    from api.commands.backtest import Terms, _account, _check, _number
    from infrastructure.settings import load_settings
    from infrastructure.venues.simulated import RULES
    from replay.inputs import InstrumentTable
    from replay.plan import Plan
    from replay.session import check_folder
    from replay.sweep.backtests import BacktestJob

    terms = Terms(
        market.instrument, market.candles, market.tick, market.step, market.min_notional, market.maker_fee,
        market.taker_fee, market.slippage, market.account, "quote", market.balance,
    )  # fmt: skip
    _check(terms)
    table = InstrumentTable(
        market.instrument, _number("tick", market.tick), _number("step", market.step), str(market.candles)
    )
    plan, account = Plan(None, (table,), ()), _account(terms)
    plan.check(account)
    check_folder(out)
    (stored,) = plan.stored(load_settings().home)
    header = stored.header
    window = _window(market, header.start, header.end + header.interval)
    portfolio = plan.portfolio(account, [header.price_scale])
    out.mkdir(parents=True, exist_ok=True)
    about = {
        "instrument": market.instrument,
        "rules": RULES,
        "from": str(window).partition(" to ")[0],
        "to": str(window).partition(" to ")[2],
        "balances": {asset: str(amount) for asset, amount in account.balances.items()},
        "maker_fee": market.maker_fee,
        "taker_fee": market.taker_fee,
        "slippage": market.slippage,
        "tape_digest": header.digest,
    }
    return BacktestJob(strategy, portfolio, (stored.path,), window), window, about


def _window(market: Market, first: int, last: int) -> "Window":
    from api.commands.backtest import _as_time
    from domain.values import Time, parse_time
    from replay.sweep.job import Window

    start = first if market.start is None else max(first, parse_time(_as_time(market.start)))
    end = last if market.end is None else min(last, parse_time(_as_time(market.end)))
    if start >= end:
        whole = Window(Time(first), Time(last))
        raise InputError(f"--from and --to leave no candle; {market.candles} has {whole}")
    return Window(Time(start), Time(end))


def _strategy(name: str) -> "Strategy":
    from infrastructure.strategy_file import strategy_of

    return strategy_of(name)
