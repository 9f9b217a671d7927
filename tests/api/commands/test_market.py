"""`truetape market` as people and programs run it."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from api.commands.market import app, duration
from tests.infrastructure.market_data.candles import minutes, write_csv

pytestmark = pytest.mark.usefixtures("home")


def run(*arguments: object) -> int:
    """The exit code of a market command."""
    code: Any = typer.main.get_command(app)(args=[str(each) for each in arguments], standalone_mode=False)
    assert isinstance(code, int)
    return code


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "candles.csv", minutes(0, 1, 2, 5, 6))


def test_import_list_export(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("import", source, "--instrument", "BTC/USDT", "--json") == 0
    imported = json.loads(capsys.readouterr().out)
    assert imported["new"] is True
    assert imported["interval_seconds"] == 60
    assert imported["gaps"] == {
        "count": 1,
        "longest_minutes": 3,
        "first": [{"from": "2022-01-01T00:02:00Z", "to": "2022-01-01T00:05:00Z"}],
    }
    assert (imported["from"], imported["to"]) == ("2022-01-01T00:00:00Z", "2022-01-01T00:06:00Z")

    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == {"tapes": [{key: value for key, value in imported.items() if key != "new"}], "damaged": []}

    out = tmp_path / "out.csv"
    assert run("export", "candles", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "rows": 5, "digest": imported["digest"]}
    assert out.read_text().splitlines()[1] == "2022-01-01T00:00:00Z,10.5,11,10,10.75,3"
    assert run("import", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["digest"] == imported["digest"]


def test_people_see_a_table(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert "No tape yet" in capsys.readouterr().out
    assert run("import", source) == 0
    said = capsys.readouterr().out
    for part in ("candles", "5", "2022-01-01T00:06:00Z", "1m", "1, the longest 3m", "2022-01-01T00:02:00Z to"):
        assert part in said
    assert run("list") == 0
    assert "candles" in capsys.readouterr().out
    assert run("export", "candles", tmp_path / "out.parquet") == 0
    assert "5 candles written to" in capsys.readouterr().out


def test_bad_input_is_one_line_and_code_2(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write_csv(tmp_path / "bad.csv", [*minutes(0, 1), minutes(2)[0].replace("11", "9")])
    for arguments, what in (
        (("import", bad), f"error: {bad}: row 3 (line 4): high 9 is below low 10"),
        (("import", tmp_path), "is a folder"),
        (("export", "nothing", tmp_path / "x.csv"), "no tape is named 'nothing'"),
    ):
        assert run(*arguments) == 2
        out, said = capsys.readouterr()
        assert out == ""
        assert what in said
        assert len(said.splitlines()) == 1
    assert list(home.iterdir()) == []


def test_export_refuses_what_it_cannot_write(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("import", source)
    (tmp_path / "folder.csv").mkdir()
    for path, what in (
        (tmp_path / "x.xls", "is of no known kind; allowed are .csv and .parquet"),
        (tmp_path / "folder.csv", "is a folder"),
        (source / "x.csv", "cannot be written"),
    ):
        assert run("export", "candles", path) == 2
        assert what in capsys.readouterr().err


def test_a_damaged_tape_is_found(source: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("import", source)
    (home / "market" / "candles.parquet").write_text("hello")
    capsys.readouterr()
    assert run("list", "--json") == 1
    listed = json.loads(capsys.readouterr().out)
    assert listed["tapes"] == []
    assert listed["damaged"][0]["name"] == "candles"
    assert run("list") == 1
    assert "DAMAGED candles" in capsys.readouterr().out
    assert run("export", "candles", tmp_path / "x.csv") == 2
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "unknown"), (60_000_000, "1m"), (3_600_000_000, "1h"), (120_720_000_000, "2,012m"), (1_500, "1,500us")],
)
def test_durations(microseconds: int, text: str) -> None:
    assert duration(microseconds) == text
