"""What the log of the year must show: why each alert that did nothing did so, and books that add up, by a fold of its own."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from domain.account.events import (
    AccountValued,
    CashDeposited,
    InstrumentListed,
    OrderDenied,
    OrderFilled,
    OrderIntended,
    OrderRejected,
)
from domain.bot import events as bot
from domain.engine import Core
from domain.execution_pool import events as pool
from domain.message import Event, Record
from domain.position_group import events as group
from domain.signal import events as signal
from domain.values import Asset
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.rows import MemoryRows, fold_records
from replay.game import ACCOUNT, Game, play

USDT = Asset("USDT")
Alert = tuple[str, int]
"""Source and number."""


class Checked(Struct, frozen=True):
    """How many alerts ended how, and how many fills the books are made of."""

    ends: Mapping[str, int]
    fills: int


class _Ledger:
    def __init__(self) -> None:
        self.records: list[Record[Event]] = []

    def append(self, records: list[Record[Event]]) -> None:
        self.records += records


def play_whole(game: Game) -> tuple[list[Record[Event]], Core]:
    """A backtest's records, and its core at the end."""
    ledger = _Ledger()
    core = play(game, ledger)
    return ledger.records, core


EXPLAINS: Mapping[type[Event], str] = {
    signal.SignalDuplicated: "duplicate", signal.SignalStale: "stale", signal.SignalMalformed: "malformed",
    signal.SignalRefused: "refused", bot.AlertRefused: "refused", bot.EntryDropped: "dropped",
    bot.ReverseDropped: "dropped", pool.SignalExpired: "expired in the queue", pool.SignalRemoved: "removed from the queue",
    pool.QueuedSignalReplaced: "waits", pool.SignalQueued: "waits", group.PyramidRefused: "refused",
    bot.EntryTaken: "entry", bot.PyramidTaken: "pyramid", bot.ExitTaken: "exit",
}  # fmt: skip
"""How an alert can end, by the event that says so; of several the last one counts."""


def explain(records: Sequence[Record[Event]]) -> Counter[str]:
    """How every alert ended. Fails where one did nothing and no event with a code, or of a kind that is one, says why.

    An entry that was taken must have led to a fill, or each of its orders to a denial, a rejection or an end with a
    reason, or it still works.
    """
    ends: dict[Alert, str] = {}
    taken: dict[tuple[str, int], list[Alert]] = defaultdict(list)
    outcomes: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event in (event for record in records for event in record.events):
        if isinstance(event, signal.AlertReceived):
            ends[event.source, event.number] = "?"
        _end(event, ends)
        if isinstance(event, bot.EntryTaken):
            taken[event.bot, event.group].append((event.source, event.number))
        elif isinstance(event, OrderFilled | OrderDenied | OrderRejected) and event.role == "entry":
            outcomes[event.bot, event.group].add("filled" if isinstance(event, OrderFilled) else f"code {event.code}")
        elif isinstance(event, group.LegEnded | group.LegsExpired | group.GroupClosed):
            assert event.reason, event
            outcomes[event.bot, event.group].add(event.reason)
    unexplained = [alert for alert, end in ends.items() if end == "?"]
    assert not unexplained, f"nothing says what became of the alerts {unexplained[:5]}"
    for key, alerts in taken.items():
        for alert in alerts:
            if ends[alert] == "entry" and "filled" not in outcomes[key]:
                codes = sorted(each for each in outcomes[key] if each.startswith("code "))
                ends[alert] = f"entry without a fill: {codes[0] if codes else ', '.join(sorted(outcomes[key]))}"
                assert outcomes[key], f"nothing says why group {key} bought nothing"
    return Counter(ends.values())


def _end(event: Event, ends: dict[Alert, str]) -> None:
    """Note what an event says of its alert."""
    end = EXPLAINS.get(type(event))
    if end is None:
        return
    named: Any = event
    if isinstance(event, pool.QueuedSignalReplaced):
        ends[event.replaced_source, event.replaced_number] = "replaced in the queue"
    code = getattr(event, "code", None)
    if code is not None:
        assert code, event
        assert named.reason, event
        end = f"{end}: {code}"
    if (named.source, named.number) in ends:
        ends[named.source, named.number] = end


