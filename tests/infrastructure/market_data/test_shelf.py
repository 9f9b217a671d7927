"""Imports are kept once, under a name, and nothing of a bad one."""

from pathlib import Path

import polars as pl
import pytest

from domain.errors import InputError, MissingError
from infrastructure.market_data import importers
from infrastructure.market_data.exporters import export_tape
from infrastructure.market_data.importers import candles_from
from infrastructure.market_data.shelf import Damaged, Stored, find_tape, import_cached, list_tapes
from infrastructure.market_data.tape import Tape, folder
from tests.infrastructure.market_data.candles import minutes, write_csv


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "my candles.csv", minutes(0, 1, 2))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def names(home: Path) -> list[str]:
    return [each.name for each in list_tapes(home)]


def test_the_same_bytes_are_parsed_once(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = import_cached(source, home)
    assert (first.name, first.is_new) == ("my-candles", True)
    parsed: list[Path] = []

    def counted(path: Path, raw: bytes, interval: int = 0, instrument: str = "") -> Tape:
        parsed.append(path)
        return candles_from(path, raw, interval, instrument)

    monkeypatch.setattr(importers, "candles_from", counted)
    copy = source.with_name("copy.csv")
    copy.write_bytes(source.read_bytes())
    second = import_cached(copy, home)
    assert (second.path, second.header, second.is_new) == (first.path, first.header, False)
    assert not parsed
    second.path.unlink()
    assert import_cached(copy, home).is_new
    assert parsed == [copy]
    (next((folder(home) / "sources").iterdir())).write_text("spoiled")
    assert not import_cached(copy, home).is_new
    assert parsed == [copy, copy]


def test_the_same_candles_in_another_format_are_the_same_tape(source: Path, home: Path, tmp_path: Path) -> None:
    first = import_cached(source, home)
    export_tape(first.load(), tmp_path / "exported.parquet")
    second = import_cached(tmp_path / "exported.parquet", home)
    assert (second.path, second.is_new) == (first.path, False)
    assert names(home) == ["my-candles"]


def test_a_failing_import_leaves_nothing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        import_cached(write_csv(tmp_path / "bad.csv", [*minutes(0, 1), "x,1,1,1,1,1"]), home)
    assert not home.exists()


def test_a_failing_write_leaves_nothing(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: pl.DataFrame, file: Path, **options: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(InputError, match=r"my-candles\.parquet cannot be written: No space left"):
        import_cached(source, home)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_name_is_kept_for_its_tape(source: Path, home: Path, tmp_path: Path) -> None:
    assert import_cached(source, home, "first").name == "first"
    assert import_cached(source, home, "second").name == "second"
    assert names(home) == ["first", "second"]
    other = write_csv(tmp_path / "other.csv", minutes(0, 1, 2, 3))
    with pytest.raises(InputError, match="name first is taken"):
        import_cached(other, home, "first")
    assert find_tape(home, "first").header.rows == 3
    # Nobody asked for this name, so another serves.
    same_name = write_csv(tmp_path / "first.csv", minutes(0, 1, 2, 3))
    stored = import_cached(same_name, home)
    assert stored.name == f"first-{stored.header.digest[:8]}"


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "-x", "n" * 101])
def test_a_name_that_is_no_file_name_is_refused(source: Path, home: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not allowed"):
        import_cached(source, home, name)
    with pytest.raises(MissingError):
        find_tape(home, name)


def test_the_instrument_is_a_label(source: Path, home: Path) -> None:
    first = import_cached(source, home)
    labelled = import_cached(source, home, instrument="BTC/USDT")
    assert (labelled.path, labelled.header.digest) == (first.path, first.header.digest)
    assert labelled.load().instrument == "BTC/USDT"
    assert import_cached(source, home).header.instrument == "BTC/USDT"


def test_a_missing_name_says_which_there_are(source: Path, home: Path) -> None:
    with pytest.raises(MissingError, match="none yet"):
        find_tape(home, "x")
    import_cached(source, home)
    with pytest.raises(MissingError, match="there are: my-candles"):
        find_tape(home, "x")


def test_a_listing_goes_on_past_a_damaged_file(source: Path, home: Path) -> None:
    import_cached(source, home)
    (folder(home) / "a[b].parquet").write_text("hello")
    damaged, sound = list_tapes(home)
    assert isinstance(damaged, Damaged)
    assert "cannot be read as Parquet" in damaged.reason
    assert isinstance(sound, Stored)
    assert sound.load().header == sound.header
