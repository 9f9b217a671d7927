"""A whole engine on the floor: a core with bots, pool, offset and limits, a venue by hand, and the witnesses of the laws."""

import json
import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

from domain.account.commands import (
    CancelOrderById,
    DepositCash,
    ListInstrument,
    OpenAccount,
    ResumeTrading,
    SetRiskLimits,
)
from domain.account.events import AccountKind
from domain.account.limits import NO_LIMITS, RiskLimits
from domain.bot.commands import CloseGroup, CreateBot, ResumeBot, StartBot, StopBot
from domain.bot.settings import GroupSettings
from domain.engine import Core
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.settings import PoolSettings
from domain.market import Instrument, make_instrument
from domain.message import Command, Event, EventId, Record
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.settings import OffsetSettings
from domain.ports import CancelOrder, ClockStarted, DeadlineReached, Effect, Input, Mark, Moment, SubmitOrder
from domain.signal.commands import DeliverAlert, OpenSource
from domain.values import DAY, MINUTE, Cash, InstrumentId, Price, Time, floor_to, time_text
from infrastructure.event_store.codec import decode, encode
from tests.domain import witnesses
from tests.domain.hand_venue import Fate, HandVenue
from tests.spec import USDT

FATES: tuple[Fate, ...] = ("accept",) * 7 + ("refuse", "lose", "lose_answer")
START = Time(1_767_225_600_000_000 - 20 * MINUTE)
"""Twenty minutes before a day ends."""
BOTS = ("one", "two", "three")
INSTRUMENTS = tuple(map(InstrumentId, ("BTC/USDT", "ETH/USDT", "SOL/USDT")))
"""Each bot has its own, unless the first and the third share one."""
CASCADE_MAX = 3000
"""Commands in one step; a cascade that is longer has no end."""
ROUNDS_MAX = 12
"""Times that all groups are told to close before the last has closed."""


E = TypeVar("E", bound=Event)


class BoundedCore(Core):
    """A core that objects to a cascade without an end."""

    handled = 0

    def step(self, moments: list[Moment]) -> tuple[list[Record[Event]], list[Effect]]:
        self.handled = 0
        return super().step(moments)

    def _handle(self, command: Command, moment: Moment, actor: str, cause: EventId | None) -> None:
        self.handled += 1
        assert self.handled < CASCADE_MAX, f"a cascade without an end: {command}"
        super()._handle(command, moment, actor, cause)


class Setup:
    """What a floor opens with: kind of account, cash, settings of the bots, of pool and offset, and limits."""

    def __init__(
        self, kind: AccountKind, cash: int, bots: list[GroupSettings], pool: PoolSettings, offset: OffsetSettings | None,
        limits: RiskLimits, *, fee_in_base: bool = False, shared: bool = True,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.cash = cash
        self.bots = dict(zip(BOTS, bots, strict=True))
        self.trades = dict(zip(BOTS, INSTRUMENTS, strict=True))
        if shared:
            self.trades["three"] = INSTRUMENTS[0]
        self.commands: list[Command] = [ConfigurePool("main", pool), SetRiskLimits("main", limits)]
        if offset is not None:
            self.commands.append(ConfigureOffset("main", offset))
        fee: Any = "base" if fee_in_base and kind == "spot" else "quote"
        self.listed = {
            each.id: each
            for each in (
                make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5)),
                make_instrument("ETH/USDT", Decimal("0.05"), Decimal("0.01"), Decimal(5), fee_asset=fee),
                make_instrument("SOL/USDT", Decimal("0.01"), Decimal("0.1"), Decimal(1)),
            )
        }


