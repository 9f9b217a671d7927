"""Entries sized by equity and risk, from the alert to the stop's fill; what cannot be sized gives its slot back."""

import json
from decimal import Decimal
from typing import Any

import pytest

from domain.account.commands import DepositPosition
from domain.account.events import OrderDenied, OrderFilled
from domain.bot.commands import ConfigureBot
from domain.bot.events import EntryDropped, EntrySized, PyramidTaken
from domain.execution_pool.events import SlotReleased
from domain.execution_pool.settings import PoolSettings
from domain.position_group.events import GroupClosed, GroupOpened
from domain.signal.commands import DeliverAlert
from domain.values import Cash, Quantity, Time, time_text
from infrastructure.event_store.readable import Reader
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import Setup, backtest
from tests import spec
from tests.domain.test_pool_in_the_loop import LISTED, Floor, only
from tests.simulator import MINUTE, START, ListLedger, tape_of

FREE = Terms(Decimal(0), Decimal(0))
Bars = list[tuple[int, int, int, int]]


def play(bars: Bars, actions: list[tuple[int, str, str]], *legs: Any, kind: Any = "spot", **changes: Any) -> ListLedger:
    """10,000 USDT and no fees; alerts are (minute, action, price)."""
    alerts = []
    for minute, action, price in actions:
        at = Time(START + minute * MINUTE)
        body = {"id": f"{minute}", "time": time_text(at), "symbol": "BTCUSDT", "action": action, "price": price}
        alerts.append(TimedAlert(at, "signals", json.dumps(body)))
    setup = Setup(spec.instrument(), FREE, {"USDT": Decimal(10_000)}, spec.settings(*legs, **changes), kind)
    ledger = ListLedger()
    backtest(setup, tape_of(bars), alerts, ledger)
    return ledger


def flat(price: int) -> tuple[int, int, int, int]:
    return (price, price, price, price)


def made(ledger: ListLedger) -> Decimal:
    """What the fills have brought, in USDT."""
    cash = sum(fill.cash if fill.side == "sell" else -fill.cash for fill in ledger.of(OrderFilled))
    return Decimal(cash).scaleb(-8)


LEGS = (("0", "40", "50"), ("-2", "60", "50"))


@pytest.mark.parametrize(("kind", "action", "way"), [("spot", "buy", -1), ("margin", "sell", 1)])
def test_a_group_whose_stop_is_hit_has_lost_what_it_may_and_hardly_less(kind: Any, action: str, way: int) -> None:
    """1 % of 10,000, both legs filled at their prices; what is missing is less than a step of each leg and a tick."""
    last, gone = 10000 + 400 * way, 10000 + 900 * way
    bars = [flat(10000), flat(10000), (10000, max(10000, last), min(10000, last), last)]
    bars.append((last, max(last, gone), min(last, gone), gone))
    ledger = play(bars, [(1, action, "100")], *LEGS, kind=kind, risk_pct_of_equity="1", stop_loss_pct=Decimal(5))
    assert [fill.role for fill in ledger.of(OrderFilled)] == ["entry", "entry", "stop"]
    (sized,) = ledger.of(EntrySized)
    assert (sized.equity, sized.risk, sized.capital) == (10_000 * 10**8, 100 * 10**8, 2000 * 10**8)
    quantity = sum(fill.quantity for fill in ledger.of(OrderFilled) if fill.role == "entry")
    unused = Decimal(2) * Decimal("0.1") * Decimal("0.05") + Decimal(quantity).scaleb(-3) * Decimal("0.01")
    assert 0 <= 100 + made(ledger) < unused


