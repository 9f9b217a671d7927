"""Events for readers: every amount is decimal text with the places of what it is an amount of."""

from decimal import Decimal

from domain.account.events import Holding, InstrumentListed, SessionStarted, TradingHalted, TradingResumed
from domain.message import Record
from domain.portfolio_risk.events import LoserExitDecided
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
