"""`truetape sweep`: a strategy run with many parameters, over processes or on Ray."""

from api.commands import market_options as options
from api.commands import search_options as option
from api.commands.market_options import Market, Terms
from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress


@exits
def sweep(
    strategy: option.STRATEGY,
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
    """Search for a strategy's best parameters, and say how likely the best is luck.

    Exit code 1 where a trial failed, or none has the objective.
    """
    from replay.sweep.session import Engine
    from replay.sweep.session import sweep as carry_out

    place = Market(instrument, candles, tape, market, timeframe, start, end, tick, step)
    terms = Terms(balance, min_notional, maker_fee, taker_fee, slippage, account, fee_asset)
    how = option.Search(search, trials, seed, batch, objective)
    asked = option.read_options(strategy, values or (), config, place, terms, how, periods)
    job, _, about = option.job_of(asked, out)
    question = asked.question
    with progress("trials", question.search.total(question.space), quiet=as_json) as advance:
        summary = carry_out(question, job, Engine(engine, processes), out, advance, about)
    if as_json:
        print_json(summary)
    else:
        from api.search_views import sweep_view

        sweep_view(summary, out)
    return EXIT_FOUND if summary["counts"]["failed"] or not summary["best"] else EXIT_CLEAN
