"""Arguments and options that several commands have, so that they are called and described the same everywhere."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_type_hints

import typer
from msgspec import Struct, structs

Command = Callable[..., int]

ACCOUNT = Annotated[str, typer.Argument(help="The account's name.")]
BOT = Annotated[str, typer.Argument(help="The bot's name.")]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PAIRS = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="What changes; KEY= takes a key back.")
]
RUN = Annotated[int | None, typer.Option(help="The run's number; the newest without it.")]


def spelled(**kinds: type[Struct]) -> Callable[[Command], Command]:
    """A command whose parameters of these names are structs: on the terminal each of their fields is an option."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> int:
            for name, kind in kinds.items():
                given[name] = kind(**{field: given.pop(field) for field in kind.__struct_fields__})
            return command(**given)

        own = inspect.signature(command).parameters.values()
        kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own if each.name not in kinds]
        fields = [field for kind in kinds.values() for field in _parameters(kind)]
        run.__signature__ = inspect.Signature([*fields, *kept])  # type: ignore[attr-defined]
        return run

    return decorate


def _parameters(kind: type[Struct]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for field in structs.fields(kind):
        default = inspect.Parameter.empty if field.required else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )
