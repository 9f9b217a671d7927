"""Witnesses: each reads the log as it grows, keeps accounts of its own, and objects where a law is broken.

They share no code with what they watch: money, positions, halts, slots and the fates of signals are counted from the
events alone, and then held against the states.
"""

from collections import Counter, defaultdict
from typing import Any

from domain.account import events as a
from domain.bot import events as b
from domain.engine import Core
from domain.execution_pool import events as p
from domain.market import Instrument
from domain.message import Event, Record
from domain.ports import CancelOrder, Effect, SubmitOrder
from domain.position_group import events as g
from domain.signal import events as s
from domain.values import MINUTE, InstrumentId, Time
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow
from projections.rows import MemoryRows, fold_records

VERDICTS = (s.SignalAccepted, s.SignalDuplicated, s.SignalMalformed, s.SignalRefused, s.SignalStale)
ANSWERS = (b.EntryWanted, b.AlertRefused, b.ExitWanted, b.AimTaken)
ACCOUNT = "main"


class Streams:
    """Law 11: every stream is dense, named once, and each record is caused by what was there before it."""

    def __init__(self) -> None:
        self.events: dict[tuple[int, int], Event] = {}
        self._versions: Counter[int] = Counter()

    def see(self, record: Record[Event]) -> None:
        assert record.version == self._versions[record.stream] + 1
        assert record.key is None or record.version == 1
        assert record.cause is None or record.cause in self.events
        self._versions[record.stream] += len(record.events)
        for version, event in enumerate(record.events, record.version):
            self.events[record.stream, version] = event


class Orders:
    """Laws 4 to 8: what is sent was intended, passed and recorded, once; what is filled was ordered; halts hold."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._intents: dict[int, a.OrderIntended] = {}
        self._passed: set[int] = set()
        self._sent: set[int] = set()
        self._filled: Counter[int] = Counter()
        self._excess: Counter[int] = Counter()
        self._ended: set[int] = set()
        self._halted: set[str] = set()
        self._unknown: set[int] = set()
        self.positions: Counter[InstrumentId] = Counter()

    def see(self, record: Record[Event]) -> None:
        for event, follows in zip(record.events, (*record.events[1:], None), strict=True):
            if isinstance(event, a.OrderIntended):
                assert event.order == len(self._intents) + 1
                self._intents[event.order] = event
            elif isinstance(event, a.RiskPassed):
                self._judge(event)
            elif isinstance(event, a.OrderFilled):
                self._fill(event, follows)
            elif isinstance(event, a.OrderUnknown):
                self._unknown.add(event.order)
            elif isinstance(event, a.OrderAccepted):
                self._unknown.discard(event.order)
            elif isinstance(event, a.TradingHalted):
                self._halted.add(event.bot)
            elif isinstance(event, a.TradingResumed):
                self._halted.discard(event.bot)
            elif isinstance(event, a.OrderCanceled | a.OrderRejected | a.OrderDenied):
                assert event.order not in self._ended, "an order ends once"
                self._ended.add(event.order)

    def _judge(self, event: a.RiskPassed) -> None:
        """Law 7: while halted, what passes takes away from a position and no more than that."""
        order = self._intents[event.order]
        assert event.order not in self._passed
        self._passed.add(event.order)
        position = self.positions[order.instrument]
        takes = position if order.side == "sell" else -position
        unknown = {self._intents[number].instrument for number in self._unknown - self._ended}
        assert order.instrument not in unknown or takes > 0, f"raises exposure beside an unknown order: {order}"
        if order.role in {"target", "aggregate", "stop", "close"}:
            assert order.reduce_only, order
        if self._halted & {"", order.bot}:
            assert order.quantity <= takes, f"raises exposure while halted: {order}"
            assert order.reduce_only or self._kind == "spot", order

    def _fill(self, event: a.OrderFilled, follows: Event | None) -> None:
        """Law 6; what is more than ordered is nobody's, and the next event says so."""
        ordered = self._intents[event.order].quantity
        self.positions[event.instrument] += event.received if event.side == "buy" else -event.received
        if isinstance(follows, a.Overfilled):
            self._excess[event.order] += event.quantity
            assert (event.bot, event.quantity) == ("", follows.excess)
            assert self._filled[event.order] + self._excess[event.order] > ordered, "less than ordered is no overfill"
            return
        self._unknown.discard(event.order)
        self._filled[event.order] += event.quantity
        assert event.remaining == ordered - self._filled[event.order] >= 0
        if not event.remaining:
            assert event.order not in self._ended, "an order ends once"
            self._ended.add(event.order)

    def check_sends(self, effects: list[Effect], events: dict[tuple[int, int], Event]) -> None:
        for place, effect in enumerate(effects):
            if not isinstance(effect, SubmitOrder):
                continue
            verdict = events[effect.verdict]
            assert isinstance(verdict, a.RiskPassed)
            assert verdict.order == effect.order
            assert effect.order not in self._sent
            self._sent.add(effect.order)
            intent = self._intents[effect.order]
            sent = (effect.side, effect.quantity, effect.limit, effect.stop, effect.reduce_only, effect.instrument)
            assert sent == (
                intent.side, intent.quantity, intent.limit, intent.stop, intent.reduce_only, intent.instrument
            )  # fmt: skip
            raises = not intent.reduce_only and (self._kind != "spot" or intent.side == "buy")
            if raises and self._halted & {"", intent.bot}:  # it passed, and the halt came in the same step
                assert any(isinstance(each, CancelOrder) and each.order == effect.order for each in effects[place:])

    def check(self, core: Core) -> None:
        account = core.state("account", ACCOUNT)
        assert self._sent == self._passed
        assert set(account.orders) == self._sent - self._ended, "an order is open from its verdict to its end"
        assert set(account.halted) == self._halted
        assert sum(order.status == "UNKNOWN" for order in account.orders.values()) == sum(account.unknown.values())


