"""Events as columns say to the byte what the reader says of each, one by one."""

from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account.events import FillUnmatched, InstrumentListed, OrderFilled, OrderTriggered
from domain.catalogue import EVENTS
from domain.market import Instrument, make_instrument
from domain.message import Event, Record
from domain.strategy.events import StrategyActed
from domain.strategy.intents import CLOSE, Cancel, Place
from domain.values import LARGEST, SCALE_MAX, TIME_END, InstrumentId, Price, Quantity, Time, decimal_text, time_text
from infrastructure.event_store import event_frames as module
from infrastructure.event_store.event_frames import SCHEMA, decimal_texts, event_frames, time_texts
from infrastructure.event_store.readable import Reader
from replay.demo import demo_alerts, demo_setup, demo_tape
from replay.game import backtest
from tests.golden.examples import examples_of
from tests.spec import instrument

Log = list[Record[Event]]


class Kept(list[Record[Event]]):
    def append(self, records: Any) -> None:
        self.extend(records)


def read_singly(records: Log) -> list[tuple[Any, ...]]:
    """The rows that the reader gives, event by event."""
    reader, rows = Reader(), list[tuple[Any, ...]]()
    for record in records:
        for line in reader.lines(record):
            data = msgspec.json.encode(line["data"]).decode()
            shown = (line["stream"], line["version"], line["at"], line["actor"], line["cause"], line["event"], data)
            rows.append((len(rows) + 1, *shown))
    return rows


def read_together(records: Log, block: int = 1000) -> list[tuple[Any, ...]]:
    frame = pl.concat([pl.DataFrame(schema=SCHEMA), *event_frames(records, block)])
    return frame.with_columns(pl.col("at").dt.timestamp("us").map_elements(time_text, pl.String)).rows()


def listing(listed: Instrument, version: int) -> Record[Event]:
    rates = (Decimal(0), Decimal(0), Decimal(0))
    return Record(1, version, Time(0), "me", None, (InstrumentListed("main", listed, *rates),), "account/main")


def filled(name: str, fee_asset: Any, at: int = 0) -> OrderFilled:
    amounts: Any = (1_234_567, -8_900, 10_000_000_000, 0, 12_345)
    price, quantity, cash, received, fee = amounts
    return OrderFilled(
        "main", 1, "bot", 0, 0, "entry", InstrumentId(name), "buy", price, quantity, cash, received, fee,
        fee_asset, "maker", 't"1', Time(at), Quantity(7),
    )  # fmt: skip


def test_a_backtests_log() -> None:
    tape, kept = demo_tape(10, 3), Kept()
    backtest(demo_setup(), tape, demo_alerts(tape, 400, 3), kept)
    assert len({type(event) for record in kept for event in record.events}) > 25
    rows = read_singly(kept)
    assert read_together(kept) == rows
    assert read_together(kept, 7) == rows


@pytest.mark.parametrize("event_type", EVENTS, ids=lambda event_type: event_type.__name__)
def test_every_event_with_every_option(event_type: type[Event]) -> None:
    records: Log = [*examples_of(event_type), *([listing(instrument(), 1)]), *examples_of(event_type)]
    assert read_together(records) == read_singly(records)


def test_amounts_have_the_places_of_their_own_instrument_and_fee() -> None:
    """Several of each in one block, and an event before its instrument was listed, which has the bare integers."""
    coarse = make_instrument("DOGE/INR", Decimal("0.1"), Decimal(1), Decimal(0))
    records: Log = [
        Record(1, 1, Time(5), "me", None, (filled("BTC/USDT", "USDT"),), "account/main"),
        listing(instrument(), 2),
        listing(coarse, 3),
        *(
            Record[Event](1, 4 + number, Time(9), "venue", (1, 1), (filled(name, asset),))
            for number, (name, asset) in enumerate(
                [("BTC/USDT", "USDT"), ("DOGE/INR", "INR"), ("BTC/USDT", "BTC"), ("DOGE/INR", "BNB")] * 3
            )
        ),
    ]  # fmt: skip
    rows = read_together(records)
    assert rows == read_singly(records)
    data = [msgspec.json.decode(row[-1]) for row in rows]
    assert [data[0]["price"], data[0]["fee"]] == ["1234567", "12345"]
    assert [data[3]["price"], data[3]["quantity"], data[3]["cash"], data[3]["fee"]] == [
        "12345.67", "-8.9", "100", "0.00012345",
    ]  # fmt: skip
    assert [data[4]["price"], data[4]["cash"], data[4]["fee"]] == ["123456.7", "100000000", "123.45"]
    assert data[5]["fee"] == "12.345"
    assert data[6]["fee"] == "0.00012345"


