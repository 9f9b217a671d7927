"""What a backtest reads: recorded alerts and a configuration. Anything else than they must be stops it before it runs."""

import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from domain.account.commands import SetRiskLimits
from domain.account.limits import RiskLimits, check_limits
from domain.bot.settings import SIZES, GroupForm, GroupSettings, LegSettings, settings_of
from domain.errors import InputError
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.settings import PoolSettings
from domain.execution_pool.settings import check_settings as check_pool
from domain.market import FeeAsset
from domain.message import Command
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.settings import OffsetSettings
from domain.portfolio_risk.settings import check_settings as check_offset
from domain.values import parse_time
from infrastructure.venues.simulated_market import TimedAlert


class SignalLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a signals file: when the alert arrived, its body as it came, and its source where the line says it."""

    at: str
    body: msgspec.Raw
    source: str = ""


class InstrumentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An `[[instruments]]` table: a market and the bot that trades it; `candles` is a file, `tape` the name of one stored.

    `group` is what differs from the configuration's own `[group]`, `parameters` from its `[parameters]`.
    """

    name: str
    tick: Decimal
    step: Decimal
    candles: str = ""
    tape: str = ""
    min_notional: Decimal | None = None
    fee_asset: FeeAsset | None = None
    bot: str = ""
    source: str = ""
    timeframe: str = ""
    group: dict[str, Any] = {}
    parameters: dict[str, Any] = {}


class InstrumentConfig(msgspec.Struct, frozen=True):
    """An instrument's table and its bot's settings, whole."""

    table: InstrumentTable
    settings: GroupSettings


Route = Callable[[str, str], str]
"""(body, the source that the line names or "") -> source; raises InputError where the line names none there is."""

_Table = TypeVar("_Table")
_LINE = msgspec.json.Decoder(SignalLine)
_FORM = 'a line is {"at": "<UTC ISO time>", "body": <the alert>}'
_TABLES = "[group], [parameters], [[instruments]], [pool], [risk], [offset]"

CONTROLS: Mapping[str, tuple[type[Any], Callable[[Any], Any], Callable[[str, Any], Command]]] = {
    "pool": (PoolSettings, check_pool, ConfigurePool),
    "risk": (RiskLimits, check_limits, SetRiskLimits),
    "offset": (OffsetSettings, check_offset, ConfigureOffset),
}
"""Tables of what holds for the whole account: their settings, the check of these, the command that puts them in force."""


def read_signals(path: Path, source: str | Route) -> list[TimedAlert]:
    """Read recorded alerts (JSON lines) of one source, or of that which each is meant for.

    Raises InputError naming file and line.
    """
    route = only(source) if isinstance(source, str) else source
    content = _bytes(path)
    lines = content.removesuffix(b"\n").split(b"\n") if content.strip() else []
    return [_signal(path, number, line, route) for number, line in enumerate(lines, 1)]


def only(source: str) -> Route:
    """Everything goes to one source."""

    def route(_body: str, named: str) -> str:
        if named not in {"", source}:
            raise InputError(f"source {named!r} is not there; allowed: {source}")
        return source

    return route


def _signal(path: Path, number: int, line: bytes, route: Route) -> TimedAlert:
    try:
        parsed = _LINE.decode(line.decode())
        text = bytes(parsed.body)
        body = msgspec.json.decode(text, type=str) if text.lstrip().startswith(b'"') else text.decode()
        return TimedAlert(parse_time(parsed.at), route(body, parsed.source), body)
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number}: not UTF-8 text\n{_FORM}") from None
    except RecursionError:
        raise InputError(f"{path}, line {number}: nested too deeply\n{_FORM}") from None
    except (msgspec.DecodeError, InputError) as error:
        raise InputError(f"{path}, line {number}: {error}\n{_FORM}") from None


def read_settings(path: Path) -> GroupSettings:
    """Read the `[group]` table of a configuration; raises InputError naming file, key and what is allowed."""
    config = _tables(path)
    if "instruments" in config:
        raise InputError(f"{path}: the table [[instruments]] is for a backtest on several instruments only")
    if "group" not in config:
        raise InputError(f"{path}: the table [group] is missing")
    return _settings(path, config["group"], "group")


def read_instruments(path: Path) -> list[InstrumentConfig]:
    """Read the `[[instruments]]` of a configuration, none where it has none; raises InputError as `read_settings` does."""
    config = _tables(path)
    tables = config.get("instruments", [])
    if not isinstance(tables, list):
        raise InputError(f"{path}: instruments must be written as [[instruments]]")
    common = config.get("group", {})
    return [_instrument(path, table, f"instruments[{index}]", common) for index, table in enumerate(tables)]


