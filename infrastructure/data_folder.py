"""The data folder, for whoever needs no other setting: pydantic, an eighth of a second, is imported only where there is one."""

import os
from pathlib import Path

from infrastructure.home import CLIENT_VARIABLES, FILE, HOME, PREFIX, home_folder


def checked_home() -> Path:
    """The data folder, once all settings are sound; raises InputError where one is not, as `load_settings` does."""
    home = home_folder()
    if _has_settings(home):
        from infrastructure.settings import load_settings  # noqa: PLC0415  (as the module says)

        return load_settings().home
    return home


def _has_settings(home: Path) -> bool:
    """Whether there is anything to check: another variable, a file, or something else where the folder should be."""
    known = {HOME, *CLIENT_VARIABLES}
    if any(name.startswith(PREFIX) and name not in known for name in os.environ):
        return True
    return os.path.lexists(home / FILE) or (home.exists() and not home.is_dir())
