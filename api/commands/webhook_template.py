"""`truetape webhook template`: a ready alert body."""

from typing import Annotated

import typer

from api.alert_templates import Form, template_of
from api.terminal import exits, print_json


@exits
def template(
    form: Annotated[
        Form,
        typer.Option(
            help="own, bot and engine are for a strategy's orders; target is for the position that it should hold,"
            " indicator for an alert that is no strategy's."
        ),
    ] = "own",
    action: Annotated[
        str | None, typer.Option(help="What an indicator's alert asks for: buy, sell or exit; buy without it.")
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="The webhook's secret; its address is one too, so the body can go without.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as without it.")] = False,
) -> None:
    """Print an alert body to paste into a chart's alert; the chart fills the placeholders in."""
    from domain.errors import InputError
    from domain.signal.forms import WORDS

    if action is not None and form != "indicator":
        raise InputError(f"--action is for the form indicator: in the form {form} the chart fills the action in")
    if action is not None and WORDS.get(action) not in {"buy", "sell", "exit"}:
        raise InputError(f"--action {action!r}; allowed: buy, sell, exit")
    print_json(template_of(form, action=action, secret=secret))
