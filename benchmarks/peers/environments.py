"""The engines that are compared, and an environment for each peer under `build/peers`, made once."""

import subprocess
import sys
import venv
from pathlib import Path
from shutil import which
from typing import NamedTuple

from benchmarks.peers.reference import Rule
from benchmarks.peers.workload import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "peers"
READER = "polars==2.1.0"
"""Reads the candles in every environment, as it does in ours."""
NEWEST_PYTHON = 14


class Engine(NamedTuple):
    """`rule` is that of the reference which its fills follow; `needs` is what its environment has, ours where empty."""

    name: str
    module: str
    workloads: tuple[str, ...] = tuple(WORKLOADS)
    needs: tuple[str, ...] = ()
    rule: Rule = "candle-v1"
    minor: int = 11
    """It wants Python 3.minor or newer."""
    at: Path = ROOT
    """The folder whose modules it finds first."""

    def command(self) -> list[str]:
        return [str(self._python()), "-m", f"benchmarks.peers.{self.module}"]

    def prepare(self) -> None:
        """Make the environment where it is missing or has other versions."""
        stamp = self._folder() / ".installed"
        wanted = "\n".join((*self.needs, READER))
        if not self.needs or (stamp.exists() and stamp.read_text("utf-8") == wanted):
            return
        print(f"making {self._folder().relative_to(ROOT)}: {', '.join(self.needs)}", flush=True)
        maker = python_from(self.minor)
        if maker == sys.executable:
            venv.create(self._folder(), clear=True, with_pip=True)
        else:
            subprocess.run([maker, "-m", "venv", "--clear", self._folder()], check=True)
        pip = [str(self._python()), "-m", "pip", "--disable-pip-version-check", "install", "-qq", *self.needs, READER]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted, "utf-8")

    def _folder(self) -> Path:
        return FOLDER / self.module

    def _python(self) -> Path:
        return self._folder() / "bin" / "python" if self.needs else Path(sys.executable)


OURS = Engine("truetape", "truetape")
COMPILED = Engine("truetape, compiled", "truetape", at=ROOT / "build" / "compiled")
"""The same source through Cython, where `make compiled` has been there."""
PEERS = (
    Engine("nautilus_trader 2.0.0rc6", "nautilus", needs=("nautilus_trader==2.0.0rc6",), rule="close fill", minor=12),
    Engine("backtesting.py 0.6.6", "backtesting_py", needs=("backtesting==0.6.6",)),
    Engine("vectorbt 1.2.0, Rust", "vectorbt_rust", ("sma_cross",), needs=("vectorbt[rust]==1.2.0",)),
    Engine("hftbacktest 2.4.4", "hft", ("grid",), needs=("hftbacktest==2.4.4",), rule="own price"),
)
ENGINES = (OURS, *([COMPILED] if COMPILED.at.is_dir() else []), *PEERS)


def python_from(minor: int) -> str:
    """A Python 3.minor or newer that starts: this one, one on the path, or one of pyenv's."""
    if sys.version_info >= (3, minor):
        return sys.executable
    names = [f"python3.{each}" for each in range(minor, NEWEST_PYTHON + 1)]
    kept = sorted(path for name in names for path in Path.home().glob(f".pyenv/versions/*/bin/{name}"))
    for found in [*(which(name) for name in names), *map(str, kept)]:
        # A shim may be on the path and start nothing.
        if found and not subprocess.run([found, "-m", "venv", "--help"], capture_output=True, check=False).returncode:
            return found
    raise SystemExit(f"error: Python 3.{minor} or newer with venv is needed: put {' or '.join(names)} on the path")
