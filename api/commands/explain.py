"""`truetape explain`: why something traded, or did not, as a tree from its first cause."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import JSON, RUN
from api.terminal import exits, print_json

if TYPE_CHECKING:
    from replay.explain import Explainer, Explanation

app = typer.Typer(
    help="Say why: from the alert through what was decided on it to what became of it.", rich_markup_mode=None
)

AS_OF = Annotated[str | None, typer.Option("--as-of", help="As it was known at a position of the log, or at a time.")]
MOST = Annotated[int, typer.Option("--limit", min=1, max=5_000, help="How many decisions at most.")]
ALL = Annotated[bool, typer.Option("--all", help="Show bookkeeping, streams and positions too.")]
_LIMIT = 300


@app.command("order")
@exits
def explain_order(
    account: Annotated[str, typer.Argument(help="The account's name.")],
    order: Annotated[int, typer.Argument(min=1, help="The order's number, as order list shows it.")],
    run: RUN = None,
    as_of: AS_OF = None,
    limit: MOST = _LIMIT,
    whole: ALL = False,
    as_json: JSON = False,
) -> None:
    """Say what led to an order, and what became of it."""
    _explain(lambda explainer: explainer.order(account, order), run, as_of, limit, whole=whole, as_json=as_json)


@app.command("signal")
@exits
def explain_signal(
    source: Annotated[str, typer.Argument(help="The alerts' source: the webhook's bot, or signals in a backtest.")],
    number: Annotated[int, typer.Argument(min=1, help="The alert's number there.")],
    run: RUN = None,
    as_of: AS_OF = None,
    limit: MOST = _LIMIT,
    whole: ALL = False,
    as_json: JSON = False,
) -> None:
    """Say what an alert came to, or why to nothing."""
    _explain(lambda explainer: explainer.signal(source, number), run, as_of, limit, whole=whole, as_json=as_json)


@app.command("group")
@exits
def explain_group(
    bot: Annotated[str, typer.Argument(help="The bot's name.")],
    group: Annotated[int, typer.Argument(min=1, help="The group's number there.")],
    run: RUN = None,
    as_of: AS_OF = None,
    limit: MOST = _LIMIT,
    whole: ALL = False,
    as_json: JSON = False,
) -> None:
    """Say what opened a position group, and all that it did."""
    _explain(lambda explainer: explainer.group(bot, group), run, as_of, limit, whole=whole, as_json=as_json)


@app.command("event")
@exits
def explain_event(
    position: Annotated[int, typer.Argument(min=1, help="The event's position, in the run that it is of.")],
    as_of: AS_OF = None,
    limit: MOST = _LIMIT,
    whole: ALL = False,
    as_json: JSON = False,
) -> None:
    """Say what led to an event, and what followed from it."""
    _explain(lambda explainer: explainer.event(position), None, as_of, limit, whole=whole, as_json=as_json, at=position)


def _explain(
    ask: "Callable[[Explainer], Explanation]",
    run: int | None,
    as_of: str | None,
    limit: int,
    *,
    whole: bool,
    as_json: bool,
    at: int | None = None,
) -> None:
    """`at` is a position that names the run where no number does."""
    from api.reads import parse_as_of
    from infrastructure.database import open_database
    from infrastructure.event_store.runs import find_run, run_at
    from infrastructure.row_views import resolve
    from infrastructure.settings import load_settings
    from replay.explain import Explainer

    moment = parse_as_of(as_of)
    with open_database(load_settings()) as database:
        found = find_run(database, run if at is None else run_at(database, at))
        upto = None if moment is None else resolve(database, found, moment)
        explanation = ask(Explainer(database, found.run, upto, limit))
    if as_json:
        print_json(explanation)
        return
    from api.story_view import show_story

    show_story(explanation, whole=whole)
