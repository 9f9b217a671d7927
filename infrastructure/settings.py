"""Settings: the environment's `TRUETAPE_*`, then `truetape.toml` in the data folder; anything unknown is an error.

pydantic is heavy: import this module where settings are needed, not at the top of a command line.
"""

import os
import re
import tomllib
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from domain.errors import InputError
from infrastructure.home import CLIENT_VARIABLES, FILE, PREFIX, home_folder

_CONNECTION = re.compile(r"postgres(ql)?://|\s*[a-z_]+\s*=")


class Settings(BaseSettings):
    """What this installation is told: where its data lives, its database (None is the embedded one), where it listens.

    Checkpoints go to a folder, `checkpoints` in the data folder unless told, as often as the minutes say; 0 is never.
    A venue's public data is asked for at its own address, or under that which `venue_urls` has for its name: a proxy.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Field(default_factory=home_folder)
    database_url: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    checkpoint_folder: Path | None = None
    checkpoint_minutes: int = Field(default=15, ge=0, le=10_080)
    venue_urls: dict[str, str] = {}

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, url: SecretStr | None) -> SecretStr | None:
        """Said without the value: it may hold a password."""
        if url is not None and not _CONNECTION.match(url.get_secret_value()):
            raise ValueError("it must begin with postgresql://, or be keys and values such as host=... dbname=...")
        return url

    @field_validator("venue_urls")
    @classmethod
    def _are_urls(cls, urls: dict[str, str]) -> dict[str, str]:
        if not all(url.startswith(("http://", "https://")) for url in urls.values()):
            raise ValueError("each must begin with http:// or https://")
        return urls

    @field_validator("checkpoint_folder")
    @classmethod
    def _is_absolute(cls, folder: Path | None) -> Path | None:
        return folder and folder.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no .env, no secrets folder."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=home_folder() / FILE)


def load_settings() -> Settings:
    """Read the settings; raises InputError that names the key or variable and what is allowed."""
    _check_environment()
    if home_folder().exists() and not home_folder().is_dir():
        raise InputError(f"the data folder {home_folder()} is not a folder; see TRUETAPE_HOME")
    path = home_folder() / FILE
    _check_file(path)
    try:
        return Settings(home=home_folder())
    except (ValidationError, SettingsError) as error:
        raise InputError(f"settings (environment or {path}): {_reason(error)}") from None


def _check_environment() -> None:
    allowed = {PREFIX + name.upper() for name in Settings.model_fields} | set(CLIENT_VARIABLES)
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in allowed:
            raise InputError(f"unknown environment variable {name}; allowed: {', '.join(sorted(allowed))}")


def _check_file(path: Path) -> None:
    try:
        keys = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from None
    # The file lies in the home folder, so it cannot say where that is.
    allowed = set(Settings.model_fields) - {"home"}
    for key in keys:
        if key not in allowed:
            raise InputError(f"{path}: unknown key {key!r}; allowed: {', '.join(sorted(allowed))}")


def _reason(error: ValidationError | SettingsError) -> str:
    """The first thing wrong, without the value: it may be a secret."""
    if isinstance(error, SettingsError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
