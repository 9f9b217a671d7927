"""A package of somebody else's with a strategy, installed and changed under a test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.strategy import registry

NAME = "buyer"
MODULE = "buyer_of_tests"
SOURCE = '''"""Buys so much at every close."""

from domain.strategy.intents import Place
from domain.strategy.plugin import Act, NoParameters, Strategy


def on_candle(parameters, view):
    return Act((Place("buy", "market", {quantity}),), NoParameters())


STRATEGY = Strategy("buyer", "Buys.", NoParameters, on_candle, memory=NoParameters)
'''


class Package:
    """Its folder, which has to be on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"{MODULE}.py"
        self._info = folder / "buyer-1.dist-info"

    def install(self, quantity: int) -> None:
        """The strategy buys this many quanta each time."""
        self._info.mkdir(exist_ok=True)
        (self._info / "METADATA").write_text("Metadata-Version: 2.1\nName: buyer\nVersion: 1\n")
        (self._info / "entry_points.txt").write_text(f"[truetape.strategies]\nbuyer = {MODULE}:STRATEGY\n")
        self.path.write_text(SOURCE.format(quantity=quantity))

    def remove(self) -> None:
        """As after a start of the process, when it has been uninstalled."""
        for path in self._info.iterdir():
            path.unlink()
        self._info.rmdir()
        self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """What a new process does not know."""
        sys.modules.pop(MODULE, None)
        registry._registered.pop(NAME, None)  # noqa: SLF001  (nothing else takes a strategy out again)
        registry.parameters_of.cache_clear()
        registry.memory_of.cache_clear()


@contextmanager
def package(folder: Path) -> Iterator[Package]:
    """An empty folder on the path, and nothing of it known afterwards."""
    made = Package(folder)
    sys.path.insert(0, str(folder))
    try:
        yield made
    finally:
        sys.path.remove(str(folder))
        made.forget()
