"""How events change what risk is judged by: halts, limits, what bots hold and have made, what losses count from."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import structs

from domain.account import events as e
from domain.account.state import AccountState, Book, Halt, Order, Session
from domain.message import Event
from domain.values import Time

Folds = Mapping[type[Event], Callable[[Any, Any], AccountState]]


def halted(state: AccountState, event: e.TradingHalted) -> AccountState:
    state.halted[event.bot] = Halt(event.number, event.state, event.code)
    state.halts = max(state.halts, event.number)
    return state


def resumed(state: AccountState, event: e.TradingResumed) -> AccountState:
    """Losses count anew; where what it is worth now is not known, from when it is."""
    state.halted.pop(event.bot, None)
    session = state.session
    if event.bot:
        state.losses.pop(event.bot, None)
        if session is not None and event.worth is not None:
            state.session = structs.replace(session, bots={**session.bots, event.bot: event.worth})
        return state
    state.losses.clear()
    state.peak = event.worth
    if session is not None:
        state.session = None if event.worth is None else structs.replace(session, equity=event.worth)
    return state


def limits_set(state: AccountState, event: e.RiskLimitsSet) -> AccountState:
    """What was counted in another currency, or of another index, counts no more."""
    before = state.limits
    state.limits = event.limits
    state.limits_version = event.version
    state.watched = event.limits.reviews
    if event.limits.currency != before.currency:
        state.session = state.peak = None
    if event.limits.breaker != before.breaker:
        state.references = ()
    return state


def session_started(state: AccountState, event: e.SessionStarted) -> AccountState:
    state.session = Session(event.at, event.equity, dict(event.bots))
    state.peak = event.equity if state.peak is None else max(state.peak, event.equity)
    return state


def reference_priced(state: AccountState, event: e.ReferencePriced) -> AccountState:
    """A change takes two prices; so as many are kept as the samples need, and one."""
    breaker = state.limits.breaker
    if breaker is not None and breaker.index == event.index:
        state.references = (*state.references, event.price)[-breaker.samples - 1 :]
    return state


def add_to_base(state: AccountState, worth: int) -> None:
    """What comes in from outside is no gain: losses count from that much more."""
    if state.session is not None:
        state.session = structs.replace(state.session, equity=state.session.equity + worth)
    if state.peak is not None:
        state.peak += worth


def keep_book(state: AccountState, event: e.OrderFilled, step: int, received: int, paid: int) -> None:
    """Note in its bot's book what a fill moved, with its sign; flat again, the round trip was a loss or it was not.

    A rest below a step counts as flat: no order can carry it. Fees in a third asset are no part of the result.
    """
    bot = event.bot
    key = bot, event.instrument
    book = state.books.get(key)
    if book is None:
        state.books[key] = Book(received, paid, 0)
        return
    before, cash_flat = book.quantity, book.cash_flat
    quantity, cash = before + received, book.cash + paid
    if -step < quantity < step and not -step < before < step:
        if cash < cash_flat:
            state.losses[bot] = state.losses.get(bot, 0) + 1
            state.lost_at[bot] = event.venue_at
        else:
            state.losses.pop(bot, None)
        cash_flat = cash
    state.books[key] = Book(quantity, cash, cash_flat)


def remember_sent(state: AccountState, order: Order, at: Time) -> None:
    """Keep what was sent within the longest window, and no more."""
    sent = state.sent
    before = at - state.limits.window_seconds * 1_000_000
    while sent and sent[0][0] <= before:
        sent.popleft()
    sent.append((at, order.instrument, order.side, order.type, order.quantity, order.limit, order.stop, order.bot))


def evolved(state: AccountState, events: Iterable[Event], folds: Folds) -> AccountState:
    """The state as it will be after these events, in a copy; of ended orders it knows none."""
    copy = structs.replace(
        state,
        cash=dict(state.cash),
        reserved=dict(state.reserved),
        positions=dict(state.positions),
        held_back=dict(state.held_back),
        short_basis=dict(state.short_basis),
        unknown=dict(state.unknown),
        orders=dict(state.orders),
        ended=OrderedDict(),
        halted=dict(state.halted),
        books=dict(state.books),
        losses=dict(state.losses),
        lost_at=dict(state.lost_at),
        sent=state.sent.copy(),
    )
    for event in events:
        copy = folds[type(event)](copy, event)
    return copy


RISK_FOLDS: Folds = {
    e.TradingHalted: halted,
    e.TradingResumed: resumed,
    e.RiskLimitsSet: limits_set,
    e.SessionStarted: session_started,
    e.ReferencePriced: reference_priced,
}
