"""Jobs whose outcomes are known, for searches in processes of their own: they are imported there by name."""

import os
import signal
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from domain.errors import InputError
from replay.sweep.job import Evaluate, Window

DAY = 86_400_000_000


class Cross(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a strategy that buys where a fast mean crosses a slow one."""

    fast: Annotated[int, Meta(ge=1)] = 10
    slow: Annotated[int, Meta(ge=1, le=500)] = 30
    band: float = 0.0
    notional: Decimal = Decimal(1000)
    side: str = "long"


def check_cross(parameters: Cross) -> None:
    if parameters.fast >= parameters.slow:
        raise InputError(f"parameter fast is {parameters.fast}; allowed: below slow, {parameters.slow}")


class Hill(Struct, frozen=True):
    """A result that is best at fast 20 and slow 60, and falls off to all sides; it refuses what the strategy refuses.

    A fast mean of `deadly` kills its process; one of `faulty` is a fault of the strategy.
    """

    deadly: int = 0
    faulty: int = 0

    def prepare(self) -> Evaluate:
        def evaluate(parameters: Mapping[str, Any], window: Window | None) -> Mapping[str, Any]:
            fast, slow = parameters["fast"], parameters.get("slow", 30)
            if fast == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            if fast == self.faulty:
                raise ZeroDivisionError("nothing to divide by")
            if fast >= slow:
                raise InputError(f"parameter fast is {fast}; allowed: below slow, {slow}")
            height = 4.0 - ((fast - 20) / 20) ** 2 - ((slow - 60) / 60) ** 2 - float(parameters.get("band", 0.0))
            return outcome_of(height, window)

        return evaluate


def outcome_of(height: float, window: Window | None) -> dict[str, Any]:
    """An outcome whose days are `height` per mille up and one per mille down, in turns, over the window's days."""
    days = 20 if window is None else (window.end - window.start) // DAY
    returns = [height / 1000 if day % 2 else -0.001 for day in range(days)]
    total = 1.0
    for each in returns:
        total *= 1 + each
    return {
        "sharpe": height,
        "total_return": total - 1,
        "max_drawdown": 0.001,
        "trades": days,
        "profit_factor": None,
        "daily_returns": returns,
    }


class Unprepared(Struct, frozen=True):
    """A job without its tape."""

    def prepare(self) -> Evaluate:
        raise InputError("tape nowhere is not there")


class Dying(Struct, frozen=True):
    """A job that kills its process before it is ready."""

    def prepare(self) -> Evaluate:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Counted(Struct, frozen=True):
    """A job that leaves a file for each time it was prepared, and one for each process that runs a trial."""

    folder: str

    def prepare(self) -> Evaluate:
        path = Path(self.folder) / f"{os.getpid()}.prepared"
        path.write_text(path.read_text() + "x" if path.exists() else "x")

        def evaluate(parameters: Mapping[str, Any], window: Window | None) -> Mapping[str, Any]:
            return {"sharpe": float(parameters["fast"]), "process": os.getpid()}

        return evaluate


class Waiting(Struct, frozen=True):
    """A job whose trials say that they have begun, and never end."""

    folder: str

    def prepare(self) -> Evaluate:
        def evaluate(parameters: Mapping[str, Any], window: Window | None) -> Mapping[str, Any]:
            (Path(self.folder) / f"{os.getpid()}.began").touch()
            while True:
                signal.pause()

        return evaluate
