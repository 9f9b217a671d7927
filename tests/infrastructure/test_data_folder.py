"""The data folder is given only where all settings are sound, and settings are read only where there are any."""

import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import InputError
from infrastructure.data_folder import checked_home
from infrastructure.settings import load_settings
from tests.api.stage import environment

SCRIPT = (
    "import sys\nfrom infrastructure.data_folder import checked_home\n"
    "print(checked_home())\nprint('pydantic_settings' in sys.modules)"
)


def told(**variables: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment() | variables, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    return done.stdout.split()


def test_without_settings_none_are_read(home: Path) -> None:
    assert told(TRUETAPE_HOME=str(home), TRUETAPE_USER="admin") == [str(home), "False"]


def test_settings_are_read_where_there_are_any(home: Path) -> None:
    assert told(TRUETAPE_HOME=str(home), TRUETAPE_PORT="80") == [str(home), "True"]
    (home / "truetape.toml").write_text("port = 80\n")
    assert told(TRUETAPE_HOME=str(home)) == [str(home), "True"]


def test_it_is_the_folder_of_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_home() == load_settings().home == home
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.delenv("TRUETAPE_HOME")
    assert checked_home() == load_settings().home != home


@pytest.mark.parametrize("text", ["port = -1\n", "prot = 80\n", "port = \n"])
def test_a_bad_file_is_refused(home: Path, text: str) -> None:
    (home / "truetape.toml").write_text(text)
    with pytest.raises(InputError, match=r"truetape\.toml"):
        checked_home()


def test_a_file_that_is_none_is_refused(home: Path) -> None:
    (home / "truetape.toml").mkdir()
    with pytest.raises(InputError, match=r"truetape\.toml cannot be read"):
        checked_home()


@pytest.mark.parametrize("name", ["TRUETAPE_DATABASE", "TRUETAPE_HOMES"])
def test_an_unknown_variable_is_refused(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, str(home))
    with pytest.raises(InputError, match=f"{name}; allowed: "):
        checked_home()


def test_a_folder_that_is_a_file_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("TRUETAPE_HOME", str(home / "file"))
    with pytest.raises(InputError, match="is not a folder"):
        checked_home()
