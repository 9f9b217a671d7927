"""Events for readers: every amount is decimal text with the places of what it is an amount of."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.account.events import Holding, InstrumentListed, SessionStarted, TradingHalted, TradingResumed
from domain.message import Record
from domain.portfolio_risk.events import LoserExitDecided
from domain.strategy.events import StrategyActed
from domain.strategy.intents import Cancel, Place
from domain.values import Cash, Price, Quantity, Time
from infrastructure.event_store.readable import Reader
from tests.spec import instrument


def listed(reader: Reader) -> None:
    rates = (Decimal(0), Decimal(0), Decimal(0))
    event = InstrumentListed("main", instrument(), *rates)
    reader.learn(Record(1, 1, Time(0), "me", None, (event,), "account/main"))


def test_cash_of_no_instrument_is_in_the_only_quote_that_there_is() -> None:
    reader = Reader()
    resumed = TradingResumed("main", "", 1, Cash(1_250_000_000))
    assert reader.fields(resumed)["worth"] == "1250000000"  # nothing is known of it yet
    listed(reader)
    assert reader.fields(resumed)["worth"] == "12.5"
    started = SessionStarted("main", Time(0), "day", Cash(5), (("dca", Cash(-300_000_000)),), Time(1))
    assert reader.fields(started)["equity"] == "0.00000005"
    assert reader.fields(started)["bots"] == {"dca": "-3"}
    assert reader.fields(LoserExitDecided("main", 1, "dca", 7, Cash(1), Cash(2), Price(9)))["paid"] == "0.00000002"


def test_amounts_inside_are_those_of_their_own_instrument() -> None:
    reader = Reader()
    listed(reader)
    name = instrument().id
    held = Holding("dca", name, Quantity(1500), Price(10_000))
    halted = TradingHalted("main", "dca", "loss", flatten=(held,))
    (shown,) = reader.fields(halted)["flatten"]
    assert shown == {"bot": "dca", "instrument": name, "quantity": "1.5", "mark": "100"}


def acted(**changes: Any) -> StrategyActed:
    buy = Place("buy", "limit", Quantity(500), Price(9_900), leg=3)
    event = StrategyActed("s", "main", instrument().id, Price(10_000), Quantity(-1500), (7, 0.5), (Cancel((1,)), buy))
    return msgspec.structs.replace(event, **changes)


def test_what_a_strategy_decided_is_in_decimal_text() -> None:
    reader = Reader()
    listed(reader)
    fields = reader.fields(acted())
    assert (fields["close"], fields["position"], fields["values"]) == ("100", "-1.5", [7, 0.5])
    cancel, place = fields["intents"]
    assert (cancel, place["quantity"], place["limit"], place["leg"]) == ({"legs": [1]}, "0.5", "99", 3)


@pytest.mark.parametrize(
    ("memory", "read"),
    [(None, None), (b"", []), (msgspec.msgpack.encode([[1, 2], 0, False]), [[1, 2], 0, False]), (b"\xc1", "c1")],
)
def test_what_a_strategy_remembers_can_be_read(memory: bytes | None, read: object) -> None:
    fields = Reader().fields(acted(memory=memory))
    assert fields["memory"] == read
    json.dumps(fields)
