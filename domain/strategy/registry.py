"""Which strategies there are: those of `domain.strategies`, one a file, and those that were registered."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from domain.errors import InputError
from domain.market import Instrument
from domain.strategy.plugin import Strategy

SHIPPED = "domain.strategies"
_registered: dict[str, Strategy] = {}


def register(strategy: Strategy) -> None:
    """Take a strategy in, or a new version of one; raises InputError for what is none."""
    if not isinstance(strategy, Strategy):
        raise InputError(f"{strategy!r} is no domain.strategy.plugin.Strategy")
    _registered[strategy.name] = strategy
    parameters_of.cache_clear()
    memory_of.cache_clear()


@cache
def _shipped() -> Mapping[str, Strategy]:
    package = importlib.import_module(SHIPPED)
    modules = [importlib.import_module(f"{SHIPPED}.{each.name}") for each in pkgutil.iter_modules(package.__path__)]
    return {module.STRATEGY.name: module.STRATEGY for module in modules}


def strategies() -> Mapping[str, Strategy]:
    """All of them by name."""
    return {**_shipped(), **_registered}


def strategy_named(name: str) -> Strategy:
    """A strategy; raises InputError where there is none of that name."""
    found = _registered.get(name) or _shipped().get(name)
    if found is None:
        raise InputError(f"strategy {name!r} is not known; allowed: {', '.join(sorted(strategies()))}")
    return found


def schema_of(strategy: Strategy) -> dict[str, Any]:
    """The JSON schema of a strategy's parameters, which forms and the API use."""
    return msgspec.json.schema(strategy.parameters)


def read_parameters(strategy: Strategy, given: Mapping[str, Any], instrument: Instrument | None = None) -> Struct:
    """Parameters from plain values, numbers perhaps as text; raises InputError naming what is wrong."""
    try:
        parameters: Struct = msgspec.convert(given, strategy.parameters, strict=False)
    except msgspec.ValidationError as error:
        names = ", ".join(field.name for field in msgspec.structs.fields(strategy.parameters))
        raise InputError(f"parameters of {strategy.name}: {error}; it has {names}") from None
    strategy.check(parameters, instrument)
    return parameters


def parameters_text(parameters: Struct) -> str:
    """Parameters as the log has them: JSON, keys in the order of the struct."""
    return msgspec.json.encode(parameters).decode()


@lru_cache(maxsize=256)
def parameters_of(name: str, text: str) -> tuple[Strategy, Any]:
    """A strategy and its parameters, from what the log says."""
    strategy = strategy_named(name)
    return strategy, msgspec.json.decode(text, type=strategy.parameters)


@lru_cache(maxsize=256)
def memory_of(name: str, memory: bytes | None) -> Any:  # noqa: ANN401  (each strategy has a memory of its own type)
    """What a strategy remembers; None where it remembers nothing yet."""
    if memory is None:
        return None
    return msgspec.msgpack.decode(memory, type=strategy_named(name).memory or Any)
