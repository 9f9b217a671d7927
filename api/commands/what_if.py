"""`truetape what-if`: a kept run again under other settings, and what differs then, by cause and event by event."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, printable, progress

if TYPE_CHECKING:
    from msgspec import Struct

    from replay.fork import Change, Table
    from replay.game import StrategySetup
    from replay.what_if import Difference, FactDifference, Outcome, WhatIf

Pairs = list[str] | None
SHOWN = 10
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@exits
def what_if(
    run: Annotated[int | None, typer.Argument(help="The run's number; the newest without it.")] = None,
    at: Annotated[int | None, typer.Option(help="The position to fork at; the run's beginning without it.")] = None,
    group: Annotated[
        Pairs,
        typer.Option("--set", help="KEY=VALUE of the bots' settings, such as max_pyramids=2, legs[0].weight_pct=40."),
    ] = None,
    bot: Annotated[str, typer.Option(help="The bot that --set is for; all without it.")] = "",
    pool: Annotated[Pairs, typer.Option(help="KEY=VALUE of the execution pool.")] = None,
    limits: Annotated[Pairs, typer.Option(help="KEY=VALUE of the risk limits.")] = None,
    offset: Annotated[Pairs, typer.Option(help="KEY=VALUE of the risk offset.")] = None,
    param: Annotated[
        Pairs, typer.Option(help="KEY=VALUE of a strategy's parameters, such as fast=12; no --at.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many facts to show; --json has all.")] = SHOWN,
    as_json: JSON = False,
) -> int:
    """Run a kept run's external facts again with other settings, in memory, and compare. Nothing is changed.

    Exit 0: it would have gone the same. 1: something differs. 2: cannot run.
    """
    import msgspec

    from domain.errors import InputError
    from infrastructure.database import open_database
    from infrastructure.event_store.runs import find_run
    from infrastructure.plugins import load_plugins
    from infrastructure.settings import load_settings
    from replay.fork import ParameterChange
    from replay.what_if import what_if as fork

    tables: dict[Table, Pairs] = {"group": group, "pool": pool, "risk": limits, "offset": offset}
    changes = [_change(table, pairs, bot) for table, pairs in tables.items() if pairs]
    parameters = [ParameterChange(_parameters(param), bot)] if param else []
    if not changes and not parameters:
        raise InputError("say what to change: --set, --param, --pool, --limits or --offset KEY=VALUE")
    if bot and not group and not param:
        raise InputError("--bot says whose settings --set or --param changes; there is no such")
    settings = load_settings()
    load_plugins()
    with open_database(settings) as database, progress("running it again", quiet=as_json):
        found = fork(database, settings.home, find_run(database, run), changes, at, parameters)
    if as_json:
        print_json({**msgspec.to_builtins(found), "has_consequences": found.has_consequences})
    else:
        _say(found, limit)
    return EXIT_FOUND if found.has_consequences else EXIT_CLEAN


def _change(table: "Table", pairs: list[str], bot: str) -> "Change":
    from replay.fork import Change

    given = [pair.removeprefix("group.") for pair in pairs] if table == "group" else pairs
    return Change(table, _edit(table, given), bot if table == "group" else "")


def _edit(table: "Table", pairs: list[str]) -> Callable[[Any], Any]:
    """What makes settings out of those that would stand."""
    from api.settings_tables import edited, plain_settings, settings_of_table

    return lambda standing: settings_of_table(table, edited(table, plain_settings(table, standing), pairs, None))


def _parameters(pairs: list[str]) -> "Callable[[StrategySetup], Struct]":
    """What makes a strategy's parameters out of those it was run with; a key without a value gets its default."""

    def edit(setup: "StrategySetup") -> "Struct":
        import msgspec

        from domain.errors import InputError
        from domain.strategy.registry import read_parameters

        given = msgspec.to_builtins(setup.parameters)
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or key not in given:
                raise InputError(f"{pair!r} is not KEY=VALUE; parameters of {setup.strategy.name}: {', '.join(given)}")
            del given[key]
            if value:
                given[key] = value
        return read_parameters(setup.strategy, given)

    return edit


def _say(found: "WhatIf", limit: int) -> None:
    where = "its beginning" if found.at is None else f"position {found.at}"
    console.print(f"run {found.run} ({found.label}), forked at {where}", soft_wrap=True)
    _say_outcomes(found.recorded, found.what_if)
    consequences = [each for each in found.differences if each.cause != "config"]
    if not consequences:
        console.print(f"nothing differs: {found.facts:,} facts from outside lead to the same")
        return
    causes = ", ".join(f"{cause} {count:,}" for cause, count in found.by_cause.items() if cause != "config")
    console.print(
        f"{len(consequences):,} of {found.facts:,} facts from outside lead to something else: {causes}", soft_wrap=True
    )
    for fact in consequences[:limit]:
        _say_fact(fact)
    if len(consequences) > limit:
        console.print(f"... and {len(consequences) - limit:,} more: --limit, or --json for all")


def _say_outcomes(recorded: "Outcome", forked: "Outcome") -> None:
    from rich.table import Table

    from api.remote_views import shown

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for column in ("recorded", "what if"):
        table.add_column(column, justify="right")
    for name in {**recorded.balances, **forked.balances}:
        ours, theirs = recorded.balances.get(name, {}), forked.balances.get(name, {})
        for figure in {**ours, **theirs}:
            told = (shown(side[figure]) if figure in side else "-" for side in (ours, theirs))
            table.add_row(f"{name} {figure}", *told)
    for name, count in recorded.counts.items():
        table.add_row(name, f"{count:,}", f"{forked.counts[name]:,}")
    console.print(table)


def _say_fact(fact: "FactDifference") -> None:
    position = "" if fact.position is None else f", position {fact.position}"
    console.print(f"{fact.at} {fact.fact}{position}: {fact.cause}", soft_wrap=True)
    for event in fact.events:
        console.print(f"  {_SIGNS[event.kind]} {printable(_told(event))}", soft_wrap=True)


def _told(event: "Difference") -> str:
    line = event.what_if or event.recorded
    assert line is not None
    name = f"{line['stream']} {line['event'].split('.')[1]}"
    if event.kind == "changed":
        facts = [f"{field}: {ours} -> {theirs}" for field, (ours, theirs) in event.fields.items()]
    else:
        facts = [f"{field}={value}" for field, value in line["data"].items() if _tells(value)]
    return " ".join([name, ", ".join(facts) if event.kind == "changed" else " ".join(facts)])


def _tells(value: Any) -> bool:
    return not isinstance(value, dict | list) and value not in {None, "", 0, "0"}
