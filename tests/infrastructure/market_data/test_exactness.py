"""Law: what goes in as decimals comes out as the same decimals, whatever wrote the file."""

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.values import decimal_text
from infrastructure.market_data.amounts import Amounts, RowError, exact_amounts, rescale
from infrastructure.market_data.exporters import export_tape
from infrastructure.market_data.importers import read_candles
from infrastructure.market_data.tape import Tape
from tests.infrastructure.market_data.candles import Row, candle_rows, spellings, write_csv


def rows_of(tape: Tape) -> list[Row]:
    """The tape's candles as decimals."""
    scales = (tape.price_scale,) * 4 + (tape.volume_scale,)
    return [
        Row(time, *(Decimal(decimal_text(value, scale)) for value, scale in zip(values, scales, strict=True)))
        for time, *values in zip(*tape.columns.values(), strict=True)
    ]


def csv_decimals(path: Path) -> list[list[Decimal]]:
    return [[Decimal(value) for value in line.split(",")[1:]] for line in path.read_text().splitlines()[1:]]


@given(st.data(), candle_rows())
def test_decimals_survive_import_and_export(data: st.DataObject, rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [",".join([str(row[0]), *(data.draw(spellings(number)) for number in row[1:])]) for row in rows]
        tape = read_candles(write_csv(folder / "in.csv", lines))
        assert rows_of(tape) == rows
        export_tape(tape, folder / "out.csv")
        assert csv_decimals(folder / "out.csv") == [list(row[1:]) for row in rows]
        export_tape(tape, folder / "out.parquet")
        assert [list(row[1:]) for row in pl.read_parquet(folder / "out.parquet").rows()] == [
            list(row[1:]) for row in rows
        ]
        for again in ("out.csv", "out.parquet"):
            assert read_candles(folder / again, tape.interval).digest == tape.digest


@given(candle_rows(digits=15))
def test_formats_of_the_same_candles_have_one_digest(rows: list[Row]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    times = pl.Series("open_time", columns[0])
    names = Row._fields[1:]
    floats = [
        pl.Series(name, [float(value) for value in values]) for name, values in zip(names, columns[1:], strict=True)
    ]
    exact = [pl.Series(name, values, dtype=pl.Decimal(38, 15)) for name, values in zip(names, columns[1:], strict=True)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame([times, *floats]).write_parquet(folder / "float.parquet")
        pl.DataFrame([times.cast(pl.Datetime("us")), *exact]).write_parquet(folder / "decimal.parquet")
        lines = [",".join([str(row[0]), *(format(number, "f") for number in row[1:])]) for row in rows]
        write_csv(folder / "text.csv", lines)
        tapes = [read_candles(folder / file) for file in ("float.parquet", "decimal.parquet", "text.csv")]
    assert [rows_of(tape) for tape in tapes] == [rows] * 3
    assert len({tape.digest for tape in tapes}) == 1


@given(st.lists(st.floats(min_value=1e-9, max_value=9e8, allow_nan=False), min_size=1, max_size=20))
def test_a_float_is_the_shortest_decimal_that_prints_as_it(values: list[float]) -> None:
    column = pl.Series("price", values, dtype=pl.Float64)
    expected = [Decimal(repr(value)).normalize() for value in values]
    places = max(0, *(-int(number.as_tuple().exponent) for number in expected))
    if places > 18 or max(expected).scaleb(places) > 2**63 - 1:
        with pytest.raises(RowError, match=r"18 decimal places|64 bits"):
            exact_amounts(column)
        return
    quanta, scale = exact_amounts(column)
    assert scale == places
    assert [Decimal(int(value)).scaleb(-scale) for value in quanta] == expected


@given(st.lists(st.integers(-(2**51) + 1, 2**51 - 1), min_size=1, max_size=20), st.integers(0, 12))
def test_quanta_survive_floats(quanta: list[int], scale: int) -> None:
    values = [float(Decimal(value).scaleb(-scale)) for value in quanta]
    found = exact_amounts(pl.Series("price", values, dtype=pl.Float64))
    assert found.scale <= scale
    assert rescale("price", found, scale).tolist() == quanta


def test_single_precision_is_read_as_it_prints() -> None:
    found = exact_amounts(pl.Series("price", [46216.93, 0.1, 3.0], dtype=pl.Float32))
    assert (found.quanta.tolist(), found.scale) == ([4_621_693, 10, 300], 2)


@pytest.mark.parametrize("dtype", [pl.Int32, pl.UInt64, pl.Int128])
def test_integers_need_no_places(dtype: type[pl.DataType]) -> None:
    found = exact_amounts(pl.Series("volume", [7, 2**31 - 1], dtype=dtype))
    assert (found.quanta.tolist(), found.scale) == ([7, 2**31 - 1], 0)


def test_the_scale_is_the_smallest() -> None:
    assert exact_amounts(pl.Series("price", ["1.500", "2.00", "3"])).scale == 1


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("nan", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("1,5", "not a decimal number"),
        ("1_0", "not a decimal number"),
        ("٣", "not a decimal number"),
        ("", "missing"),
        ("9223372036854775808", "64 bits"),
        ("1e30", "64 bits"),
        ("1e-19", "18 decimal places"),
        ("1e999", "out of range"),
        ("9" * 5_000, "64 bits"),
    ],
)
def test_text_that_is_no_amount_is_refused(value: str, what: str) -> None:
    with pytest.raises(RowError, match=what) as refusal:
        exact_amounts(pl.Series("price", ["1.5", value, "2"]))
    assert refusal.value.row == 1
    assert len(refusal.value.what) < 200


def test_what_a_common_scale_makes_too_large_is_refused() -> None:
    amounts = Amounts(np.array([1, 2**62]), 0)
    with pytest.raises(RowError, match="64 bits with 1 decimal places") as refusal:
        rescale("high", amounts, 1)
    assert refusal.value.row == 1
