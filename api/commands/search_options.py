"""The options that `truetape sweep` and `truetape walk-forward` share beside those of the market, and what they ask for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from api.commands.market_options import Market, Terms, account_of, check, refuse_alerts
from domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infrastructure.market_data.shelf import Stored
    from replay.plan import Account
    from replay.strategy_plan import StrategyPlan
    from replay.sweep.backtests import BacktestJob
    from replay.sweep.job import Window
    from replay.sweep.session import Question
    from replay.sweep.space import Space

STRATEGY = Annotated[str, typer.Argument(help="A strategy's name, such as sma_cross, or its file.")]
VALUES = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUES: 5..50:5, 0.1..0.9/5, 0.001..1:log, a|b or one value; repeated."),
]
CONFIG = Annotated[Path | None, typer.Option(help="TOML: [parameters], perhaps [[instruments]], [risk], ...")]
OUT = Annotated[Path, typer.Option(help="Folder for the files; it may be new.")]
SEARCH = Annotated[str, typer.Option(help="grid: all; random; bayesian: by what the last ones gave.")]
TRIALS = Annotated[int | None, typer.Option(help="How many a random or Bayesian search runs; 100 without it.")]
SEED = Annotated[int, typer.Option(help="The same seed gives the same trials.")]
BATCH = Annotated[int, typer.Option(help="How many trials a Bayesian search asks for at once.")]
OBJECTIVE = Annotated[str, typer.Option(help="What is best: sharpe, calmar, max_drawdown, ...; trades:min turns it.")]
ENGINE = Annotated[str, typer.Option(help="processes, ray (started here), or ray://HOST:PORT.")]
PROCESSES = Annotated[int | None, typer.Option(help="How many workers; as many as there are processors without it.")]


class Search(Struct, frozen=True):
    """The options on the search, as they were typed."""

    search: SEARCH = "grid"
    trials: TRIALS = None
    seed: SEED = 1
    batch: BATCH = 8
    objective: OBJECTIVE = "sharpe"


class Asked(Struct, frozen=True):
    """What is searched for and where, all of it checked as far as it can be without candles."""

    strategy: str
    plan: "StrategyPlan"
    account: "Account"
    question: "Question"
    periods: float


def read_options(
    strategy: str,
    values: "Sequence[str]",
    config: Path | None,
    market: Market,
    terms: Terms,
    how: Search,
    periods: float,
) -> Asked:
    """What the options ask for; raises InputError."""
    from replay.strategy_plan import open_plan
    from replay.sweep.objective import read_objective
    from replay.sweep.search import read_search
    from replay.sweep.session import Question

    refuse_alerts(strategy)
    check(market, terms)
    plan = open_plan(strategy, config, market.table(), market.window())
    search = read_search(how.search, how.trials, how.seed, how.batch)
    question = Question(plan.strategy.name, _space(plan, values), search, read_objective(how.objective))
    return Asked(strategy, plan, account_of(terms), question, periods)


def job_of(asked: Asked, out: Path, *, common: bool = False) -> "tuple[BacktestJob, Window, dict[str, Any]]":
    """The job, the stretch of the market it is about, and what the summary says of both; raises InputError.

    The stretch is from the first candle of any market to the last of any; with `common` it is that which all have.
    """
    from infrastructure.data_folder import checked_home
    from infrastructure.strategy_file import SUFFIX
    from replay.game import check_portfolio
    from replay.session import check_folder
    from replay.sweep.backtests import BacktestJob

    plan = asked.plan
    check_folder(out)
    stored = plan.stored(checked_home())
    window = _stretch(asked, stored, common=common)
    portfolio = plan.portfolio(asked.account, [each.header.price_scale for each in stored])
    check_portfolio(portfolio)
    out.mkdir(parents=True, exist_ok=True)
    # Another process, perhaps on another machine, may be in another folder.
    strategy = str(Path(asked.strategy).resolve()) if asked.strategy.endswith(SUFFIX) else asked.strategy
    job = BacktestJob(strategy, portfolio, plan.markets, tuple(each.path for each in stored), window, asked.periods)
    return job, window, _about(asked, stored, window)


def _space(plan: "StrategyPlan", values: "Sequence[str]") -> "Space":
    """What `--set` says, above what the configuration says for all markets."""
    from msgspec import to_builtins

    from replay.sweep.space import read_space, typed_values

    for table in plan.markets:
        typed_values(table.parameters, plan.strategy.parameters, f"parameters of {table.name}:")
    space = read_space(values, plan.strategy.parameters, lambda given: plan.check(to_builtins(given)), plan.given)
    for name in space.names:
        if all(name in table.parameters for table in plan.markets):
            raise InputError(f"--set {name}: nothing would differ, each of the instruments has its own in {plan.path}")
    return space


def _stretch(asked: Asked, stored: "Sequence[Stored]", *, common: bool) -> "Window":
    from domain.values import Time
    from replay.sweep.job import Window

    headers = [each.header for each in stored]
    starts, ends = [each.start for each in headers], [each.end + max(each.interval, 1) for each in headers]
    whole = Window(Time(max(starts)), Time(min(ends))) if common else Window(Time(min(starts)), Time(max(ends)))
    if whole.start >= whole.end:
        raise InputError("there is no time at which all of the instruments have candles")
    first, last = asked.plan.window or (whole.start, whole.end)
    for table, start, end in zip(asked.plan.markets, starts, ends, strict=True):
        if first >= end or last <= start:
            has = Window(Time(start), Time(end))
            raise InputError(f"--from and --to leave no candle of {table.name}; it has {has}")
    return Window(max(first, whole.start), min(last, whole.end))


def _about(asked: Asked, stored: "Sequence[Stored]", window: "Window") -> dict[str, Any]:
    from domain.values import time_text

    names = [table.name for table in asked.plan.markets]
    digests = [each.header.digest for each in stored]
    account = asked.account
    return {
        **({"instrument": names[0]} if len(names) == 1 else {"instruments": names}),
        "rules": account.rules,
        "from": time_text(window.start),
        "to": time_text(window.end),
        "balances": {asset: str(amount) for asset, amount in account.balances.items()},
        "maker_fee": f"{account.terms.maker_fee:f}",
        "taker_fee": f"{account.terms.taker_fee:f}",
        "slippage": f"{account.terms.slippage:f}",
        "periods_per_year": asked.periods,
        **(
            {"tape_digest": digests[0]} if len(names) == 1 else {"tape_digests": dict(zip(names, digests, strict=True))}
        ),
    }