class Money:
    """Laws 1, 2, 3 and 18: cash and positions are what unique fills made of them, and somebody has each part."""

    def __init__(self, listed: dict[InstrumentId, Instrument]) -> None:
        self.cash: Counter[str] = Counter()
        self.positions: Counter[InstrumentId] = Counter()
        self.owned: Counter[tuple[InstrumentId, str, int]] = Counter()
        self._listed = listed
        self._start: Counter[str] = Counter()
        self._trades: set[tuple[int, str]] = set()
        self._rows = MemoryRows()

    def see(self, record: Record[Event]) -> None:
        fold_records((PORTFOLIO,), self._rows, [record])
        for event in record.events:
            if isinstance(event, a.CashDeposited):
                self.cash[event.asset] += event.amount
                self._start[event.asset] += event.amount
            elif isinstance(event, a.OrderFilled):
                self._fill(event)
            elif isinstance(event, g.DustWrittenOff):
                held = self.owned[event.instrument, event.bot, event.group]
                self.owned[event.instrument, event.bot, event.group] = 0
                self.owned[event.instrument, "", 0] += held
                assert abs(held) == event.quantity

    def _fill(self, event: a.OrderFilled) -> None:
        assert (event.order, event.trade) not in self._trades, "a trade counts once"
        self._trades.add((event.order, event.trade))
        listed, sign = self._listed[event.instrument], 1 if event.side == "buy" else -1
        quantity, fee = sign * event.quantity, int(event.fee)
        self.cash[listed.quote] -= sign * listed.notional(event.price, event.quantity)
        if event.fee_asset == listed.base:
            quantity -= fee
        else:
            self.cash[event.fee_asset] -= fee
        self.positions[event.instrument] += quantity
        self.owned[event.instrument, event.bot, event.group] += quantity

    def check(self, core: Core) -> None:
        account = core.state("account", ACCOUNT)
        assert account.cash == self.cash
        for name in self._listed:
            assert account.positions.get(name, 0) == self.positions[name]
            assert self.positions[name] == sum(owned for (each, _, _), owned in self.owned.items() if each == name)
            held_back = sum(order.held_back for order in account.orders.values() if order.instrument == name)
            assert account.held_back.get(name, 0) == held_back
        reserved = sum(order.reserved for order in account.orders.values())
        assert sum(account.reserved.values()) == reserved
        for (_, bot, group), owned in self.owned.items():
            state = core.state("position_group", (bot, group)) if bot else None
            if bot and state is None:
                assert owned == 0, f"group {bot}/{group} is over and holds {owned}"
            elif state is not None:
                assert owned == (state.held if state.direction == "long" else -state.held)
        self._check_equity()

    def _check_equity(self) -> None:
        """Law 3, of the read model as well."""
        for books in self._rows.all(BalanceRow):
            pools = self._rows.all(PoolRow)
            made = sum(pool.realized - pool.fees for pool in pools)
            assert books.cash == self.cash[books.asset]
            assert books.equity == self._start[books.asset] + made + books.unrealized


