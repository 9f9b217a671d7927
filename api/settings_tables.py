"""Settings as the tables of a configuration, changed by KEY=VALUE, and written as TOML that a backtest reads too."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from domain.bot.settings import GroupForm, form_of, settings_of
from domain.errors import InputError
from replay.inputs import CONTROLS, convert_table, read_control, read_settings

Table = Literal["group", "pool", "offset", "risk"]
_WITHIN = re.compile(r"(?P<list>[a-z_]+)\[(?P<index>[0-9]{1,4})\]\.(?P<key>[a-z_]+)")


def _of(table: Table) -> tuple[type[Any], Callable[[Any], Any]]:
    """A table's settings, and the check of these."""
    if table == "group":
        return GroupForm, lambda form: form_of(settings_of(form))
    kind, check, _command = CONTROLS[table]
    return kind, check


def edited(table: Table, standing: Mapping[str, Any], pairs: Sequence[str], config: Path | None) -> dict[str, Any]:
    """Settings to put in force, as JSON: those of a file, else those that stand, with KEY=VALUE pairs put over them.

    A pair without a value takes its key back to what holds where nobody says otherwise. `legs[0].weight_pct` is a key
    within a list. Raises InputError.
    """
    if not pairs and config is None:
        raise InputError(f"say what to change: KEY=VALUE, or --config FILE that has a [{table}] table")
    kind, check = _of(table)
    keys = kind.__struct_fields__
    base = standing if config is None else _read(table, config)
    given = {key: value for key, value in base.items() if key in keys and value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if equals and (within := _WITHIN.fullmatch(key)):
            given = _edited_within(given, within, value)
            continue
        if not equals or key not in keys:
            raise InputError(f"{pair!r} is not KEY=VALUE; allowed keys: {', '.join(keys)}")
        given.pop(key, None)
        if value:
            given[key] = value
    return _plain(check(convert_table(given, kind, table, texts=True)))


def plain_settings(table: Table, settings: Any) -> dict[str, Any]:
    """Settings as the core has them, as JSON."""
    return _plain(form_of(settings) if table == "group" else settings)


def settings_of_table(table: Table, given: Mapping[str, Any]) -> Any:
    """Settings as the core has them, out of what `edited` gives."""
    if table == "group":
        return settings_of(convert_table(given, GroupForm, table, texts=True))
    kind, check, _command = CONTROLS[table]
    return check(convert_table(given, kind, table, texts=True))


def _edited_within(given: Mapping[str, Any], within: re.Match[str], value: str) -> dict[str, Any]:
    name, index, key = within["list"], int(within["index"]), within["key"]
    entries = given.get(name)
    if not isinstance(entries, list) or index >= len(entries):
        count = len(entries) if isinstance(entries, list) else 0
        raise InputError(f"{within[0]}: there is no {name}[{index}]; there are {count} {name}, counted from 0")
    entry = {each: held for each, held in entries[index].items() if each != key}
    return {**given, name: [*entries[:index], {**entry, key: value} if value else entry, *entries[index + 1 :]]}


def toml_text(table: Table, settings: Mapping[str, Any]) -> str:
    """A table as TOML: what is not set is left out."""
    keys = _of(table)[0].__struct_fields__
    lines = [f"{key} = {_toml(settings[key])}" for key in keys if settings.get(key) not in (None, [])]
    return "\n".join([f"[{table}]", *lines])


def _read(table: Table, config: Path) -> dict[str, Any]:
    return _plain(form_of(read_settings(config)) if table == "group" else read_control(config, table))


def _plain(settings: msgspec.Struct) -> dict[str, Any]:
    """As JSON, decimals as text without an exponent."""
    plain: dict[str, Any] = _fixed(msgspec.to_builtins(settings, builtin_types=(Decimal,)))
    return plain


def _fixed(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {key: _fixed(each) for key, each in value.items()}
    return [_fixed(each) for each in value] if isinstance(value, list | tuple) else value


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items() if each is not None) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
