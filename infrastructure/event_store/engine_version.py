"""Which code is running: its version, and a hash over the sources that decide what a run's log says."""

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SIMULATOR = "infrastructure/venues"
_RULES = ("lane.py", "prepared.py", "resting.py", "simulated*.py")


def engine_version() -> str:
    """The installed version, `unknown` where the code runs without being installed."""
    try:
        return metadata.version("truetape")
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def rules_hash(root: Path = _ROOT) -> str:
    """SHA-256 over `domain/` and the simulated venue and its market, in order of path: each path and contents, with their lengths."""
    simulator = [path for name in _RULES for path in (root / _SIMULATOR).glob(name)]
    paths = [*(root / "domain").rglob("*.py"), *simulator]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in paths):
        for part in (name.encode(), path.read_bytes()):
            digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()
