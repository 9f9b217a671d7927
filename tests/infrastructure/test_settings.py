"""Settings: environment over file, nothing unknown, no secret shown."""

from pathlib import Path

import platformdirs
import pytest

from domain.errors import InputError
from infrastructure.settings import load_settings

URL = "postgresql://trader:sesame@db.example/truetape"


def url_of(home: Path) -> str | None:
    settings = load_settings()
    assert settings.home == home
    return settings.database_url.get_secret_value() if settings.database_url else None


def test_defaults(home: Path) -> None:
    assert url_of(home) is None


def test_home_defaults_to_the_platforms_data_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.delenv("TRUETAPE_HOME")
    assert load_settings().home == platformdirs.user_data_path("truetape")


def test_an_empty_home_is_no_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setenv("TRUETAPE_HOME", "")
    assert load_settings().home == platformdirs.user_data_path("truetape")


def test_home_is_absolute(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("TRUETAPE_HOME", "data")
    assert load_settings().home == home / "data"


def test_file_is_read_and_environment_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "truetape.toml").write_text('database_url = "postgresql://from-file"\n')
    assert url_of(home) == "postgresql://from-file"
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", URL)
    assert url_of(home) == URL


def test_the_url_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", URL)
    assert url_of(home) == URL
    assert "sesame" not in repr(load_settings()) + str(load_settings())


@pytest.mark.parametrize("key", ["databse_url", "home"])
def test_unknown_key(home: Path, key: str) -> None:
    (home / "truetape.toml").write_text(f'{key} = "x"\n')
    with pytest.raises(InputError, match=rf"truetape\.toml: unknown key '{key}'; allowed: checkpoint_folder, "):
        load_settings()


def test_unknown_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_DATABASE", "x")
    with pytest.raises(InputError, match="TRUETAPE_DATABASE; allowed: TRUETAPE_CHECKPOINT_FOLDER, "):
        load_settings()


@pytest.mark.parametrize("text", [b"database_url = ", b"\xff\xfe", b"database_url = 7\n"])
def test_bad_file(home: Path, text: bytes) -> None:
    (home / "truetape.toml").write_bytes(text)
    with pytest.raises(InputError, match=r"truetape\.toml"):
        load_settings()


def test_checkpoints_go_to_the_data_folder_every_quarter_of_an_hour_unless_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    assert (settings.checkpoint_folder, settings.checkpoint_minutes) == (None, 15)
    monkeypatch.chdir(home)
    (home / "truetape.toml").write_text('checkpoint_folder = "elsewhere"\ncheckpoint_minutes = 0\n')
    settings = load_settings()
    assert (settings.checkpoint_folder, settings.checkpoint_minutes) == (home.resolve() / "elsewhere", 0)
    monkeypatch.setenv("TRUETAPE_CHECKPOINT_MINUTES", "-1")
    with pytest.raises(InputError, match="checkpoint_minutes: Input should be greater than or equal to 0"):
        load_settings()
