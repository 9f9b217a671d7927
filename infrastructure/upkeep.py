"""Upkeep: what a running server does every so often beside its work."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from domain.errors import TruetapeError

_log = logging.getLogger(__name__)


class Upkeep:
    """A thread that does something every so many seconds while it is entered, and once more on the way out.

    What hinders it is logged, and it tries again the next time. With 0 seconds it never does anything.
    """

    def __init__(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"truetape-{name}", daemon=True)

    def __enter__(self) -> Self:
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._seconds:
            self._stop.set()
            self._thread.join()
            self.do()

    def do(self) -> None:
        """Do it now."""
        try:
            self._work()
        except (TruetapeError, OSError) as error:
            _log.error("%s: %s", self._name, error)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.do()
