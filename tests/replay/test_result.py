"""The files of a backtest say what its log says."""

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from msgspec import structs

from domain.account.events import InstrumentListed, OrderFilled
from domain.errors import InputError
from domain.market import Instrument, make_instrument
from domain.message import Event, Record
from domain.values import DAY, Asset, Cash, InstrumentId, Quantity, Time, parse_time, time_text
from infrastructure.event_store.event_frames import SCHEMA
from infrastructure.event_store.readable import Reader
from projections.performance import RoundTrip
from replay import log_tables
from replay.log_tables import FILL_COLUMNS, TRIP_COLUMNS, write_event_table, write_fills, write_round_trips
from replay.metrics.curve import Curve
from replay.result import EQUITY_COLUMNS, write_equity
from tests.replay.run import Ran, ran
from tests.spec import instrument

NOON = parse_time("2022-03-01T12:00:00Z")
Log = list[Record[Event]]


@pytest.fixture(scope="module")
def made() -> Ran:
    return ran()


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- fills -----------------------------------------------------------------------------------------------------------


def fill(name: str, fee_asset: str, at: int, **changes: Any) -> OrderFilled:
    fields: dict[str, Any] = {
        "account": "main", "order": 7, "bot": "bot", "group": 1, "leg": 0, "role": "entry", "instrument": InstrumentId(name),
        "side": "buy", "price": 1_234_500, "quantity": 70_010, "cash": 5, "received": 70_010, "fee": 120_030,
        "fee_asset": Asset(fee_asset), "liquidity": "maker", "trade": "t", "venue_at": Time(at), "remaining": Quantity(0),
    }  # fmt: skip
    return OrderFilled(**{**fields, **changes})


def listing(listed: Instrument) -> InstrumentListed:
    return InstrumentListed("main", listed, Decimal(0), Decimal(0), Decimal(0))


def log_of(*events: Event) -> Log:
    return [Record(1, number, Time(0), "me", None, (event,)) for number, event in enumerate(events, 1)]


def read_slowly(records: Log) -> list[dict[str, str]]:
    """The rows as the reader of the log has them."""
    reader, rows = Reader(), []
    for record in records:
        reader.learn(record)
        for event in record.events:
            if isinstance(event, OrderFilled):
                told = reader.fields(event)
                cells = (
                    time_text(event.venue_at), str(event.order), event.instrument, event.side,
                    told["price"], told["quantity"], told["fee"], event.fee_asset,
                )  # fmt: skip
                rows.append(dict(zip(FILL_COLUMNS, cells, strict=True)))
    return rows


def test_fills_of_a_backtest(made: Ran, tmp_path: Path) -> None:
    write_fills(tmp_path / "fills.csv", made.records)
    assert lines(tmp_path / "fills.csv") == read_slowly(made.records)
    assert len(made.fills) > 100


def test_fills_of_several_instruments_and_fee_assets_have_their_own_places(tmp_path: Path) -> None:
    coarse = make_instrument("DOGE/INR", Decimal("0.1"), Decimal(1), Decimal(0))
    finer = make_instrument("BTC/USDT", Decimal("0.0001"), Decimal("0.001"), Decimal(0))
    told = [("BTC/USDT", "USDT"), ("DOGE/INR", "INR"), ("BTC/USDT", "BTC"), ("DOGE/INR", "BNB")]
    fills = [fill(name, asset, NOON + number) for number, (name, asset) in enumerate(told * 2)]
    records = log_of(fills[0], listing(instrument()), listing(coarse), *fills, listing(finer), *fills)
    write_fills(tmp_path / "fills.csv", records)
    rows = lines(tmp_path / "fills.csv")
    assert rows == read_slowly(records)
    assert [rows[0]["price"], rows[1]["price"], rows[2]["price"], rows[9]["price"]] == [
        "1234500", "12345", "123450", "123.45",
    ]  # fmt: skip
    assert [row["fee"] for row in rows[1:5]] == ["0.0012003", "1200.3", "120.03", "0.0012003"]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (NOON, "2022-03-01T12:00:00Z"),
        (NOON + 1, "2022-03-01T12:00:00.000001Z"),
        (NOON + 3_723_000_000, "2022-03-01T13:02:03Z"),
        (NOON // DAY * DAY - 1_000_000, "2022-02-28T23:59:59Z"),
    ],
)
def test_times_of_fills_are_those_of_the_log(at: int, text: str, tmp_path: Path) -> None:
    write_fills(tmp_path / "fills.csv", log_of(listing(instrument()), fill("BTC/USDT", "USDT", at)))
    assert lines(tmp_path / "fills.csv")[0]["at"] == text == time_text(at)


# --- events ----------------------------------------------------------------------------------------------------------


def test_every_event_is_a_row(made: Ran, tmp_path: Path) -> None:
    write_event_table(tmp_path / "events.parquet", made.records)
    frame = pl.read_parquet(tmp_path / "events.parquet")
    assert dict(frame.schema) == SCHEMA
    reader = Reader()
    told = [line for record in made.records for line in reader.lines(record)]
    assert frame["position"].to_list() == list(range(1, len(told) + 1))
    assert frame["event"].to_list() == [line["event"] for line in told]
    assert [msgspec.json.decode(data) for data in frame["data"]] == [line["data"] for line in told]
    filled = frame.filter(event="account.order_filled.v1")["data"].str.json_path_match("$.price")
    assert filled.to_list() == [row["price"] for row in read_slowly(made.records)]


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a[1]*?" / "events.parquet"
    write_event_table(path, log_of(listing(instrument())))
    assert [each.name for each in path.parent.iterdir()] == ["events.parquet"]
    with path.open("rb") as file:
        assert pl.read_parquet(file).height == 1


