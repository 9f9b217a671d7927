"""Limits in the whole core: a loss halts, cancels and flattens in one cascade; what is due comes due."""

from decimal import Decimal
from typing import Any

from domain.account import commands as c
from domain.account.events import OrderDenied, OrderIntended, SessionStarted, TradingHalted
from domain.account.limits import EventWindow
from domain.engine import Core
from domain.message import Command
from domain.ports import CancelOrder, ClockStarted, DeadlineReached, Input, Mark, Moment, SubmitOrder
from domain.values import Price, Time
from infrastructure.event_store.codec import decode, encode
from tests.domain.risk.limited import DAY, SECOND, limits
from tests.spec import BTC, USDT, fill, instrument, order

MANUAL: Any = {"bot": "", "group": 0, "role": "manual"}


class Desk:
    """A core that is told one thing at a time; `events` and `effects` are those of the last."""

    def __init__(self) -> None:
        self.core = Core()
        self.records: list[Any] = []

    def tell(self, at: int, *facts: Any) -> list[Any]:
        inputs = [Input("user:x", fact) if isinstance(fact, Command) else fact for fact in facts]
        records, self.effects = self.core.step([Moment(Time(at), inputs)])
        self.records += records
        return [event for record in records for event in record.events]


def desk(**changes: Any) -> Desk:
    """A thousand USDT, of which 1.000 BTC were bought by hand at 100.00; another buy rests at 50.00."""
    made = Desk()
    made.tell(0, ClockStarted(), c.OpenAccount("main"))
    made.tell(0, c.ListInstrument("main", instrument(), Decimal(0), Decimal(0)), c.DepositCash("main", USDT, 10**11))  # type: ignore[arg-type]
    made.tell(0, c.SetRiskLimits("main", limits(**changes)))
    made.tell(1, Mark(BTC, Price(10000)), order(type="market", **MANUAL), order(limit=5000, quantity=200, **MANUAL))
    made.tell(2, fill(1, "t1", 1000))
    return made


def test_a_loss_halts_cancels_and_flattens_in_one_cascade() -> None:
    made = desk(daily_loss_max="10", flatten=True)
    assert made.tell(3, Mark(BTC, Price(9001)), c.ReviewRisk("main")) == []
    happened = made.tell(4, Mark(BTC, Price(9000)), c.ReviewRisk("main"))
    assert [type(event).__name__ for event in happened] == [
        "TradingHalted", "CancelRequested", "OrderIntended", "RiskPassed",
    ]  # fmt: skip
    assert [type(effect) for effect in made.effects] == [CancelOrder, SubmitOrder]
    sold = made.effects[1]
    assert isinstance(sold, SubmitOrder)
    assert (sold.side, sold.quantity, sold.reduce_only) == ("sell", 1000, True)
    assert isinstance(made.tell(5, order(**MANUAL))[-1], OrderDenied)


def test_a_halt_outlives_a_crash() -> None:
    made = desk(daily_loss_max="10")
    made.tell(3, Mark(BTC, Price(9000)), c.ReviewRisk("main"))
    after = Desk()
    for record in made.records:
        after.core.restore(decode(encode(record)))
    assert after.core.state("account", "main") == made.core.state("account", "main")
    assert after.tell(4, Mark(BTC, Price(9000)), order(**MANUAL))[-1].code == "TRADING_HALTED"


def test_the_next_session_begins_when_this_one_ends() -> None:
    made = desk(daily_loss_max="10", session_start_seconds=3600)
    hour = 3600 * SECOND

    def starts(at: int) -> bool:
        return SessionStarted in map(type, made.tell(at, DeadlineReached()))

    assert [starts(at) for at in (hour - SECOND, hour, DAY, DAY + hour)] == [False, True, False, True]


def test_while_losses_are_limited_the_account_is_looked_at_again_and_again() -> None:
    made = desk(daily_loss_max="10", value_every_seconds=30)
    assert made.core.interest.deadline == 30 * SECOND
    assert made.tell(30 * SECOND, Mark(BTC, Price(9001)), DeadlineReached()) == []
    assert made.core.interest.deadline == 60 * SECOND
    happened = made.tell(60 * SECOND, Mark(BTC, Price(9000)), DeadlineReached())
    assert next(type(event).__name__ for event in happened) == "TradingHalted"


def test_at_an_event_of_the_calendar_what_would_open_is_cancelled() -> None:
    made = desk(event_windows=(EventWindow(Time(100), Time(200), "FOMC"),))
    assert made.core.interest.deadline == 100
    happened = made.tell(100, DeadlineReached())
    assert [(event.order, event.reason) for event in happened] == [(2, "event: FOMC")]
    assert made.tell(200, order(**MANUAL))[-1].settings == 1


def test_a_fill_that_loses_too_much_halts_before_anything_follows_from_it() -> None:
    made = desk(daily_loss_max="10")
    made.tell(3, order(side="sell", quantity=500, **MANUAL))
    happened = made.tell(4, fill(3, "t3", 500, 9000), order(**MANUAL))
    names = [type(event).__name__ for event in happened]
    assert names == ["OrderFilled", "TradingHalted", "CancelRequested", "OrderIntended", "OrderDenied"]
    assert [event.number for event in happened if isinstance(event, TradingHalted)] == [1]
    assert len([event for event in happened if isinstance(event, OrderIntended)]) == 1