def test_intents_are_written_in_their_instruments_places() -> None:
    place = Place("buy", "limit", Quantity(1500), Price(9_950))
    acted = StrategyActed(
        "bot", "main", InstrumentId("BTC/USDT"), Price(10_000), Quantity(0), (0.1, 7), (place, Cancel())
    )
    records: Log = [listing(instrument(), 1), Record(1, 2, Time(0), "core", None, (acted,))]
    rows = read_together(records)
    assert rows == read_singly(records)
    first, second = msgspec.json.decode(rows[-1][-1])["intents"]
    assert (first["quantity"], first["limit"], first["side"]) == ("1.5", "99.5", "buy")
    assert second == {"legs": None}


AMOUNTS = st.integers(-LARGEST, LARGEST)
PLACES = st.builds(
    Place,
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["market", "limit", "stop"]),
    AMOUNTS,
    st.none() | AMOUNTS,
    st.none() | AMOUNTS,
    st.booleans(),
    st.integers(0, 300),
)
OTHERS = st.builds(Cancel, st.none() | st.tuples(st.integers(0, 9))) | st.just(CLOSE)


@given(
    st.lists(st.lists(PLACES, max_size=3) | st.lists(PLACES | OTHERS, max_size=3), min_size=1, max_size=8),
    st.sampled_from(["BTC/USDT", "DOGE/INR", "not listed"]),
)
def test_intents_of_every_kind_and_number(decided: list[list[Any]], name: str) -> None:
    coarse = make_instrument("DOGE/INR", Decimal("0.1"), Decimal(1), Decimal(0))
    acted = [StrategyActed("b", "main", InstrumentId(name), Price(7), Quantity(0), (), tuple(each)) for each in decided]
    records: Log = [listing(instrument(), 1), listing(coarse, 2)]
    records += [Record(1, 3 + number, Time(0), "core", None, (each,)) for number, each in enumerate(acted)]
    assert read_together(records) == read_singly(records)


def test_the_check_would_see_an_amount_of_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: all events of a type share the places of the first."""
    kinds = {
        event_type: None if kind is None else msgspec.structs.replace(kind, scaled_by=())
        for event_type, kind in module.KINDS.items()
    }
    coarse = make_instrument("DOGE/INR", Decimal("0.1"), Decimal(1), Decimal(0))
    events = [filled("BTC/USDT", "USDT"), filled("DOGE/INR", "INR")]
    records: Log = [listing(instrument(), 1), listing(coarse, 2), Record(1, 3, Time(9), "me", None, tuple(events))]
    assert read_together(records) == read_singly(records)
    monkeypatch.setattr(module, "KINDS", kinds)
    assert read_together(records) != read_singly(records)


def test_a_log_without_events_has_no_frames() -> None:
    assert list(event_frames([])) == []


def test_texts_are_escaped_as_json_asks() -> None:
    odd = 'a"\\\n\t\x01é\u2028</script>'
    unmatched = FillUnmatched("main", 1, InstrumentId(odd), odd, Price(1), Quantity(2))
    records: Log = [Record(1, 1, Time(0), odd, (4, 2), (unmatched, OrderTriggered(odd, 1)), odd)]
    rows = read_together(records)
    assert rows == read_singly(records)
    assert msgspec.json.decode(rows[0][-1])["trade"] == odd
    assert rows[0][5] == "4@2"


@given(st.lists(st.integers(-LARGEST, LARGEST), min_size=1), st.integers(0, SCALE_MAX))
def test_decimal_texts(quanta: list[int], scale: int) -> None:
    texts = pl.DataFrame({"x": quanta}, schema={"x": pl.Int64}).select(decimal_texts("x", scale))["x"].to_list()
    assert texts == [decimal_text(each, scale) for each in quanta]


@given(
    st.lists(
        st.integers(0, TIME_END - 1) | st.integers(0, TIME_END // 10**6 - 1).map(lambda at: at * 10**6), min_size=1
    )
)
def test_time_texts(times: list[int]) -> None:
    texts = pl.DataFrame({"x": times}, schema={"x": pl.Int64}).select(time_texts("x"))["x"].to_list()
    assert texts == [time_text(each) for each in times]
