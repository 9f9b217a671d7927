"""`truetape walk-forward`: parameters chosen on one stretch of the market and traded on the next, again and again."""

from typing import Annotated

import typer

from api.commands import market_options as options
from api.commands import search_options as option
from api.commands.market_options import Market, Terms
from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress


@exits
def walk_forward(
    strategy: option.STRATEGY,
    train: Annotated[int, typer.Option(help="Days that the parameters are chosen on.")],
    test: Annotated[int, typer.Option(help="Days behind them that the choice is traded on.")],
    balance: options.BALANCE,
    out: option.OUT,
    values: option.VALUES = None,
    config: option.CONFIG = None,
    candles: options.CANDLES = None,
    tape: options.TAPE = None,
    market: options.MARKET = None,
    timeframe: options.TIMEFRAME = "1m",
    start: options.FROM = None,
    end: options.TO = None,
    instrument: options.INSTRUMENT = None,
    tick: options.TICK = None,
    step: options.STEP = None,
    windows: Annotated[str, typer.Option(help="rolling: they move on; anchored: they grow.")] = "rolling",
    every: Annotated[int | None, typer.Option(help="Days from one window to the next; a test's without it.")] = None,
    min_notional: options.MIN_NOTIONAL = "0",
    maker_fee: options.MAKER_FEE = "0",
    taker_fee: options.TAKER_FEE = "0",
    slippage: options.SLIPPAGE = "0",
    account: options.ACCOUNT = "spot",
    fee_asset: options.FEE_ASSET = "quote",
    periods: options.PERIODS = 365,
    search: option.SEARCH = "grid",
    trials: option.TRIALS = None,
    seed: option.SEED = 1,
    batch: option.BATCH = 8,
    objective: option.OBJECTIVE = "sharpe",
    engine: option.ENGINE = "processes",
    processes: option.PROCESSES = None,
    as_json: JSON = False,
) -> int:
    """Choose parameters on one stretch and trade them on the next: what the choosing was worth.

    Exit code 1 where no window was traded.
    """
    from replay.sweep.session import Course, Engine
    from replay.sweep.session import walk_forward as carry_out
    from replay.sweep.walk_forward import read_plan

    plan = read_plan(windows, train, test, every)
    place = Market(instrument, candles, tape, market, timeframe, start, end, tick, step)
    terms = Terms(balance, min_notional, maker_fee, taker_fee, slippage, account, fee_asset)
    how = option.Search(search, trials, seed, batch, objective)
    asked = option.read_options(strategy, values or (), config, place, terms, how, periods)
    question = asked.question
    job, window, about = option.job_of(asked, out, common=True)
    course, each = Course(plan, window, periods), question.search.total(question.space) + 1
    with progress("trials", len(plan.windows(window)) * each, quiet=as_json) as advance:
        summary = carry_out(question, course, job, Engine(engine, processes), out, advance, about)
    if as_json:
        print_json(summary)
    else:
        from api.search_views import walk_forward_view

        walk_forward_view(summary, out)
    return EXIT_CLEAN if summary["out_of_sample"]["traded"] else EXIT_FOUND
