"""The importer on real files: a year of minutes, a quarter with gaps, the switch to microseconds."""

import time
from pathlib import Path

import polars as pl
import pytest

from domain.values import parse_time
from infrastructure.market_data.importers import read_candles
from infrastructure.market_data.shelf import import_cached
from infrastructure.market_data.tape import Tape
from tests.conftest import shared_data
from tests.infrastructure.market_data.candles import MINUTE

YEAR = "candles/binance_spot_BTCUSDT_1m_2022.parquet"
DAY = 1440


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return import_cached(shared_data(YEAR), tmp_path_factory.mktemp("home")).load()


def candle(tape: Tape, row: int) -> list[int]:
    return [column[row] for column in tape.columns.values()]


def test_a_year_of_minutes(year: Tape) -> None:
    assert len(year) == 365 * DAY
    assert (year.price_scale, year.volume_scale, year.interval) == (2, 6, MINUTE)
    assert year.gaps.count == 0
    start, end = parse_time("2022-01-01T00:00:00Z"), parse_time("2022-12-31T23:59:00Z")
    assert candle(year, 0) == [start, 4_621_693, 4_627_108, 4_620_837, 4_625_000, 40_575_740]
    last = pl.read_parquet(shared_data(YEAR)).row(-1)
    assert candle(year, -1) == [end, *(round(price * 100) for price in last[1:5]), round(last[5] * 1_000_000)]


def test_every_float_of_the_year_prints_back(year: Tape) -> None:
    frame = pl.read_parquet(shared_data(YEAR))
    for name, column in list(year.columns.items())[1:]:
        # Division of exact operands is rounded once, so it gives the float that the decimal reads as.
        power = 10.0 ** (year.volume_scale if name == "volume" else year.price_scale)
        assert [quanta / power for quanta in column] == frame[name].to_list()


def test_the_year_loads_in_a_moment(year: Tape, tmp_path: Path) -> None:
    year.save(tmp_path / "year.parquet")
    begin = time.perf_counter()
    Tape.load(tmp_path / "year.parquet")
    # It takes 0.08 s alone on the machine; the bound only tells a change of kind.
    assert time.perf_counter() - begin < 2


def test_a_quarter_with_gaps() -> None:
    tape = read_candles(shared_data("candles/binance_spot_BTCUSDT_1m_2018q1_gaps.parquet"))
    gaps = tape.gaps
    assert (len(tape), gaps.count, gaps.longest) == (127_415, 4, 2012 * MINUTE)
    assert [(gap.until - gap.since) // MINUTE for gap in gaps.first] == [126, 2012, 16, 35]
    assert gaps.first[1].since == parse_time("2018-02-08T00:28:00Z")


@pytest.mark.parametrize("symbol", ["AVAX", "BTC", "DOGE", "ETH", "LTC", "XRP"])
def test_five_minutes_with_one_gap(symbol: str) -> None:
    tape = read_candles(shared_data(f"candles/binance_spot_{symbol}USDT_5m_202208_202309.parquet"))
    assert (tape.interval, tape.gaps.count) == (5 * MINUTE, 1)


def test_milliseconds_become_microseconds_at_new_year(tmp_path: Path) -> None:
    folder = shared_data("candles/binance_daily_csv")
    old, new = (folder / f"BTCUSDT-1m-{day}.csv.gz" for day in ("2024-12-31", "2025-01-01"))
    before, after = read_candles(old), read_candles(new)
    assert len(before) == len(after) == DAY
    assert before.open_times[0] == parse_time("2024-12-31T00:00:00Z")
    assert after.open_times[0] == parse_time("2025-01-01T00:00:00Z") == before.open_times[-1] + MINUTE
    both = tmp_path / "both.csv.gz"
    # Two gzip members are one file, as `cat` makes it.
    both.write_bytes(old.read_bytes() + new.read_bytes())
    tape = read_candles(both)
    assert (len(tape), tape.gaps.count) == (2 * DAY, 0)


def test_csv_and_parquet_of_the_same_day_are_one_tape() -> None:
    quarter = read_candles(shared_data("candles/binance_spot_BTCUSDT_1m_2018q1_gaps.parquet"))
    day = read_candles(shared_data("candles/binance_daily_csv/BTCUSDT-1m-2018-02-08.csv.gz"))
    same = quarter.slice(parse_time("2018-02-08T00:00:00Z"), parse_time("2018-02-09T00:00:00Z"))
    assert len(same) == len(day) == 29
    assert {name: column.tolist() for name, column in same.columns.items()} == {
        name: column.tolist() for name, column in day.columns.items()
    }