class Groups:
    """No orphan: what works for a group is what the group says of itself, and nothing works for one that is over."""

    def check(self, core: Core) -> None:
        account = core.state("account", ACCOUNT)
        works: dict[tuple[str, int], list[Any]] = defaultdict(list)
        for order in account.orders.values():
            if order.bot:
                works[order.bot, order.group].append(order)
        live = set(core.keys("position_group"))
        assert set(works) <= live, "an order of a group that is over"
        for key in live:
            self._check_group(core.state("position_group", key), works[key])
            bot = core.state("bot", key[0])
            assert bot.live == key[1]
        for name in core.keys("bot"):
            live_group = core.state("bot", name).live
            assert not live_group or (name, live_group) in live
        watched = core.state("portfolio_risk", ACCOUNT)
        if watched is not None and watched.settings_version:
            assert set(watched.watched) == live

    def _check_group(self, group: Any, orders: list[Any]) -> None:
        roles = Counter(order.role for order in orders)
        closes = "sell" if group.direction == "long" else "buy"
        assert group.held >= 0, "oversold"
        assert group.held or orders, "it holds nothing and waits for nothing"
        assert group.status == "open" or orders, "it is on its way out and nothing works"
        assert {order.leg for order in orders if order.role == "entry"} == {
            leg.plan.index for leg in group.legs if leg.working
        }
        assert roles["entry"] == sum(leg.working for leg in group.legs)
        for leg in group.legs:
            targets = [order for order in orders if order.role == "target" and order.leg == leg.plan.index]
            assert len(targets) == leg.targets
        assert roles["close"] == group.closing
        assert bool(group.reducing) <= (group.status == "open")
        for role, guard in (("stop", group.stop), ("aggregate", group.aggregate)):
            mine = [order for order in orders if order.role == role]
            assert len(mine) == (guard is not None)
            for order in mine:
                assert (order.stop if role == "stop" else order.limit, order.quantity) == (guard.price, guard.quantity)
        for order in orders:
            assert order.side == closes if order.role != "entry" else order.side != closes