def test_each_pyramid_is_a_part_of_what_the_account_is_worth_when_it_is_taken() -> None:
    """1,000 are held when the price rises by half: the second pyramid is a tenth of 10,500."""
    bars = [flat(10000), flat(10000), flat(15000), flat(15000)]
    ledger = play(
        bars, [(1, "buy", "100"), (3, "buy", "150")], ("0", "100", "90"), capital_pct_of_equity="10", max_pyramids=2
    )
    assert [sized.equity for sized in ledger.of(EntrySized)] == [10_000 * 10**8, 10_500 * 10**8]
    assert [event.quantity for event in ledger.of(OrderFilled)] == [10_000, 7_000]
    (pyramid,) = ledger.of(PyramidTaken)
    assert pyramid.settings.capital == 1050


def test_a_position_without_a_price_refuses_the_signal_and_frees_the_slot() -> None:
    floor = Floor(PoolSettings(1))
    floor.tell(ConfigureBot("BTC", spec.settings(capital_pct_of_equity="5")))
    floor.tell(DepositPosition("main", LISTED["ETH"].id, Quantity(1), Cash(0)))
    events = floor.alert("BTC")
    dropped = only(events, EntryDropped)
    assert (dropped.code, dropped.reason) == ("MARK_UNKNOWN", "instrument=ETH/USDT")
    assert only(events, SlotReleased).reason == "MARK_UNKNOWN: instrument=ETH/USDT"
    assert floor.pool() == (set(), set())
    assert not [event for event in events if isinstance(event, GroupOpened)]


@pytest.mark.parametrize(("percent", "step"), [("0.0001", 1), ("0.00009999", 0)])
def test_a_capital_that_buys_less_than_a_step_is_denied_as_any_leg_that_is_too_small(percent: str, step: int) -> None:
    """Of 100,000; a step of 0.001 costs 0.1 at 100."""
    floor = Floor(PoolSettings(1))
    floor.tell(ConfigureBot("BTC", spec.settings(("0", "100", "1"), capital_pct_of_equity=percent)))
    events = floor.alert("BTC")
    assert only(events, GroupOpened).legs[0].quantity == step
    codes = {0: "QUANTITY_BELOW_STEP", 1: "NOTIONAL_BELOW_MINIMUM"}
    assert only(events, OrderDenied).code == codes[step]
    assert only(events, GroupClosed).reason == "never entered"
    assert floor.pool() == (set(), set())


def test_two_entries_of_one_instant_count_the_same_equity() -> None:
    floor = Floor(PoolSettings(2))
    bodies = {name: json.dumps({"id": "1", "time": time_text(floor.at), "symbol": f"{name}USDT", "action": "buy", "price": "100"})
              for name in ("BTC", "ETH")}  # fmt: skip
    for name in bodies:
        floor.tell(ConfigureBot(name, spec.settings(("0", "100", "1"), capital_pct_of_equity="5")))
    events = floor.tell(*(DeliverAlert(name, body) for name, body in bodies.items()))
    assert [event.capital for event in events if isinstance(event, EntrySized)] == [5000 * 10**8] * 2


@pytest.mark.parametrize(
    ("size", "read"),
    [
        ({"capital_pct_of_equity": "10"}, {"equity": "10000", "risk": None, "stop_loss_pct": None, "capital": "1000"}),
        ({"risk_amount": "7"}, {"equity": None, "marks": {}, "risk": "7", "stop_loss_pct": "5", "capital": "140"}),
    ],
)
def test_what_was_counted_is_read_in_plain_numbers(size: dict[str, str], read: dict[str, Any]) -> None:
    stop = {"stop_loss_pct": Decimal(5)} if "risk_amount" in size else {}
    ledger = play([flat(10000)] * 3, [(1, "buy", "100")], *LEGS, **size, **stop)
    reader = Reader()
    lines = [line for record in ledger.records for line in reader.lines(record)]
    assert json.loads(json.dumps(lines)) == lines, "each of plain values"
    (sized,) = (line["data"] for line in lines if line["event"] == "bot.entry_sized.v1")
    assert read.items() <= sized.items()
    assert "sizing" in next(line["data"]["settings"] for line in lines if line["event"] == "bot.created.v1")
