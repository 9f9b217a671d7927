"""What a backtest reads: recorded alerts and a configuration. Anything else than they must be stops it before it runs."""

import tomllib
from decimal import Decimal
from pathlib import Path

import msgspec

from domain.bot.settings import GroupSettings, check_settings
from domain.errors import InputError
from domain.values import parse_time
from infrastructure.venues.simulated_market import TimedAlert


class SignalLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a signals file: when the alert arrived, and its body as it came."""

    at: str
    body: msgspec.Raw


_LINE = msgspec.json.Decoder(SignalLine)
_FORM = 'a line is {"at": "<UTC ISO time>", "body": <the alert>}'


def read_signals(path: Path, source: str) -> list[TimedAlert]:
    """Read recorded alerts (JSON lines); raises InputError naming file and line."""
    content = _bytes(path)
    lines = content.removesuffix(b"\n").split(b"\n") if content.strip() else []
    return [_signal(path, number, line, source) for number, line in enumerate(lines, 1)]


def _signal(path: Path, number: int, line: bytes, source: str) -> TimedAlert:
    try:
        parsed = _LINE.decode(line)
        text = bytes(parsed.body)
        body = msgspec.json.decode(text, type=str) if text.lstrip().startswith(b'"') else text.decode()
        return TimedAlert(parse_time(parsed.at), source, body)
    except (msgspec.DecodeError, UnicodeDecodeError, InputError) as error:
        raise InputError(f"{path}, line {number}: {error}\n{_FORM}") from None


def read_settings(path: Path) -> GroupSettings:
    """Read the `[group]` table of a configuration; raises InputError naming file, key and what is allowed."""
    try:
        config = tomllib.loads(_bytes(path).decode(), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    for key in config:
        if key != "group":
            raise InputError(f"{path}: unknown key {key!r}; allowed: [group]")
    if "group" not in config:
        raise InputError(f"{path}: the table [group] is missing")
    try:
        return check_settings(msgspec.convert(config["group"], GroupSettings))
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: [group] {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
