"""The terminal: where commands print, how they fail, and how they show that they are at work."""

import functools
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from domain.errors import TruetapeError

if TYPE_CHECKING:
    from rich.console import Console

EXIT_CLEAN = 0
EXIT_FOUND = 1
EXIT_UNABLE = 2
EXIT_INTERRUPTED = 130

MESSAGE_LINES_MAX = 3
MESSAGE_CHARACTERS_MAX = 1_000
QUIET_SECONDS = 1.0
"""Work that is done sooner shows no bar."""

P = ParamSpec("P")
Advance = Callable[[int], None]


class _LazyConsole:
    """Rich's console, loaded when something is first printed: `--help` prints nothing with it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_real_console(), name)


@functools.cache
def _real_console() -> "Console":
    from rich.console import Console

    class PipedConsole(Console):
        """Rich's console, where a reader who has gone is no error of ours."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    # Nothing is markup unless it says so: names, paths and messages may hold brackets.
    return PipedConsole(highlight=False, markup=False)


console = cast("Console", _LazyConsole())
"""Standard output for people."""


def fail(error: Exception | str) -> int:
    """Say on standard error, in at most three lines, what went wrong; the exit code of that."""
    text = str(error)[:MESSAGE_CHARACTERS_MAX]
    told = [printable(line) for line in text.splitlines() if line.strip()][:MESSAGE_LINES_MAX]
    told = told or [type(error).__name__]
    print("error: " + "\n".join(told), file=sys.stderr)  # noqa: T201  (plain: rich would wrap file names)
    return EXIT_UNABLE


def printable(text: str) -> str:
    """The text with `?` for what would drive the terminal instead of being read."""
    return "".join(character if character.isprintable() else "?" for character in text)


def print_json(value: Any) -> None:
    """Print a value as indented JSON on standard output, escaped where the terminal cannot write its letters."""
    import msgspec

    plain = msgspec.to_builtins(value)
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(plain, indent=2)
    print(text)  # noqa: T201  (the same)


def print_anywhere() -> None:
    """Let standard output and error write `?` for what their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def exits(command: Callable[P, int | None]) -> Callable[P, int]:
    """A command that returns its exit code: what it returns, 2 where it could not run, 130 where it was interrupted."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            code = command(*arguments, **options) or EXIT_CLEAN
            sys.stdout.flush()
            return code
        except TruetapeError as error:
            return fail(error)
        except BrokenPipeError:
            # The reader has gone, as `| head` does; nothing more can be told.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_CLEAN
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return fail(f"{where}{error.strerror or error}")
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED

    return run


@contextmanager
def progress(description: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Advance]:
    """A bar on standard error for work over a second; call what it gives with how much is done, as often as you like.

    Without a total it only shows that work goes on. Nothing is shown where `quiet` or where nobody looks.
    """
    if quiet or not sys.stderr.isatty():
        yield _unseen
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(description, total=total)
    task = bar.tasks[0]
    starter = threading.Timer(QUIET_SECONDS, bar.start)
    starter.daemon = True

    def advance(done: int) -> None:
        # Set, not `update`d: no lock and no clock in a hot loop; the bar's own thread redraws.
        task.completed = done

    starter.start()
    try:
        yield advance
    finally:
        starter.cancel()
        starter.join()
        bar.stop()


def _unseen(done: int) -> None:
    """Nobody looks."""
