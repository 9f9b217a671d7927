"""`truetape backtest` of a long tape: another process writes its tables, and nothing can be told from its files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from api.commands.backtest import BYTES_MIN
from infrastructure.market_data.tape import folder
from replay import session
from replay.demo import demo_tape
from replay.files import FILES
from replay.table_process import CANDLES_MIN
from tests.api.stage import environment, run

DAYS = 110
HEAVY = ("polars", "pydantic_settings", "psycopg", "fastapi", "eventsourcing", "ccxt")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a long tape."""
    home = tmp_path_factory.mktemp("home")
    tape = demo_tape(DAYS, 4)
    tape.save(folder(home) / "long.parquet")
    assert len(tape) > CANDLES_MIN
    return home


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_HOME", str(home))


def arguments(out: Path, *more: str) -> list[str]:
    return [
        "backtest", "sma_cross", "--tape=long", "--instrument=BTC/USDT", "--set=notional=10000", "--set=slow=200",
        "--balance=USDT=100000", f"--out={out}", *more,
    ]  # fmt: skip


def test_its_files_are_those_that_one_process_writes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, alone = tmp_path / "beside", tmp_path / "alone"
    assert (folder(home) / "long.parquet").stat().st_size > BYTES_MIN  # the process is begun before the run is known
    assert run(*arguments(beside)).code == 0
    monkeypatch.setattr(session, "CANDLES_MIN", DAYS * 1440 + 1)
    assert run(*arguments(alone)).code == 0
    for name in FILES:
        assert (beside / name).read_bytes() == (alone / name).read_bytes(), name
    assert json.loads((beside / "summary.json").read_text())["counts"]["fills"] > 500


def test_a_stretch_of_it_is_written_beside_too(tmp_path: Path) -> None:
    """The process is begun only once it is known how long that is."""
    assert run(*arguments(tmp_path / "whole")).code == 0
    assert run(*arguments(tmp_path / "cut", "--from=2020-01-01")).code == 0
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_the_run_itself_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    assert run(*arguments(tmp_path / "first")).code == 0  # from here on the tape has its copy
    script = (
        "import json, sys\nfrom api.cli import run_cli\n"
        f"code = run_cli({arguments(tmp_path / 'again')!r})\nprint(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True, timeout=100
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert {name.partition(".")[0] for name in modules} & set(HEAVY) == set()
    assert "numpy" in modules


def test_what_is_refused_after_it_was_begun_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused = run(*arguments(out, "--set=fast=500"))
    assert refused.code == 2
    assert not out.exists()
