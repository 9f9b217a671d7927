"""The pool among bots, groups and the clock: from the alert to the slot, and back."""

import json
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from domain.account.commands import DepositCash, ListInstrument, OpenAccount, RejectReported
from domain.bot.commands import CreateBot, PauseBot, StartBot
from domain.bot.events import EntryDropped, EntryTaken
from domain.engine import Core
from domain.execution_pool import events as e
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.settings import PoolSettings
from domain.market import Instrument, make_instrument
from domain.message import Command, Event, Record
from domain.ports import ClockStarted, DeadlineReached, Input, Moment
from domain.position_group.events import GroupClosed
from domain.signal.commands import DeliverAlert, OpenSource
from domain.values import Cash, Time, time_text
from tests.spec import USDT, settings

START = Time(1_767_225_600_000_000)
MINUTE = 60_000_000
LISTED = {
    name: make_instrument(f"{name}/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5)) for name in ("BTC", "ETH", "SOL")
}  # fmt: skip
E = TypeVar("E", bound=Event)


class Floor:
    """A core with an account, and a bot with its source for each instrument."""

    def __init__(self, pool: PoolSettings) -> None:
        self.core = Core()
        self.records: list[Record[Event]] = []
        self.at = START
        self.step(ClockStarted())
        self.tell(OpenAccount("main", "spot"), DepositCash("main", USDT, Cash(10**13)), ConfigurePool("main", pool))
        for name, listing in LISTED.items():
            self.tell(ListInstrument("main", listing, Decimal(0), Decimal(0)), *bot_of(name, listing))

    def step(self, *facts: Any) -> list[Event]:
        happened, _ = self.core.step([Moment(self.at, facts)])
        self.records += happened
        return [event for record in happened for event in record.events]

    def tell(self, *commands: Command) -> list[Event]:
        return self.step(*(Input("ann", command) for command in commands))

    def alert(self, name: str, action: str = "buy") -> list[Event]:
        self.at = Time(self.at + 1)
        body = {
            "id": str(self.at), "time": time_text(self.at), "symbol": f"{name}USDT", "action": action, "price": "100",
            "timeframe": "5m",
        }  # fmt: skip
        return self.tell(DeliverAlert(name, json.dumps(body)))

    def reject(self, order: int) -> list[Event]:
        return self.tell(RejectReported("main", order, "NO", "the venue does not want it"))

    def wait(self, minutes: int) -> list[Event]:
        """Time passes; the core is woken if it asked to be."""
        self.at = Time(self.at + minutes * MINUTE)
        return self.step(DeadlineReached()) if self.core.interest.deadline <= self.at else []

    def pool(self) -> tuple[set[str], set[str]]:
        """The bots that have slots, and those whose signals wait."""
        state = self.core.state("execution_pool", "main")
        return {key[0] for key in state.slots}, {signal.bot for signal in state.waiting.values()}


def bot_of(name: str, listing: Instrument) -> tuple[Command, ...]:
    return (
        CreateBot(name, "main", "spot", "dca_signals", listing, settings(("0", "100", "1"))),
        StartBot(name),
        OpenSource(name, name, listing.id),
    )


def only(events: list[Event], kind: type[E]) -> E:
    (found,) = (event for event in events if isinstance(event, kind))
    return found


def test_a_group_that_never_entered_lets_in_who_waits() -> None:
    floor = Floor(PoolSettings(1))
    assert only(floor.alert("BTC"), EntryTaken).bot == "BTC"
    assert only(floor.alert("ETH"), e.SignalQueued).bot == "ETH"
    assert floor.pool() == ({"BTC"}, {"ETH"})
    events = floor.reject(1)
    assert only(events, GroupClosed).reason == "never entered"
    assert only(events, e.SlotReleased).group == 1
    assert only(events, EntryTaken).bot == "ETH"
    assert floor.pool() == ({"ETH"}, set())


def test_an_entry_that_the_bot_cannot_take_any_more_gives_its_slot_to_the_next() -> None:
    floor = Floor(PoolSettings(1))
    for name in LISTED:
        floor.alert(name)
    floor.tell(PauseBot("ETH"))
    events = floor.reject(1)
    assert only(events, EntryDropped).bot == "ETH"
    assert [event.bot for event in events if isinstance(event, e.SignalPromoted)] == ["ETH", "SOL"]
    assert floor.pool() == ({"SOL"}, set())


def test_two_alerts_of_one_instant_share_one_free_slot() -> None:
    floor = Floor(PoolSettings(1))
    bodies = {name: json.dumps({"id": "1", "time": time_text(START), "symbol": f"{name}USDT", "action": "buy", "price": "1"})
              for name in ("BTC", "ETH")}  # fmt: skip
    floor.tell(*(DeliverAlert(name, body) for name, body in bodies.items()))
    assert floor.pool() == ({"BTC"}, {"ETH"})


def test_an_exit_signal_removes_what_waits_though_there_is_no_group_to_close() -> None:
    floor = Floor(PoolSettings(1))
    floor.alert("BTC")
    floor.alert("ETH")
    assert only(floor.alert("ETH", "exit"), e.SignalRemoved).reason == "exit signal ETH/2"
    assert floor.pool() == ({"BTC"}, set())


@pytest.mark.parametrize("restarted", [False, True])
def test_a_signal_expires_on_time_also_after_a_restart(restarted: bool) -> None:
    floor = Floor(PoolSettings(1, queue_expiry_minutes=30))
    floor.alert("BTC")
    floor.alert("ETH")
    if restarted:
        floor.core = Core()
        for record in floor.records:
            floor.core.restore(record)
        floor.core.start_clock(floor.at)
    assert floor.wait(29) == []
    assert only(floor.wait(1), e.SignalExpired).bot == "ETH"
    assert floor.pool() == ({"BTC"}, set())
