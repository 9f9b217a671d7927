"""`truetape sweep`: a strategy run with many parameters, over processes or on Ray."""

from api.commands import search_options as option
from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress


@exits
def sweep(
    strategy: option.STRATEGY,
    values: option.VALUES,
    candles: option.CANDLES,
    instrument: option.INSTRUMENT,
    tick: option.TICK,
    step: option.STEP,
    balance: option.BALANCE,
    out: option.OUT,
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
    """Search for a strategy's best parameters, and say how likely the best is luck.

    Exit code 1 where a trial failed, or none has the objective.
    """
    from replay.sweep.search import read_search
    from replay.sweep.session import Engine
    from replay.sweep.session import sweep as carry_out

    question = option.question_of(strategy, values, read_search(search, trials, seed, batch), objective)
    market = option.Market(
        candles, instrument, tick, step, balance, min_notional, maker_fee, taker_fee, slippage, account, start, end
    )
    job, _, about = option.job_of(strategy, market, out)
    with progress("trials", question.search.total(question.space), quiet=as_json) as advance:
        summary = carry_out(question, job, Engine(engine, processes), out, advance, about)
    if as_json:
        print_json(summary)
    else:
        from api.search_views import sweep_view

        sweep_view(summary, out)
    return EXIT_FOUND if summary["counts"]["failed"] or not summary["best"] else EXIT_CLEAN
