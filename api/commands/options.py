"""Arguments and options that several commands have, so that they are called and described the same everywhere."""

from typing import Annotated

import typer

ACCOUNT = Annotated[str, typer.Argument(help="The account's name.")]
BOT = Annotated[str, typer.Argument(help="The bot's name.")]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PAIRS = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="What changes; KEY= takes a key back.")
]
RUN = Annotated[int | None, typer.Option(help="The run's number; the newest without it.")]
