"""The table of events that a process of its own writes beside the run."""

from pathlib import Path

import polars as pl
import pytest

from domain.errors import InputError
from domain.strategies.grid import STRATEGY
from replay.game import play
from replay.result import write_event_table
from replay.spool import Spool
from replay.table_writer import TableWriter
from tests.strategy_game import GRID, candles, game_of, made

GAME = game_of([made("s", STRATEGY, GRID)], candles(12_000))


def test_it_writes_what_would_be_written_after_the_run(tmp_path: Path) -> None:
    with Spool() as spool, TableWriter(tmp_path / "beside.parquet", spool) as table:
        play(GAME, spool)
        spool.flush()
        write_event_table(tmp_path / "after.parquet", spool.records())
        table.finish()
    beside, after = (pl.read_parquet(tmp_path / name) for name in ("beside.parquet", "after.parquet"))
    assert beside.height > 4000  # several blocks of the spool
    assert beside.equals(after)


def test_what_was_spooled_before_it_began_is_in_it(tmp_path: Path) -> None:
    with Spool() as spool:
        play(GAME, spool)
        with TableWriter(tmp_path / "late.parquet", spool) as table:
            table.finish()
        events = sum(len(record.events) for record in spool.records())
    assert pl.read_parquet(tmp_path / "late.parquet").height == events


def test_a_run_that_breaks_off_leaves_no_table(tmp_path: Path) -> None:
    with Spool() as spool, TableWriter(tmp_path / "gone.parquet", spool):
        play(GAME, spool)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    path = tmp_path / "taken" / "events.parquet"
    with Spool() as spool, TableWriter(path, spool) as table:
        play(GAME, spool)
        spool.flush()
        with pytest.raises(InputError, match=r"events\.parquet cannot be written: \w"):
            table.finish()
