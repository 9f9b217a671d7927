"""Ways to run the one loop over a recorded past: backtests and audits."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replay.notebook import Result, backtest

__all__ = ["Result", "backtest"]


def __getattr__(name: str) -> Any:
    """What notebooks import is loaded when it is asked for: most of the application does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from replay import notebook  # noqa: PLC0415  (see above)

    return getattr(notebook, name)