class Pool:
    """The pool is never above its bound, nobody waits beside a free slot, and one signal waits at each place."""

    def __init__(self) -> None:
        self._limit = 10
        self._slots: set[tuple[str, str, int]] = set()
        self._waits: dict[tuple[InstrumentId, str], tuple[str, str, int]] = {}
        self._due: dict[tuple[InstrumentId, str], int | None] = {}
        self._let_in: Counter[tuple[str, str, int]] = Counter()
        self._live: set[tuple[str, int]] = set()

    def see(self, record: Record[Event]) -> None:
        for event in record.events:
            if isinstance(event, p.PoolConfigured):
                self._limit = event.settings.max_open_groups
            elif isinstance(event, p.SlotReserved):
                self._slots.add((event.bot, event.source, event.number))
                self._let_in[event.bot, event.source, event.number] += 1
                assert len(self._slots) == event.reserved <= self._limit
            elif isinstance(event, p.SlotExempted):
                assert event.group
                self._let_in[event.bot, event.source, event.number] += 1
            elif isinstance(event, p.SlotReleased):
                self._slots.remove((event.bot, event.source, event.number))
            elif isinstance(event, g.GroupClosed):
                self._live.remove((event.bot, event.group))
            elif isinstance(event, g.GroupOpened):
                self._live.add((event.bot, event.group))
                assert len(self._live) <= self._limit, "more groups than slots"
            else:
                self._queue(event, record.at)

    def _queue(self, event: Event, at: Time) -> None:
        if isinstance(event, p.SignalQueued | p.QueuedSignalReplaced):
            place = event.instrument, event.timeframe
            before = self._waits.get(place)
            if isinstance(event, p.SignalQueued):
                assert before is None, "two wait at one place"
            else:
                assert before == (event.replaced_bot, event.replaced_source, event.replaced_number)
            self._waits[place] = (event.bot, event.source, event.number)
            self._due[place] = None if event.expiry_minutes is None else at + event.expiry_minutes * MINUTE
        elif isinstance(event, p.SignalPromoted | p.SignalExpired | p.SignalRemoved):
            assert self._waits.pop((event.instrument, event.timeframe)) == (event.bot, event.source, event.number)

    def check(self, core: Core, at: Time) -> None:
        state = core.state("execution_pool", ACCOUNT)
        dues = [self._due[place] for place in self._waits]
        assert all(due is None or due > at for due in dues), "a signal waits longer than it may"
        assert set(state.slots) == self._slots
        assert {place: (each.bot, each.source, each.number) for place, each in state.waiting.items()} == self._waits
        assert not (self._waits and len(self._slots) < self._limit), "somebody waits beside a free slot"
        assert all(count == 1 for count in self._let_in.values())
        live = set(core.keys("position_group"))
        assert live == self._live == {(key[0], slot.group) for key, slot in state.slots.items()}


class Signals:
    """Every delivery has one verdict, and every accepted signal one answer that says what became of it."""

    def __init__(self) -> None:
        self.deliveries = 0
        self._open: dict[tuple[str, int], str] = {}
        self._turns: set[tuple[str, int]] = set()

    def see(self, record: Record[Event]) -> None:
        for place, event in enumerate(record.events):
            if isinstance(event, s.AlertReceived):
                self.deliveries += 1
                assert isinstance(record.events[place + 1], VERDICTS)
                assert len(record.events) == place + 2
            elif isinstance(event, s.SignalAccepted):
                self._open[event.source, event.number] = "accepted"
            elif isinstance(event, ANSWERS):
                self._open.pop((event.source, event.number), None)
            if isinstance(event, b.ReverseTaken):
                self._turns.add((event.source, event.number))
            elif isinstance(event, b.EntryWanted | b.ReverseDropped):
                self._turns.discard((event.source, event.number))
            self._entry(event)

    def _entry(self, event: Event) -> None:
        """A wish to enter is open until the pool has said no, or the bot or its group what it made of it."""
        if isinstance(event, b.EntryWanted | p.SlotReserved | p.SlotExempted):
            self._open[event.source, event.number] = type(event).__name__
        elif isinstance(event, b.EntryTaken | b.EntryDropped | p.SignalQueued | p.QueuedSignalReplaced):
            self._open.pop((event.source, event.number), None)
        elif isinstance(event, b.PyramidTaken):
            self._open[event.source, event.number] = "pyramid"
        elif isinstance(event, g.PyramidAdded):
            self._open = {key: stage for key, stage in self._open.items() if stage != "pyramid"}
        elif isinstance(event, g.PyramidRefused):
            self._open.pop((event.source, event.number), None)

    def check(self, core: Core, delivered: int) -> None:
        assert self.deliveries == delivered
        reverses = [core.state("bot", name).reverse for name in core.keys("bot")]
        assert self._turns == {(turn.source, turn.number) for turn in reverses if turn is not None}
        assert not self._open, f"signals without an answer: {self._open}"
