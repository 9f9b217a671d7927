"""Frames for notebooks: exact amounts, UTC times, nothing lost."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import make_instrument
from domain.values import LARGEST, SCALE_MAX, Asset, InstrumentId, Time, decimal_text
from replay.frames import UTC, curve_frame, events_frame, fills_frame, round_trips_frame
from replay.log_tables import write_event_table
from replay.metrics.curve import Curve
from tests.replay.run import Ran, ran


@pytest.fixture(scope="module")
def made() -> Ran:
    return ran()


def test_fills(made: Ran) -> None:
    frame = fills_frame(made.fills, made.instruments)
    assert frame.height == len(made.fills)
    assert frame.schema["at"] == UTC
    assert frame.schema["price"] == pl.Decimal(38, 2)
    last, row = made.fills[-1], frame.row(-1, named=True)
    assert row["price"] == Decimal(decimal_text(last.price, 2))
    assert row["quantity"] == Decimal(decimal_text(last.quantity, 5))
    assert (row["side"], row["order"], row["fee_asset"]) == (last.side, last.order, "USDT")
    assert frame["at"].dt.timestamp("us").to_list() == [fill.venue_at for fill in made.fills]
    assert frame["fee"].sum() == Decimal(sum(fill.fee for fill in made.fills)).scaleb(-8)


def test_fills_of_instruments_with_other_places_share_a_column(made: Ran) -> None:
    first = made.fills[0]
    other = make_instrument("DOGE/INR", Decimal("0.0001"), Decimal(1), Decimal(0))
    moved = type(first)(**{name: getattr(first, name) for name in first.__struct_fields__} | {
        "instrument": InstrumentId("DOGE/INR"), "fee_asset": Asset("INR"),
    })  # fmt: skip
    frame = fills_frame([first, moved], {**made.instruments, "DOGE/INR": other})
    assert frame["price"].to_list() == [Decimal(first.price).scaleb(-2), Decimal(first.price).scaleb(-4)]
    assert frame["fee"].to_list() == [Decimal(first.fee).scaleb(-8), Decimal(first.fee).scaleb(-2)]


def test_round_trips(made: Ran) -> None:
    frame = round_trips_frame(made.trades.trips, made.instruments)
    assert frame.height == len(made.trades.trips)
    gained = frame.select(pl.col("exit_cash") - pl.col("entry_cash") - pl.col("fees")).to_series()
    assert gained.to_list() == frame["profit"].to_list()
    assert (frame["closed_at"] >= frame["opened_at"]).all()
    assert frame["profit"].sum() == Decimal(sum(trip.profit for trip in made.trades.trips)).scaleb(-8)


def test_a_run_without_fills_has_frames_without_rows() -> None:
    assert fills_frame([], {}).height == round_trips_frame([], {}).height == events_frame([]).height == 0
    assert fills_frame([], {}).schema["at"] == round_trips_frame([], {}).schema["opened_at"] == UTC


def test_the_curve(made: Ran) -> None:
    frame = curve_frame(made.curve)
    assert frame.height == len(made.tape)
    assert frame.schema["equity"] == frame.schema["exposure"] == pl.Decimal(38, 8)
    assert frame["equity"][-1] == Decimal(made.final_equity)


@given(st.lists(st.integers(-LARGEST, LARGEST), min_size=1, max_size=5), st.integers(0, SCALE_MAX))
def test_equity_is_exact_whatever_its_size(quanta: list[int], scale: int) -> None:
    values = np.array(quanta, np.int64)
    curve = Curve(np.arange(len(values), dtype=np.int64), values, values, Time(0), 0, scale, Asset("USDT"))
    frame = curve_frame(curve)
    assert frame["equity"].to_list() == frame["exposure"].to_list() == [Decimal(each).scaleb(-scale) for each in quanta]


def test_events_are_those_of_the_file(made: Ran, tmp_path: Path) -> None:
    write_event_table(tmp_path / "events.parquet", made.records)
    assert events_frame(made.records).equals(pl.read_parquet(tmp_path / "events.parquet"))
