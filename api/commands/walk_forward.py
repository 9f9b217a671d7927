"""`truetape walk-forward`: parameters chosen on one stretch of the market and traded on the next, again and again."""

from typing import Annotated

import typer

from api.commands import search_options as option
from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress


@exits
def walk_forward(
    strategy: option.STRATEGY,
    values: option.VALUES,
    train: Annotated[int, typer.Option(help="Days that the parameters are chosen on.")],
    test: Annotated[int, typer.Option(help="Days behind them that the choice is traded on.")],
    candles: option.CANDLES,
    instrument: option.INSTRUMENT,
    tick: option.TICK,
    step: option.STEP,
    balance: option.BALANCE,
    out: option.OUT,
    windows: Annotated[str, typer.Option(help="rolling: they move on; anchored: they grow.")] = "rolling",
    every: Annotated[int | None, typer.Option(help="Days from one window to the next; a test's without it.")] = None,
    min_notional: option.MIN_NOTIONAL = "0",
    maker_fee: option.MAKER_FEE = "0",
    taker_fee: option.TAKER_FEE = "0",
    slippage: option.SLIPPAGE = "0",
    account: option.ACCOUNT = "spot",
    start: option.FROM = None,
    end: option.TO = None,
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
    from replay.sweep.search import read_search
    from replay.sweep.session import Course, Engine
    from replay.sweep.session import walk_forward as carry_out
    from replay.sweep.walk_forward import read_plan

    plan = read_plan(windows, train, test, every)
    question = option.question_of(strategy, values, read_search(search, trials, seed, batch), objective)
    market = option.Market(
        candles, instrument, tick, step, balance, min_notional, maker_fee, taker_fee, slippage, account, start, end
    )
    job, window, about = option.job_of(strategy, market, out)
    count = len(plan.windows(window))
    total = count * (question.search.total(question.space) + 1)
    with progress("trials", total, quiet=as_json) as advance:
        summary = carry_out(question, Course(plan, window), job, Engine(engine, processes), out, advance, about)
    if as_json:
        print_json(summary)
    else:
        from api.search_views import walk_forward_view

        walk_forward_view(summary, out)
    return EXIT_CLEAN if summary["out_of_sample"]["traded"] else EXIT_FOUND
