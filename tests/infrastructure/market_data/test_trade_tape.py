"""Trade tapes keep every print in its order, exactly."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from domain.errors import InputError
from domain.values import Time
from infrastructure.market_data.trade_tape import TradeTape, read_trades
from tests.conftest import shared_data

REAL = "trades/binance_trades_20240808.parquet"
AT = 1_723_161_255_342


def write(path: Path, rows: list[tuple[int, str, str]]) -> Path:
    times, prices, sizes = zip(*rows, strict=True)
    pl.DataFrame({"at": times, "price": prices, "quantity": sizes}).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("market", "symbol", "rows"),
    [("spot", "BTCUSDT", 9738), ("usdm", "BTCUSDT", 21_313), ("", "ETHUSD_PERP", 1732)],
)
def test_real_trades_of_one_instrument(tmp_path: Path, market: str, symbol: str, rows: int) -> None:
    source = pl.read_parquet(shared_data(REAL)).filter(pl.col("symbol").cast(pl.String) == symbol)
    if market:
        source = source.filter(pl.col("market").cast(pl.String) == market)
    tape = read_trades(shared_data(REAL), symbol, market)
    assert len(tape) == rows
    assert tape.times.tolist() == (source["trade_time_ms"] * 1000).to_list()
    for quanta, scale, name in (
        (tape.prices, tape.price_scale, "price"),
        (tape.quantities, tape.quantity_scale, "qty"),
    ):
        assert [Decimal(value).scaleb(-scale) for value in quanta] == source[name].to_list()
    tape.save(tmp_path / "trades.parquet")
    again = TradeTape.load(tmp_path / "trades.parquet")
    assert again.header == tape.header
    assert again.prices.tolist() == tape.prices.tolist()


def test_an_instrument_must_be_chosen_where_there_are_several() -> None:
    path = shared_data(REAL)
    for symbol, market, found in (("BTCUSDT", "", "more than one"), ("", "", "more than one"), ("DOGE", "", "no")):
        with pytest.raises(InputError, match=f"has {found} instrument .* spot/BTCUSDT"):
            read_trades(path, symbol, market)


def test_trades_of_one_time_keep_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [(AT, "2.5", "1"), (AT, "2.25", "3"), (AT, "2.5", "2"), (AT + 1, "3", "0.5")])
    tape = read_trades(path, instrument="A/B")
    assert tape.prices.tolist() == [250, 225, 250, 300]
    assert tape.quantities.tolist() == [10, 30, 20, 5]
    assert tape.slice(Time(AT * 1000), Time(AT * 1000 + 1)).quantities.tolist() == [10, 30, 20]
    finer = tape.rescaled(3, 2)
    assert (finer.prices.tolist()[0], finer.quantities.tolist()[0]) == (2500, 100)
    for scales in ((1, 1), (2, 0)):
        with pytest.raises(InputError, match="coarser"):
            tape.rescaled(*scales)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ((AT, "0", "1"), "price 0 is not above 0"),
        ((AT, "1", "-1"), "quantity -1 is not above 0"),
        ((AT, "x", "1"), "price 'x' is not a decimal number"),
        ((AT - 1, "1", "1"), "is out of order"),
    ],
)
def test_a_bad_trade_is_refused_by_its_row_in_the_file(tmp_path: Path, row: tuple[int, str, str], what: str) -> None:
    with pytest.raises(InputError, match=f"row 3: .*{what}"):
        read_trades(write(tmp_path / "a.parquet", [(AT, "1", "1"), (AT, "1", "1"), row]))


def test_rows_are_counted_in_the_file_not_in_the_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"at": [AT] * 4, "price": ["1", "1", "1", "x"], "quantity": ["1"] * 4, "symbol": ["A", "B", "A", "B"]}
    pl.DataFrame(columns).write_parquet(path)
    assert len(read_trades(path, "A")) == 2
    with pytest.raises(InputError, match="row 4: price"):
        read_trades(path, "B")


def test_files_that_are_no_trades_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"at": [AT], "cost": ["1"]}).write_parquet(path)
    with pytest.raises(InputError, match="has columns at, cost; needed are"):
        read_trades(path)
    with pytest.raises(InputError, match="has no column symbol"):
        read_trades(write(path, [(AT, "1", "1")]), "BTCUSDT")
    with pytest.raises(InputError, match=r"\.parquet files only"):
        read_trades(tmp_path / "a.csv")
