"""`truetape sweep`: a strategy run with many parameters, over processes or on Ray."""

from api.commands import market_options as options
from api.commands import search_options as option
from api.commands.market_options import Market, Terms
from api.commands.options import JSON, spelled
from api.commands.search_options import Search
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress


@exits
@spelled(place=Market, terms=Terms, how=Search)
def sweep(
    place: Market,
    terms: Terms,
    how: Search,
    strategy: option.STRATEGY,
    out: option.OUT,
    values: option.VALUES = None,
    config: option.CONFIG = None,
    periods: options.PERIODS = 365,
    engine: option.ENGINE = "processes",
    processes: option.PROCESSES = None,
    as_json: JSON = False,
) -> int:
    """Search for a strategy's best parameters, and say how likely the best is luck.

    Exit code 1 where a trial failed, or none has the objective.
    """
    from replay.sweep.session import Engine
    from replay.sweep.session import sweep as carry_out

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
