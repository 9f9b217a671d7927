"""The bytes of a file that somebody named."""

from pathlib import Path

from domain.errors import InputError

ALLOWED = ".csv, .csv.gz, .zip or .parquet"


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that must be one and must not be empty."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; allowed is a file, {ALLOWED}")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not raw:
        raise InputError(f"{path} is empty")
    return raw
