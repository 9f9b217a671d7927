"""Strategies of other packages, and which code a strategy is."""

import hashlib
import importlib
import inspect
import logging
import sys
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from domain.errors import InputError
from domain.strategy.plugin import Strategy
from domain.strategy.registry import register, strategies, strategy_named

GROUP = "truetape.strategies"
_log = logging.getLogger(__name__)


def load_plugins() -> list[str]:
    """Register what installed packages name under the entry point `truetape.strategies`; their names.

    Raises InputError where one cannot be loaded: a run must not begin with less than was installed.
    """
    return [_load(point) for point in entry_points(group=GROUP)]


def load_working_plugins() -> list[str]:
    """As `load_plugins`, for a shard that goes on without those that cannot be loaded; each of them is said to the log."""
    names: list[str] = []
    for point in entry_points(group=GROUP):
        try:
            names.append(_load(point))
        except InputError as error:
            _log.error("%s", error)
    for strategy in strategies().values():
        loaded_code(strategy)
    return names


def find_strategy(name: str) -> Strategy:
    """A strategy, also of a package that was installed since the process began; raises InputError where there is none."""
    if name not in strategies():
        importlib.invalidate_caches()
        load_working_plugins()
    return strategy_named(name)


def _load(point: EntryPoint) -> str:
    try:
        strategy = point.load()
    except Exception as error:
        raise InputError(f"strategy {point.name} of {point.value} cannot be loaded: {error}") from error
    register(strategy)
    name: str = strategy.name
    return name


def reload(name: str) -> Strategy:
    """Register a strategy anew from the file that its module has now; raises InputError, and what was there stays.

    The module is made a second time beside the old one, so one that cannot be loaded has changed nothing. Only that
    module: others that it imports stay what they are until the process starts again.
    """
    before = strategy_named(name)
    module = inspect.getmodule(before.on_candle)
    path = _file_of(before.on_candle)
    if module is None or path is None:
        raise InputError(f"strategy {name} has no file to be loaded from again: start the server again")
    importlib.invalidate_caches()
    try:
        fresh = _made_anew(module, path)
        strategy = next(each for each in vars(fresh).values() if isinstance(each, Strategy) and each.name == name)
    except StopIteration:
        raise InputError(f"{path.name} has no strategy {name!r} any more") from None
    except Exception as error:
        raise InputError(f"strategy {name} cannot be loaded again: {type(error).__name__}: {error}") from error
    sys.modules[module.__name__] = fresh
    register(strategy)
    loaded_code(strategy)
    return strategy


class _Source(SourceFileLoader):
    """Compiles what the file says now: compiled bytes of a file of the same second and size would be taken for it."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _made_anew(module: ModuleType, path: Path) -> ModuleType:
    loader = _Source(module.__name__, str(path))
    spec = spec_from_file_location(module.__name__, path, loader=loader)
    assert spec is not None, "a loader was given"
    fresh = module_from_spec(spec)
    loader.exec_module(fresh)
    return fresh


def loaded_code(strategy: Strategy) -> str:
    """`code_of` as it was when the strategy was first asked for: that of what runs, whatever its file has become."""
    return _when_loaded(strategy.on_candle, strategy.on_fill, strategy.may_act, strategy.watch)


@cache
def _when_loaded(*decides: Any) -> str:
    return _digest(decides)


def code_of(strategy: Strategy) -> str:
    """The SHA-256 of the file that its decisions are written in, as it is now, in hexadecimal; empty where there is none.

    Of several files it is that of their digests one after the other, in the order of the strategy's fields.
    """
    return _digest((strategy.on_candle, strategy.on_fill, strategy.may_act, strategy.watch))


def _digest(decides: tuple[Any, ...]) -> str:
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
    if not path:
        return None
    return Path(path).with_name(f"{Path(path).name.partition('.')[0]}.py")  # of a compiled one, what it was made from
