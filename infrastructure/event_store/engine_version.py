"""Which code is running: its version, and a hash over the sources that decide what a run's log says."""

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SIMULATOR = "infrastructure/venues"


def engine_version() -> str:
    """The installed version, `unknown` where the code runs without being installed."""
    try:
        return metadata.version("truetape")
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def rules_hash(root: Path = _ROOT) -> str:
    """SHA-256 over `domain/` and the simulated venue and its market, in order of path: each path and contents, with their lengths."""
    paths = [*(root / "domain").rglob("*.py"), *(root / _SIMULATOR).glob("simulated*.py")]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in paths):
        for part in (name.encode(), path.read_bytes()):
            digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()