class Floor:
    """Steps the core, carries its effects to the venue and the venue's reports back, and calls the witnesses.

    `fates` and `cancel_fates` are those of the next orders and cancels, after which the `habit` goes on: "fill" accepts and
    fills what is to be traded at market, "hold" leaves a request on its way. While `late`, what the venue says stays on its
    way too. `shadow` is the core of before the last restart, which must go on as the restored one does. `sound` says that
    nothing has been found yet.
    """

    def __init__(self, setup: Setup) -> None:
        self.core = BoundedCore()
        self.shadow: BoundedCore | None = None
        self.venue = HandVenue("main", setup.kind, setup.listed)
        self.listed = setup.listed
        self.trades = setup.trades
        self.kind = setup.kind
        self.at = START
        self.habit = "accept"
        self.late = False
        self.sound = True
        self.fates: list[str] = []
        self.cancel_fates: list[str] = []
        self.told: list[Any] = []
        self.records: list[Record[Event]] = []
        self.delivered = 0
        self.streams = witnesses.Streams()
        self.orders = witnesses.Orders(setup.kind)
        self.money = witnesses.Money(setup.listed)
        self.groups = witnesses.Groups()
        self.pool = witnesses.Pool()
        self.signals = witnesses.Signals()
        self.take(ClockStarted())
        self.tell(OpenAccount("main", setup.kind), DepositCash("main", USDT, Cash(setup.cash * 10**8)))
        rate = Decimal("0.001")
        self.tell(*(ListInstrument("main", each, rate, rate) for each in setup.listed.values()), *setup.commands)
        for name, settings in setup.bots.items():
            self.open_bot(name, settings)
            self.tell(OpenSource(name, name, self.instrument(name).id))
        for instrument in setup.listed:
            self.take(Mark(instrument, Price(10_000)))

    def run_again(self, name: str) -> None:
        """Whatever keeps a bot from trading is over."""
        for scope in ("", name):
            halt = self.core.state("account", "main").halted.get(scope)
            if halt is not None:
                self.tell(ResumeTrading("main", scope, halt.number))
        status = self.core.state("bot", name).status
        if status == "deleted":
            self.open_bot(name, self.core.state("bot", name).settings)
        elif status != "running":
            self.tell(ResumeBot(name) if status == "paused" else StartBot(name))

    def open_bot(self, name: str, settings: GroupSettings) -> None:
        self.tell(CreateBot(name, "main", self.kind, "dca_signals", self.instrument(name), settings), StartBot(name))

    def events(self, kind: type[E]) -> list[E]:
        return [event for record in self.records for event in record.events if isinstance(event, kind)]

    def instrument(self, bot: str) -> Instrument:
        return self.listed[self.trades[bot]]

    def mark(self, name: InstrumentId) -> Price:
        return self.core.marks[name]

    def alert(self, bot: str, **content: Any) -> str:
        """Deliver an alert to a bot's source; what is None is left out."""
        body = {"id": f"a{self.at}", "time": time_text(self.at), "symbol": self.trades[bot], **content}
        return self.post(bot, json.dumps({key: value for key, value in body.items() if value is not None}))

    def post(self, bot: str, body: str) -> str:
        self.delivered += 1
        self.tell(DeliverAlert(bot, body))
        return body

    def tell(self, *commands: Command, actor: str = "ann") -> None:
        self.take(*(Input(actor, command) for command in commands))

    def take(self, *facts: Any) -> None:
        """All of this becomes known a microsecond later; what is due by then comes first."""
        self.wait(1)
        self._advance(Moment(self.at, facts))

    def wait(self, microseconds: int) -> None:
        """Time passes; the core is woken whenever it asked to be."""
        until = self.at + microseconds
        while (due := self.deadline) <= until:
            self.at = due
            self._advance(Moment(self.at, (DeadlineReached(),)))
            assert self.deadline > due, "a deadline that stays due"
        self.at = Time(until)

    @property
    def deadline(self) -> Time:
        """When either core wants to be woken: a wake that one did not ask for is nothing to it."""
        deadlines = [core.interest.deadline for core in (self.core, self.shadow) if core is not None]
        return min(deadlines)

    def pause(self, minutes: int) -> None:
        """Time passes with nothing to tell of it."""
        self.wait(minutes * MINUTE)
        self.take()

    def wait_for_midnight(self) -> None:
        self.wait(DAY - self.at % DAY)
        self.take()

    def candle(self, name: InstrumentId, close: int, reach: int, *, fills: bool = True) -> None:
        """The market goes from its last price to another, and so much further both ways; the venue fills what it meets."""
        tick, last = self.listed[name].tick, self.mark(name)
        close = max(50 * tick, floor_to(close, tick))
        low, high = max(tick, min(last, close) - reach), max(last, close) + reach
        if fills:
            self.venue.candle(name, low, high, close, self.at)
        facts = [] if self.late else self._spoken()
        self.take(*facts, Mark(name, Price(close), Price(low), Price(high)))

    def speak(self) -> None:
        """What the venue has said arrives, unless it is late."""
        if not self.late and self.venue.said:
            self.take(*self._spoken())

    def hear(self, places: Iterable[int]) -> None:
        """Of the reports on their way these arrive, in this order."""
        reports = [self.venue.said[place] for place in places]
        self.venue.said = [report for report in self.venue.said if not any(report is each for each in reports)]
        self.told += reports
        self.venue.tell(reports)
        self.take(*(Input("venue", report) for report in reports))

    def shake(self, chance: random.Random) -> None:
        """Some of what is on its way arrives, in any order."""
        venue = self.venue
        for ticket in venue.in_state("coming"):
            if chance.random() < 0.7:
                venue.arrive(ticket, chance.choice(FATES))
        for cancel in [each for each in venue.cancels if chance.random() < 0.7]:
            self.cancel(cancel, chance.choice(["accept", "accept", "race", "refuse"]))
        for query in [each for each in venue.queries if chance.random() < 0.7]:
            venue.answer(query)
        for ticket in venue.in_state("working"):
            if ticket.state == "working" and ticket.order.type == "market" and chance.random() < 0.7:
                step = self.listed[ticket.order.instrument].step
                part = max(step, ticket.left * chance.randint(1, 3) // 3 // step * step)
                venue.fill(ticket, part, self.mark(ticket.order.instrument), self.at)
        places = [place for place in range(len(venue.said)) if chance.random() < 0.8]
        chance.shuffle(places)
        self.hear(places)

    def restart(self) -> None:
        """A core made from the log is the core that wrote it, and goes on as that does."""
        fresh = BoundedCore()
        for record in self.records:
            fresh.restore(decode(encode(record)))
        fresh.marks.update(self.core.marks)
        fresh.start_clock(self.at)
        before, after = portrait(self.core), portrait(fresh)
        for part, seen in before.items():
            assert after[part] == seen, f"{part} is not what it was before the restart"
        self.shadow, self.core = self.core, fresh

    def _advance(self, moment: Moment) -> None:
        """As the loop does: step, append, send; what is answered at once is the next moment."""
        self.sound = False
        for _ in range(CASCADE_MAX):
            records, effects = self.core.step([moment])
            if self.shadow is not None:
                again, sent = self.shadow.step([moment])
                assert again == records, "it does not go on as it would have"
                assert sent == effects
            self._append(records)
            self.orders.check_sends(effects, self.streams.events)
            for effect in effects:
                self.venue.take(effect)
            self._answer(effects)
            if self.late or not self.venue.said:
                self.sound = True
                return
            moment = Moment(self.at, tuple(self._spoken()))
        raise AssertionError("core and venue never come to rest")

    def _append(self, records: list[Record[Event]]) -> None:
        self.records += records
        for record in records:
            for witness in (self.streams, self.orders, self.money, self.pool, self.signals):
                witness.see(record)

    def _answer(self, effects: list[Effect]) -> None:
        for effect in effects:
            orders = isinstance(effect, SubmitOrder)
            fates = self.fates if orders else self.cancel_fates
            fate: Any = fates.pop(0) if fates else self.habit
            if fate == "hold":
                continue
            if isinstance(effect, SubmitOrder):
                ticket = self.venue.tickets[effect.order]
                self.venue.arrive(ticket, "accept" if fate == "fill" else fate)
                if fate == "fill" and effect.type == "market":
                    self.venue.fill(ticket, ticket.left, self.mark(effect.instrument), self.at)
            elif isinstance(effect, CancelOrder):
                self.cancel(effect, fate)
            else:
                self.venue.answer(effect)

    def cancel(self, request: CancelOrder, fate: str) -> None:
        """The venue takes a cancel or refuses it; in a "race" the order trades first, and that is said last."""
        ticket = self.venue.tickets[request.order]
        if fate == "race" and ticket.state == "working":
            step = self.listed[request.instrument].step
            part = max(step, ticket.left // 2 // step * step)
            before = len(self.venue.said)
            self.venue.fill(ticket, part, ticket.order.limit or self.mark(request.instrument), self.at)
            self.venue.cancel(request, "accept")
            self.venue.said[before:] = reversed(self.venue.said[before:])
        else:
            self.venue.cancel(request, "refuse" if fate == "refuse" else "accept")

    def _spoken(self) -> list[Input]:
        said, self.venue.said = self.venue.said, []
        self.told += said
        self.venue.tell(said)
        return [Input("venue", report) for report in said]

    def check(self) -> None:
        """Every law, now."""
        self.sound = False
        for witness in (self.orders, self.money, self.groups):
            witness.check(self.core)
        self.pool.check(self.core, self.at)
        self.signals.check(self.core, self.delivered)
        open_ = self.core.state("account", "main").orders
        for number, ticket in self.venue.tickets.items():
            assert ticket.state != "working" or number in open_, "the venue works for nobody"
        self.sound = True

    def settle(self) -> None:
        """The venue comes clean: every request arrives, every report is heard."""
        self.late, self.habit = False, "accept"
        self.fates, self.cancel_fates = [], []
        for _ in range(CASCADE_MAX):
            for ticket in self.venue.in_state("coming"):
                self.venue.arrive(ticket, "accept")
            for cancel in list(self.venue.cancels):
                self.venue.cancel(cancel, "accept")
            for query in list(self.venue.queries):
                self.venue.answer(query)
            if not self.venue.said:
                return
            self.speak()
        raise AssertionError("the venue never comes to rest")

    def go_home(self) -> None:
        """All stops: whatever can be closed closes, and nothing is left of it but what the books say."""
        self.settle()
        self.tell(*(StopBot(name) for name in BOTS), SetRiskLimits("main", NO_LIMITS))
        for scope, halt in list(self.core.state("account", "main").halted.items()):
            self.tell(ResumeTrading("main", scope, halt.number))
        orders = self.core.state("account", "main").orders.values()
        self.tell(*(CancelOrderById("main", order.id, "home") for order in list(orders) if not order.bot))
        for _ in range(ROUNDS_MAX):
            for name in self.listed:
                self.candle(name, self.mark(name), 0)
            self.settle()
            self.tell(*(CloseGroup(name) for name in BOTS if self.core.state("bot", name).live))
            self.settle()
        self.check()
        account = self.core.state("account", "main")
        assert not any(order.status == "UNKNOWN" for order in account.orders.values())
        assert {name: account.positions.get(name, 0) for name in self.listed} == self.venue.positions
        stuck = [self.core.state("position_group", key) for key in self.core.keys("position_group")]
        for group in stuck:
            assert not self._closable(group), f"{group.bot}/{group.group} does not close"

    def _closable(self, group: Any) -> bool:
        """Whether the account holds what its groups hold; opposite groups, and hands, may have taken it away."""
        groups = [self.core.state("position_group", key) for key in self.core.keys("position_group")]
        alike = [each for each in groups if (each.instrument, each.direction) == (group.instrument, group.direction)]
        held = sum(int(each.held) for each in alike)
        position = self.venue.positions[group.instrument.id]
        return held <= (position if group.direction == "long" else -position)


def portrait(core: Core) -> dict[str, Any]:
    """All that a core must remember. That rounds rest is no part of it: nothing comes of those that are left out."""
    timers = sorted(core._timers._heap, key=lambda timer: timer[:2])  # noqa: SLF001
    groups = set(core.keys("position_group"))
    return {
        **{
            kind: [(key, stream.number, stream.version, stream.state) for key, stream in streams.items()]
            for kind, streams in core._streams.items()  # noqa: SLF001
        },
        "opened": core._opened,  # noqa: SLF001
        "timers": [(at, command, cause) for at, _, command, cause in timers],
        "rounds": list(core._rounds._rounds.items()),  # noqa: SLF001
        "watches": {
            name: [(key, watch) for key, watch in watches.items() if key in groups]
            for name, watches in sorted(core._watches._watches.items())  # noqa: SLF001
            if any(key in groups for key in watches)
        },
        "clock": (core._clock, core._day_end),  # noqa: SLF001
        "interest": core.interest.deadline <= core._day_end,  # noqa: SLF001
    }