def read_strategy(path: Path) -> tuple[dict[str, Any], list[InstrumentTable]]:
    """The table `[parameters]` and the `[[instruments]]` of a strategy's configuration; both may be missing."""
    config = _tables(path)
    if "group" in config:
        raise InputError(f"{path}: the table [group] is for dca_signals; a strategy has [parameters]")
    parameters, tables = config.get("parameters", {}), config.get("instruments", [])
    if not isinstance(parameters, dict):
        raise InputError(f"{path}: parameters must be written as [parameters]")
    if not isinstance(tables, list):
        raise InputError(f"{path}: instruments must be written as [[instruments]]")
    return parameters, [_market(path, table, f"instruments[{index}]") for index, table in enumerate(tables)]


def read_controls(path: Path, account: str) -> list[Command]:
    """The tables `[pool]`, `[risk]` and `[offset]` as commands to an account, none where they are missing."""
    config = _tables(path)
    return [
        command(account, _control(path, config[table], table))
        for table, (_kind, _check, command) in CONTROLS.items()
        if table in config
    ]


def read_control(path: Path, table: str) -> Any:
    """Read one of these tables as its settings; raises InputError, also where it is missing."""
    config = _tables(path)
    if table not in config:
        raise InputError(f"{path}: the table [{table}] is missing")
    return _control(path, config[table], table)


def _control(path: Path, given: object, table: str) -> Any:
    kind, check, _command = CONTROLS[table]
    settings = _converted(path, given, kind, table)
    try:
        return check(settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _instrument(path: Path, given: object, place: str, common: object) -> InstrumentConfig:
    table = _market(path, given, place)
    if table.group and isinstance(common, Mapping):
        if not table.group.keys().isdisjoint(SIZES):  # its own size, however that is said, instead of the common one
            common = {key: value for key, value in common.items() if key not in SIZES}
        return InstrumentConfig(table, _settings(path, {**common, **table.group}, f"{place}.group"))
    return InstrumentConfig(table, _settings(path, common or table.group, "group" if common else f"{place}.group"))


def _market(path: Path, given: object, place: str) -> InstrumentTable:
    table = _converted(path, given, InstrumentTable, place)
    if bool(table.candles) == bool(table.tape):
        raise InputError(f"{path}: {place} must have candles, the path of a file, or tape, the name of a stored one")
    return table


def _settings(path: Path, given: object, place: str) -> GroupSettings:
    form = _converted(path, given, GroupForm, place)
    try:
        return settings_of(form)
    except InputError as error:
        where = "" if place == "group" else f"{place.removesuffix('.group')}: "
        raise InputError(f"{path}: {where}{error}") from None


def convert_table(given: object, kind: type[_Table], place: str, *, texts: bool = False) -> _Table:
    """A table as settings; raises InputError naming the key and what is allowed. With `texts` whatever is told may be text."""
    try:
        return msgspec.convert(given, kind, strict=not texts)
    except msgspec.ValidationError as error:
        raise InputError(_told(error, kind, place)) from None


def _converted(path: Path, given: object, kind: type[_Table], place: str) -> _Table:
    try:
        return convert_table(given, kind, place)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _tables(path: Path) -> dict[str, Any]:
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
        if key not in {"group", "parameters", "instruments", *CONTROLS}:
            raise InputError(f"{path}: unknown key {key!r}; allowed: {_TABLES}")
    return config


def _told(error: msgspec.ValidationError, kind: type[Any], place: str) -> str:
    """The key that is wrong, how, and what is allowed there."""
    message, _, within = str(error).partition(" - at `$")
    key = place + within.rstrip("`")
    name = key.rpartition(".")[2]
    if not within:
        allowed = _table_of(kind)
    elif name.endswith("]"):
        allowed = _table_of(LegSettings)
    else:
        allowed = _ALLOWED[name]
    return f"{key}: {message}\nallowed: {allowed}"


def _table_of(kind: type[Any]) -> str:
    return f"a table of {', '.join(get_type_hints(kind))}"


def _kind_of(hint: object) -> str:
    """What a key of this type may be, said to people."""
    kinds = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    kind: Any = kinds[0]
    kind = getattr(kind, "__supertype__", kind)
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list of {_kind_of(get_args(kind)[0]).replace('a table', 'tables')}"
    if get_origin(kind) is dict:
        return _table_of(GroupForm)
    return _table_of(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else _KINDS[kind]


_KINDS: Mapping[object, str] = {
    Decimal: 'a decimal number, such as "0.5"',
    int: "a whole number",
    bool: "true or false",
    str: "text",
}
_ALLOWED = {
    name: _kind_of(hint)
    for kind in (InstrumentTable, LegSettings, GroupForm, *(control[0] for control in CONTROLS.values()))
    for name, hint in get_type_hints(kind).items()
}
"""What the keys of a configuration may be, where what stands there is of another kind."""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
