"""What a backtest reads: recorded alerts and a configuration. Anything else than they must be stops it before it runs."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import get_args

import msgspec

from domain.bot.settings import Entry, GroupSettings, LegSettings, WhenFlat, check_settings
from domain.errors import InputError
from domain.values import parse_time
from infrastructure.venues.simulated_market import TimedAlert


class SignalLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a signals file: when the alert arrived, and its body as it came."""

    at: str
    body: msgspec.Raw


_LINE = msgspec.json.Decoder(SignalLine)
_FORM = 'a line is {"at": "<UTC ISO time>", "body": <the alert>}'

_NUMBER = 'a decimal number, such as "0.5"'
_ALLOWED = {
    "capital": _NUMBER,
    "gap_pct": _NUMBER,
    "weight_pct": _NUMBER,
    "take_profit_pct": _NUMBER,
    "entry": ", ".join(get_args(Entry)),
    "when_flat": ", ".join(get_args(WhenFlat)),
    "max_pyramids": "a whole number",
    "legs": f"a list of tables of {', '.join(LegSettings.__struct_fields__)}",
    "group": f"a table of {', '.join(GroupSettings.__struct_fields__)}",
}
"""What the keys of a configuration may be, where what stands there is of another kind."""


def read_signals(path: Path, source: str) -> list[TimedAlert]:
    """Read recorded alerts (JSON lines); raises InputError naming file and line."""
    content = _bytes(path)
    lines = content.removesuffix(b"\n").split(b"\n") if content.strip() else []
    return [_signal(path, number, line, source) for number, line in enumerate(lines, 1)]


def _signal(path: Path, number: int, line: bytes, source: str) -> TimedAlert:
    try:
        parsed = _LINE.decode(line.decode())
        text = bytes(parsed.body)
        body = msgspec.json.decode(text, type=str) if text.lstrip().startswith(b'"') else text.decode()
        return TimedAlert(parse_time(parsed.at), source, body)
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number}: not UTF-8 text\n{_FORM}") from None
    except RecursionError:
        raise InputError(f"{path}, line {number}: nested too deeply\n{_FORM}") from None
    except (msgspec.DecodeError, InputError) as error:
        raise InputError(f"{path}, line {number}: {error}\n{_FORM}") from None


def read_settings(path: Path) -> GroupSettings:
    """Read the `[group]` table of a configuration; raises InputError naming file, key and what is allowed."""
    try:
        config = tomllib.loads(_bytes(path).decode(), parse_float=Decimal)
    except RecursionError:
        raise InputError(f"{path} is not TOML: nested too deeply") from None
    except ArithmeticError:
        raise InputError(f"{path} is not TOML: a number in it is out of range") from None
    except ValueError as error:
        # No TOML, no UTF-8, or an integer of thousands of digits.
        raise InputError(f"{path} is not TOML: {error}") from None
    for key in config:
        if key != "group":
            raise InputError(f"{path}: unknown key {key!r}; allowed: [group]")
    if "group" not in config:
        raise InputError(f"{path}: the table [group] is missing")
    try:
        return check_settings(msgspec.convert(config["group"], GroupSettings))
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {_told(error)}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _told(error: msgspec.ValidationError) -> str:
    """The key that is wrong, how, and what is allowed there."""
    message, _, place = str(error).partition(" - at `$")
    key = "group" + place.rstrip("`")
    name = key.rpartition(".")[2]
    if name.endswith("]"):
        return f"{key}: {message}\nallowed: a table of {', '.join(LegSettings.__struct_fields__)}"
    return f"{key}: {message}\nallowed: {_ALLOWED[name]}"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