def check_books(records: Sequence[Record[Event]], core: Core) -> int:
    """Laws 1, 2, 3, 6 and 18 from the fills themselves; the number of fills."""
    fills = [event for record in records for event in record.events if isinstance(event, OrderFilled)]
    assert len({(fill.order, fill.trade) for fill in fills}) == len(fills), "a trade counted twice"
    ordered = {
        event.order: event.quantity for record in records for event in record.events if isinstance(event, OrderIntended)
    }
    filled: Counter[int] = Counter()
    cash: int = sum(event.amount for record in records for event in record.events if isinstance(event, CashDeposited))
    deposited, fees = cash, 0
    held: Counter[str] = Counter()
    grouped: Counter[tuple[str, int]] = Counter()
    realized, cost = Fraction(0), defaultdict[str, Fraction](Fraction)
    for fill in fills:
        filled[fill.order] += fill.quantity
        fees += fill.fee
        bought = fill.side == "buy"
        cash += -fill.cash - fill.fee if bought else fill.cash - fill.fee
        if not bought:
            share = cost[fill.instrument] * fill.received / held[fill.instrument]
            realized += fill.cash - share
        cost[fill.instrument] += fill.cash if bought else -share
        sign = 1 if bought else -1
        held[fill.instrument] += sign * fill.received
        grouped[fill.bot, fill.group] += sign * fill.received
    assert all(quantity <= ordered[order] for order, quantity in filled.items()), "filled more than ordered"
    state = core.state("account", ACCOUNT)
    assert state.cash[USDT] == cash, (state.cash, cash)
    assert {name: quantity for name, quantity in state.positions.items() if quantity} == +held, (state.positions, held)
    _check_groups(records, core, grouped, held)
    _check_worth(records, (cash, deposited, fees), held, realized - sum(cost.values()))
    return len(fills)


def _check_groups(
    records: Sequence[Record[Event]], core: Core, grouped: Mapping[tuple[str, int], int], held: Mapping[str, int]
) -> None:
    """Each live group holds what it bought less what it sold; a closed one has left dust at most, which is nobody's."""
    live = {key: core.state("position_group", key) for key in core.keys("position_group")}
    dust: Counter[str] = Counter()
    written = {
        (event.bot, event.group): event for record in records for event in record.events
        if isinstance(event, group.DustWrittenOff)
    }  # fmt: skip
    of: Counter[str] = Counter()
    for key, quantity in grouped.items():
        if key in live:
            assert live[key].held == quantity >= 0, (key, live[key].held, quantity)
            of[live[key].instrument.id] += quantity
        elif quantity:
            assert key in written, f"group {key} has closed with {quantity}"
            assert written[key].quantity == quantity, (key, quantity, written[key])
            dust[written[key].instrument] += quantity
    for name, quantity in held.items():
        assert quantity == of[name] + dust[name], (name, quantity, of[name], dust[name])


def _check_worth(
    records: Sequence[Record[Event]], books: tuple[int, int, int], held: Mapping[str, int], gained: Fraction
) -> None:
    """Equity is cash and what is held at the last prices; its change is what was realized, what is not yet, and fees."""
    cash, deposited, fees = books
    listed = {
        event.instrument.id: event.instrument
        for record in records
        for event in record.events
        if isinstance(event, InstrumentListed)
    }
    valued = next(event for record in reversed(records) for event in record.events if isinstance(event, AccountValued))
    worth = sum(listed[name].notional(price, held.get(name, 0)) for name, price in valued.marks)
    assert dict(valued.equity)[USDT] == cash + worth, (valued.equity, cash, worth)
    assert cash + worth - deposited == gained + worth - fees, "equity changed by something else"
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, records)
    (balance,) = [row for row in rows.all(BalanceRow) if row.asset == USDT]
    assert (balance.cash, balance.equity, balance.deposited) == (cash, cash + worth, deposited), balance
