"""A strategy out of a file of its own, without a package."""

import hashlib
import sys
from pathlib import Path
from types import ModuleType

from domain.errors import InputError
from domain.strategy.plugin import Strategy
from domain.strategy.registry import register, strategy_named

SUFFIX = ".py"


def strategy_of(text: str) -> Strategy:
    """The strategy of this name, or that in the file at this path, which is then registered; raises InputError."""
    return strategy_from(Path(text)) if text.endswith(SUFFIX) else strategy_named(text)


def strategy_from(path: Path) -> Strategy:
    """Register what the file calls STRATEGY; raises InputError where it cannot be loaded or has none."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    # Named by where it lies: two files of one name are two modules.
    module = ModuleType(f"strategy_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:16]}")
    module.__file__ = str(path.resolve())
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102  (whose file it is asked for it)
        strategy = module.STRATEGY
        if not isinstance(strategy, Strategy):
            raise TypeError(f"STRATEGY is {type(strategy).__name__}, no domain.strategy.plugin.Strategy")  # noqa: TRY301
    except Exception as error:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise InputError(f"{path} cannot be loaded: {_said(error)}") from error
    register(strategy)
    return strategy


def _said(error: Exception) -> str:
    if isinstance(error, AttributeError) and error.name == "STRATEGY":
        return "it has no STRATEGY"
    return f"{type(error).__name__}: {error}".partition("\n")[0]
