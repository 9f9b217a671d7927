"""Segments as files: what was sealed comes back; what is no longer that is refused; analysts read it as Parquet."""

import json
from pathlib import Path

import polars as pl
import pytest

from domain.errors import InputError
from infrastructure.event_store import segments
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import records_of
from infrastructure.event_store.segments import read_segments, seal
from infrastructure.segment_files import export_parquet, export_segments, read_segment_file
from tests.infrastructure.event_store.rows import begin, record

SMALL = 8


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", SMALL)


def grow(database: Database, run: int, first: int, count: int) -> None:
    ledger = type(begin(database))(database, run)
    ledger.append([record(1, version) for version in range(first, first + count)])
    ledger.flush()
    seal(database)


@pytest.fixture
def run(database: Database) -> int:
    run = begin(database).run
    grow(database, run, 1, 2 * SMALL)
    return run


def test_only_what_is_not_there_is_written_and_it_comes_back(database: Database, run: int, tmp_path: Path) -> None:
    first = export_segments(database, tmp_path)
    assert [path.name for path in first] == ["segment-00000000.tape", "segment-00000001.tape"]
    assert [read_segment_file(path) for path in first] == list(read_segments(database))
    assert export_segments(database, tmp_path) == []
    grow(database, run, 2 * SMALL + 1, SMALL)
    (path,) = export_segments(database, tmp_path)
    assert read_segment_file(path).segment == 2


@pytest.mark.parametrize("at", [1, 60, 200, -1])
@pytest.mark.usefixtures("run")
def test_a_file_that_was_changed_is_refused(database: Database, tmp_path: Path, at: int) -> None:
    path = export_segments(database, tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=path.name):
        read_segment_file(path)


def test_parquet_has_every_event_of_every_run(database: Database, run: int, tmp_path: Path) -> None:
    export_parquet(database, tmp_path)
    frame = pl.read_parquet(tmp_path / "*.parquet")
    assert frame["position"].to_list() == list(range(1, 2 * SMALL + 1))
    mine = frame.filter(pl.col("run") == run, pl.col("stream") == "s1")
    kept = [each.decode() for each in records_of(database, run)][1:]
    assert mine["version"].to_list() == [each.version for each in kept][: len(mine)]
    assert set(mine["event"]) == {"position_group.closed.v1"}
    assert json.loads(mine["data"][0])["reason"] == "1.1"
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
