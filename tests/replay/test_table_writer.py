"""The tables of a log that a process of its own writes beside the run."""

from pathlib import Path

import polars as pl
import pytest

from domain.errors import InputError
from domain.strategies.grid import STRATEGY
from replay.files import EVENTS_FILE, FILLS_FILE, TRIPS_FILE
from replay.game import play
from replay.log_tables import write_log_tables
from replay.spool import Spool
from replay.table_process import TableProcess
from tests.strategy_game import GRID, candles, game_of, made

GAME = game_of([made("s", STRATEGY, GRID)], candles(12_000))
START = GAME.start()
TABLES = (EVENTS_FILE, FILLS_FILE, TRIPS_FILE)


def begun(out: Path) -> TableProcess:
    process = TableProcess(out)
    process.begin(START)
    return process


def test_it_writes_what_would_be_written_after_the_run(tmp_path: Path) -> None:
    beside, after = tmp_path / "beside", tmp_path / "after"
    with begun(beside) as tables, Spool(beside=tables) as spool:
        play(GAME, spool)
        spool.flush()
        tables.end()
        write_log_tables(after, spool.records(), START)
        tables.finish()
    assert sorted(path.name for path in beside.iterdir()) == sorted(TABLES)
    for name in TABLES:
        assert (beside / name).read_bytes() == (after / name).read_bytes(), name
    assert pl.read_parquet(beside / EVENTS_FILE).height > 4000  # several blocks of the spool


def test_a_log_that_is_not_whole_gets_no_table(tmp_path: Path) -> None:
    with begun(tmp_path) as tables, Spool(beside=tables) as spool:
        play(GAME, spool)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TableProcess(out):
        pass
    assert not out.exists()


@pytest.mark.parametrize("name", TABLES)
def test_a_place_that_cannot_be_written_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with begun(tmp_path) as tables, Spool(beside=tables) as spool:
        play(GAME, spool)
        spool.flush()
        tables.end()
        with pytest.raises(InputError, match=rf"^{tmp_path}/{name} cannot be written: \w"):
            tables.finish()
