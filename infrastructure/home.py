"""Where the data folder is, and the names that settings are found by."""

import os
from pathlib import Path

PREFIX = "TRUETAPE_"
FILE = "truetape.toml"
CLIENT_VARIABLES = ("TRUETAPE_URL", "TRUETAPE_USER", "TRUETAPE_PASSWORD")
"""Of the commands that talk to a running server; known here so that they may be exported for all."""
HOME = PREFIX + "HOME"


def home_folder() -> Path:
    """The data folder: `TRUETAPE_HOME`, else the platform's folder for user data."""
    chosen = os.environ.get(HOME, "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs  # noqa: PLC0415  (only where it is asked)

    return platformdirs.user_data_path("truetape").absolute()
