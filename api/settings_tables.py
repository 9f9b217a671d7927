"""Settings as the tables of a configuration, changed by KEY=VALUE, and written as TOML that a backtest reads too."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from domain.bot.settings import GroupForm, form_of, settings_of
from domain.errors import InputError
from replay.inputs import CONTROLS, convert_table, read_control, read_settings

Table = Literal["group", "pool", "offset", "risk"]


def _of(table: Table) -> tuple[type[Any], Callable[[Any], Any]]:
    """A table's settings, and the check of these."""
    if table == "group":
        return GroupForm, lambda form: form_of(settings_of(form))
    kind, check, _command = CONTROLS[table]
    return kind, check


def edited(table: Table, standing: Mapping[str, Any], pairs: Sequence[str], config: Path | None) -> dict[str, Any]:
    """Settings to put in force, as JSON: those of a file, else those that stand, with KEY=VALUE pairs put over them.

    A pair without a value takes its key back to what holds where nobody says otherwise. Raises InputError.
    """
    if not pairs and config is None:
        raise InputError(f"say what to change: KEY=VALUE, or --config FILE that has a [{table}] table")
    kind, check = _of(table)
    keys = kind.__struct_fields__
    base = standing if config is None else _read(table, config)
    given = {key: value for key, value in base.items() if key in keys and value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in keys:
            raise InputError(f"{pair!r} is not KEY=VALUE; allowed keys: {', '.join(keys)}")
        given.pop(key, None)
        if value:
            given[key] = value
    return _plain(check(convert_table(given, kind, table, texts=True)))


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
