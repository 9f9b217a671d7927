"""Strategies of other packages, and which code a strategy is."""

import hashlib
import inspect
from importlib.metadata import entry_points
from pathlib import Path

from domain.errors import InputError
from domain.strategy.plugin import Strategy
from domain.strategy.registry import register

GROUP = "truetape.strategies"


def load_plugins() -> list[str]:
    """Register what installed packages name under the entry point `truetape.strategies`; their names.

    Raises InputError where one cannot be loaded: a run must not begin with less than was installed.
    """
    names: list[str] = []
    for point in entry_points(group=GROUP):
        try:
            strategy = point.load()
        except Exception as error:
            raise InputError(f"strategy {point.name} of {point.value} cannot be loaded: {error}") from error
        register(strategy)
        names.append(strategy.name)
    return names


def code_of(strategy: Strategy) -> str:
    """The SHA-256 of the file that its decisions are written in, in hexadecimal; empty where there is no file.

    Of several files it is that of their digests one after the other, in the order of the strategy's fields.
    """
    decides = (strategy.on_candle, strategy.on_fill, strategy.may_act, strategy.watch)
    paths = dict.fromkeys(_file_of(each) for each in decides if each is not None)
    digests = [hashlib.sha256(path.read_bytes()) for path in paths if path is not None]
    if len(digests) > 1:
        return hashlib.sha256(b"".join(each.digest() for each in digests)).hexdigest()
    return digests[0].hexdigest() if digests else ""


def doc_of(strategy: Strategy) -> str:
    """What its module says it is."""
    module = inspect.getmodule(strategy.on_candle)
    return (module and inspect.getdoc(module)) or ""


def _file_of(function: object) -> Path | None:
    try:
        path = inspect.getsourcefile(function)  # type: ignore[arg-type]  # what is none raises TypeError
    except TypeError:  # compiled
        path = getattr(inspect.getmodule(function), "__file__", None)
    return Path(path) if path else None