def test_a_table_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield from log_of(listing(instrument()))
        raise InputError("the log ends here")

    with pytest.raises(InputError, match="the log ends here"):
        write_event_table(tmp_path / "events.parquet", broken())
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_events_is_a_table_without_rows(tmp_path: Path) -> None:
    write_event_table(tmp_path / "events.parquet", [])
    frame = pl.read_parquet(tmp_path / "events.parquet")
    assert dict(frame.schema) == SCHEMA
    assert frame.height == 0


# --- round trips and equity ------------------------------------------------------------------------------------------


def test_round_trips_add_up_to_the_profit(made: Ran, tmp_path: Path) -> None:
    write_round_trips(tmp_path / "trips.csv", made.trades.trips, made.instruments)
    rows = lines(tmp_path / "trips.csv")
    assert tuple(rows[0]) == TRIP_COLUMNS
    assert len(rows) == len(made.trades.trips) > 50
    for row in rows:
        gained = Decimal(row["exit_cash"]) - Decimal(row["entry_cash"]) - Decimal(row["fees"])
        assert row["side"] == "long"
        assert Decimal(row["profit"]) == gained
    total = sum(Decimal(row["profit"]) for row in rows)
    assert total == Decimal(sum(trip.profit for trip in made.trades.trips)).scaleb(-8)


def test_round_trips_of_several_instruments_keep_their_order_and_places(tmp_path: Path) -> None:
    coarse = make_instrument("DOGE/INR", Decimal("0.1"), Decimal(1), Decimal(0))
    listed = {str(each.id): each for each in (instrument(), coarse)}
    trip = RoundTrip(
        "main", "", 0, InstrumentId("BTC/USDT"), "short", Quantity(1500), Time(NOON), Time(NOON + 1), Cash(250),
        Cash(150), Cash(1), Cash(99), 0, 12,
    )  # fmt: skip
    other = structs.replace(trip, instrument=InstrumentId("DOGE/INR"), bot="a,b", side="long")
    write_round_trips(tmp_path / "trips.csv", [trip, other, trip], listed)
    assert (tmp_path / "trips.csv").read_text().splitlines()[1:] == [
        "2022-03-01T12:00:00Z,2022-03-01T12:00:00.000001Z,,0,BTC/USDT,short,1.5,0.0000025,0.0000015,0.00000001,0.00000099,0,12",
        '2022-03-01T12:00:00Z,2022-03-01T12:00:00.000001Z,"a,b",0,DOGE/INR,long,1500,2.5,1.5,0.01,0.99,0,12',
        "2022-03-01T12:00:00Z,2022-03-01T12:00:00.000001Z,,0,BTC/USDT,short,1.5,0.0000025,0.0000015,0.00000001,0.00000099,0,12",
    ]
    write_round_trips(tmp_path / "none.csv", [], {})
    assert (tmp_path / "none.csv").read_text() == ",".join(TRIP_COLUMNS) + "\n"


def test_fills_are_the_same_however_many_are_written_at_once(
    made: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fills(tmp_path / "a.csv", made.records)
    monkeypatch.setattr(log_tables, "FILLS_AT_ONCE", 7)
    write_fills(tmp_path / "b.csv", made.records)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    write_fills(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == ",".join(FILL_COLUMNS) + "\n"


def test_equity_day_by_day(tmp_path: Path) -> None:
    """Two closes on the first day, one at its midnight, two on the next; the run begins with 100."""
    hours = np.array([12, 24, 30, 36], np.int64) * 3_600_000_000
    equity = np.array([80, 90, 120, 108], np.int64) * 10**8
    exposure = np.array([0, 50, 0, 7], np.int64) * 10**8
    curve = Curve(hours, equity, exposure, Time(0), 100 * 10**8, 8, Asset("USDT"))
    write_equity(tmp_path / "equity.csv", curve)
    assert lines(tmp_path / "equity.csv") == [
        dict(zip(EQUITY_COLUMNS, cells, strict=True))
        for cells in (
            ("1970-01-01", "90", "50", "-0.10000000", "-0.10000000", "-0.20000000"),
            ("1970-01-02", "108", "7", "0.20000000", "-0.10000000", "-0.10000000"),
        )
    ]


def test_equity_of_a_run_that_began_with_nothing_has_no_returns(tmp_path: Path) -> None:
    curve = Curve(
        np.array([DAY], np.int64), np.array([-5], np.int64), np.array([0], np.int64), Time(0), 0, 8, Asset("USDT")
    )
    write_equity(tmp_path / "equity.csv", curve)
    (row,) = lines(tmp_path / "equity.csv")
    assert (row["equity"], row["return"], row["drawdown"]) == ("-0.00000005", "", "0.00000000")


def test_equity_ends_where_the_summary_does(made: Ran, tmp_path: Path) -> None:
    write_equity(tmp_path / "equity.csv", made.curve)
    rows = lines(tmp_path / "equity.csv")
    assert rows[-1]["equity"] == made.final_equity
    assert len(rows) == 20
