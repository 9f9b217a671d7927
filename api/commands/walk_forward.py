"""`truetape walk-forward`: parameters chosen on one stretch of the market and traded on the next, again and again."""

from typing import Annotated

import typer

from api.commands import market_options as options
from api.commands import search_options as option
from api.commands.market_options import Market, Terms
from api.commands.options import JSON, spelled
from api.commands.search_options import Search
from api.terminal import EXIT_CLEAN, EXIT_FOUND, exits, print_json, progress


@exits
@spelled(place=Market, terms=Terms, how=Search)
def walk_forward(
    place: Market,
    terms: Terms,
    how: Search,
    strategy: option.STRATEGY,
    train: Annotated[int, typer.Option(help="Days that the parameters are chosen on.")],
    test: Annotated[int, typer.Option(help="Days behind them that the choice is traded on.")],
    out: option.OUT,
    values: option.VALUES = None,
    config: option.CONFIG = None,
    windows: Annotated[str, typer.Option(help="rolling: they move on; anchored: they grow.")] = "rolling",
    every: Annotated[int | None, typer.Option(help="Days from one window to the next; a test's without it.")] = None,
    periods: options.PERIODS = 365,
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
