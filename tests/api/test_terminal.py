"""Commands end with a code and at most three lines, never a traceback."""

import io
import sys
import time

import pytest

from api.terminal import (
    EXIT_CLEAN,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_UNABLE,
    console,
    exits,
    fail,
    print_json,
    progress,
)
from domain.errors import InputError, MissingError


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (None, EXIT_CLEAN, ""),
        (EXIT_FOUND, EXIT_FOUND, ""),
        (InputError("a.csv: row 3: low 0"), EXIT_UNABLE, "error: a.csv: row 3: low 0\n"),
        (MissingError("one\ntwo\nthree\nfour"), EXIT_UNABLE, "error: one\ntwo\nthree\n"),
        (PermissionError(13, "Permission denied", "/x"), EXIT_UNABLE, "error: /x: Permission denied\n"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, ""),
    ],
)
def test_how_a_command_ends(
    outcome: int | BaseException | None, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @exits
    def command() -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    assert command() == code
    assert capsys.readouterr() == ("", said)


def test_a_bug_is_not_hidden() -> None:
    @exits
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_a_message_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("red \x1b[31m bell \x07" + "x" * 5000) == EXIT_UNABLE
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said
    assert len(said) < 1100


def test_an_error_without_words_says_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    fail(InputError())
    assert capsys.readouterr().err == "error: InputError\n"


def test_output_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, "é"]})
    console.print("words")
    assert capsys.readouterr() == ('{\n  "a": [\n    1,\n    "é"\n  ]\n}\nwords\n', "")


class _Screen(io.StringIO):
    """Standard error that says that somebody looks."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("seconds", "total", "seen"), [(0.0, 10, False), (1.6, 10, True), (1.6, None, True)])
def test_work_over_a_second_shows_a_bar(
    seconds: float, total: int | None, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = _Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress("candles", total) as advance:
        advance(5)
        time.sleep(seconds)
    assert ("candles" in screen.getvalue()) is seen
    assert ("50%" in screen.getvalue()) is (seen and total is not None)


@pytest.mark.parametrize("quiet", [True, False])
def test_no_bar_where_nobody_looks(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen() if quiet else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("candles", 10, quiet=quiet) as advance:
        advance(10)
    assert screen.getvalue() == ""
