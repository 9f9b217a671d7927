"""`truetape strategy`: which strategies there are, with their parameters, and what those that run are doing."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import console, exits, print_json, printable
from domain.errors import InputError

if TYPE_CHECKING:
    from api.available import Available

app = typer.Typer(help="Strategies: which there are, and which run.", rich_markup_mode=None)


@app.command("list")
@exits
def list_strategies(as_json: JSON = False) -> None:
    """List the strategies that there are: those that ship, and those of installed packages."""
    from api.remote_views import show_rows

    found = [_plain(each) for each in _available()]
    if as_json:
        print_json(found)
        return
    show_rows(found, [("strategy", "name"), ("acts on", "acts_on"), ("does", "title")], "no strategies")


@app.command("show")
@exits
def show_strategy(
    name: Annotated[str, typer.Argument(help="The strategy, as strategy list names it.")], as_json: JSON = False
) -> None:
    """Show what a strategy does and what its parameters are."""
    from api.remote_views import show_rows

    there = {each.name: each for each in _available()}
    if name not in there:
        raise InputError(f"strategy {name!r} is not known; allowed: {', '.join(there)}")
    found = there[name]
    if as_json:
        print_json(_plain(found))
        return
    console.print(f"{name}: {printable(found.title)}", soft_wrap=True)
    schema = _form_of(found.settings_schema)
    for text in (found.description, schema.get("description", "")):
        if text:
            console.print(printable(" ".join(text.split())), soft_wrap=True)
    rows = list(_parameters(schema))
    show_rows(rows, [("parameter", "name"), ("type", "type"), ("default", "default")], "no parameters")


@app.command("running")
@exits
def running(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many strategies at most.")] = 50,
    as_json: JSON = False,
) -> None:
    """List the strategies that the server runs, and what each decided last."""
    from api.remote import Remote
    from api.remote_views import Column, amount, show_rows, shown

    found = Remote().items("strategies", limit=limit, account=account)
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [
        ("bot", "bot"), ("account", "account"), ("strategy", "strategy"), ("trades", "instrument"), ("status", _status),
        ("position>", amount("position")), ("realized>", lambda row: shown(row["pnl"]["realized"])),
        ("unrealized>", lambda row: shown(row["pnl"]["unrealized"])), ("decisions>", "decisions"), ("last", _last),
    ]  # fmt: skip
    show_rows(found, columns, "no strategy runs")


def _available() -> "list[Available]":
    from api.available import available
    from infrastructure.plugins import load_plugins

    load_plugins()
    return available()


def _plain(found: "Available") -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _form_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition that a schema points to."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    form: Mapping[str, Any] = schema.get("$defs", {}).get(name, schema)
    return form


def _parameters(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else "-" if field.get("default") is None else field["default"]
        yield {"name": name, "type": _type_of(field), "default": default}


def _type_of(field: Mapping[str, Any]) -> str:
    """What a parameter may be, said to people."""
    options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
    return " or ".join(_kind_of(option) for option in options)


def _kind_of(option: Mapping[str, Any]) -> str:
    if "enum" in option:
        return ", ".join(map(str, option["enum"]))
    if "$ref" in option:
        return str(option["$ref"]).rpartition("/")[2]
    if option.get("format") == "decimal":
        return "decimal"
    return {"integer": "whole number", "boolean": "true or false", "array": "list"}.get(
        str(option.get("type")), str(option.get("type", "any"))
    )


def _status(row: Mapping[str, Any]) -> str:
    return f"{row['status']}: {row['error']}" if row["error"] else str(row["status"])


def _last(row: Mapping[str, Any]) -> str:
    last = row["last"]
    if last is None:
        return "-"
    return f"{last['at']}, {last['reason']}" if last["reason"] else str(last["at"])
