"""How events change the account's state."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import structs

from domain.account import events as e
from domain.account.risk_folds import RISK_FOLDS, add_to_base, keep_book, remember_sent
from domain.account.state import ENDED_KEPT, AccountState, Book, Listing, Order, Status
from domain.message import Event


def opened(state: AccountState, event: e.AccountOpened) -> AccountState:
    state.account = event.account
    state.kind = event.kind
    state.mode = event.mode
    return state


def listed(state: AccountState, event: e.InstrumentListed) -> AccountState:
    instrument = event.instrument
    state.listings[instrument.id] = Listing(
        instrument, event.maker_fee, event.taker_fee, event.slippage, instrument.factor
    )
    return state


def cash_deposited(state: AccountState, event: e.CashDeposited) -> AccountState:
    state.cash[event.asset] = state.cash.get(event.asset, 0) + event.amount
    state.stirred = True
    if event.asset == state.limits.currency:
        add_to_base(state, event.amount)
    return state


def position_deposited(state: AccountState, event: e.PositionDeposited) -> AccountState:
    state.positions[event.instrument] = state.positions.get(event.instrument, 0) + event.quantity
    state.stirred = True
    book = state.books.get(("", event.instrument), Book())
    state.books["", event.instrument] = structs.replace(
        book, quantity=book.quantity + event.quantity, cash=book.cash - event.cost
    )
    if state.listings[event.instrument].instrument.quote == state.limits.currency:
        add_to_base(state, event.cost)
    return state


def intended(state: AccountState, event: e.OrderIntended) -> AccountState:
    state.orders_placed = event.order
    state.orders[event.order] = Order(
        event.order, event.bot, event.group, event.leg, event.role, event.instrument, event.side, event.type,
        event.quantity, event.limit, event.stop, event.reduce_only,
    )  # fmt: skip
    return state


def passed(state: AccountState, event: e.RiskPassed) -> AccountState:
    """From here on the order holds back what it needs: cash where it opens, position where it closes.

    A stop holds back nothing: it stands beside the targets of the same holding, and the venue lets only one of them fill.
    """
    order, reserved, held_back = state.orders[event.order], event.reserved, 0
    name = order.instrument
    if reserved:
        quote = state.listings[name].instrument.quote
        state.reserved[quote] = state.reserved.get(quote, 0) + reserved
    elif order.role != "stop" and state.closes(order.side, reduce_only=order.reduce_only):
        held_back = order.quantity
        state.held_back[name] = state.held_back.get(name, 0) + held_back
    state.orders[event.order] = structs.replace(order, status="SUBMITTED", reserved=reserved, held_back=held_back)
    if event.at:
        remember_sent(state, order, event.at)
    return state


def denied(state: AccountState, event: e.OrderDenied) -> AccountState:
    del state.orders[event.order]
    return state


def accepted(state: AccountState, event: e.OrderAccepted) -> AccountState:
    order = state.orders[event.order]
    status = order.status
    if status == "SUBMITTED":
        status = "ACCEPTED"
    elif status == "UNKNOWN":
        _known(state, order)
        status = "ACCEPTED"
    state.orders[event.order] = structs.replace(order, status=status, venue_order=event.venue_order)
    return state


def triggered(state: AccountState, event: e.OrderTriggered) -> AccountState:
    state.orders[event.order] = structs.replace(state.orders[event.order], triggered=True)
    return state


def unknown(state: AccountState, event: e.OrderUnknown) -> AccountState:
    state.orders[event.order] = structs.replace(state.orders[event.order], status="UNKNOWN")
    state.unknown[event.instrument] = state.unknown.get(event.instrument, 0) + 1
    return state


def filled(state: AccountState, event: e.OrderFilled) -> AccountState:
    """Cash and position move by the fill; what the order held back shrinks with what remains of it."""
    name, fee_asset = event.instrument, event.fee_asset
    received: int = event.received
    paid: int = event.cash
    cash, positions, instrument = state.cash, state.positions, state.listings[name].instrument
    if event.side == "buy":
        paid = -paid
    else:
        received = -received
    if fee_asset == instrument.quote:
        paid -= event.fee
    elif fee_asset != instrument.base:
        cash[fee_asset] = cash.get(fee_asset, 0) - event.fee
    cash[instrument.quote] = cash.get(instrument.quote, 0) + paid
    before = positions.get(name, 0)
    after = positions[name] = before + received
    if before < 0 or after < 0:
        _keep_short_basis(state, event, before, after)
    state.stirred = True
    keep_book(state, event, instrument.step, received, paid)
    order = state.orders.get(event.order)
    if order is None:
        late = state.ended.get(event.order)
        if late is not None:
            state.ended[event.order] = structs.replace(late, trades=(*late.trades, event.trade))
    elif event.remaining:
        _go_on(state, order, order.filled + event.quantity, event.remaining, (*order.trades, event.trade))
    else:
        _end(state, order, order.filled + event.quantity, (*order.trades, event.trade))
    return state


def fills_missing(state: AccountState, event: e.FillsMissing) -> AccountState:
    state.orders[event.order] = structs.replace(
        state.orders[event.order], venue_filled=event.filled, ended_as=event.reason
    )
    return state


def cancel_requested(state: AccountState, event: e.CancelRequested) -> AccountState:
    """An unknown order stays unknown: asking for its end tells nothing about it."""
    order = state.orders[event.order]
    status: Status = "UNKNOWN" if order.status == "UNKNOWN" else "PENDING_CANCEL"
    state.orders[event.order] = structs.replace(order, status=status, cancel_wanted=True)
    return state


def cancel_rejected(state: AccountState, event: e.CancelRejected) -> AccountState:
    order = state.orders[event.order]
    status: Status = "PARTIALLY_FILLED" if order.filled else "ACCEPTED"
    state.orders[event.order] = structs.replace(order, status=status, cancel_wanted=False)
    return state


def ended(state: AccountState, event: e.OrderCanceled | e.OrderRejected) -> AccountState:
    order = state.orders[event.order]
    _end(state, order, order.filled, order.trades)
    return state


def valued(state: AccountState, event: e.AccountValued) -> AccountState:
    state.stirred = False
    currency = state.limits.currency
    if currency is not None and state.peak is not None:
        state.peak = max(state.peak, next((sum_ for asset, sum_ in event.equity if asset == currency), 0))
    return state


def unchanged(state: AccountState, _event: Event) -> AccountState:
    return state


def _known(state: AccountState, order: Order) -> None:
    """An order that was unknown is so no more."""
    state.unknown[order.instrument] -= 1


def _give_back(state: AccountState, order: Order, reserved: int, held_back: int) -> None:
    """So much of what the order kept from others they may use again."""
    if reserved:
        state.reserved[state.listings[order.instrument].instrument.quote] -= reserved
    if held_back:
        state.held_back[order.instrument] -= held_back


def _go_on(state: AccountState, order: Order, filled: int, remaining: int, trades: tuple[str, ...]) -> None:
    """What a partly filled order holds back shrinks with what remains of it."""
    if order.status == "UNKNOWN":
        _known(state, order)
    status: Status = "PENDING_CANCEL" if order.cancel_wanted else "PARTIALLY_FILLED"
    before = remaining + filled - order.filled
    reserved, held_back = order.reserved * remaining // before, order.held_back * remaining // before
    _give_back(state, order, order.reserved - reserved, order.held_back - held_back)
    state.orders[order.id] = structs.replace(
        order, status=status, filled=filled, reserved=reserved, held_back=held_back, trades=trades
    )


def _end(state: AccountState, order: Order, filled: int, trades: tuple[str, ...]) -> None:
    """Give back all and move an order from the open ones to the few ended ones that are remembered."""
    if order.status == "UNKNOWN":
        _known(state, order)
    _give_back(state, order, order.reserved, order.held_back)
    del state.orders[order.id]
    state.ended[order.id] = structs.replace(
        order, status="ENDED", filled=filled, reserved=0, held_back=0, trades=trades
    )
    if len(state.ended) > ENDED_KEPT:
        state.ended.popitem(last=False)


def _keep_short_basis(state: AccountState, event: e.OrderFilled, before: int, after: int) -> None:
    """Proceeds of the part of the position that is short: grows with sales, shrinks in proportion."""
    basis = state.short_basis.get(event.instrument, 0)
    if after >= 0:
        basis = 0
    elif before >= 0:
        basis = event.cash * -after // event.quantity
    elif after < before:
        basis += event.cash
    else:
        basis = basis * after // before
    state.short_basis[event.instrument] = basis


FOLDS: Mapping[type[Event], Callable[[Any, Any], AccountState]] = {
    e.AccountOpened: opened,
    e.InstrumentListed: listed,
    e.CashDeposited: cash_deposited,
    e.PositionDeposited: position_deposited,
    e.OrderIntended: intended,
    e.RiskPassed: passed,
    e.OrderDenied: denied,
    e.OrderAccepted: accepted,
    e.OrderRejected: ended,
    e.OrderUnknown: unknown,
    e.OrderTriggered: triggered,
    e.OrderFilled: filled,
    e.Overfilled: unchanged,
    e.FillUnmatched: unchanged,
    e.CancelRequested: cancel_requested,
    e.CancelRejected: cancel_rejected,
    e.OrderCanceled: ended,
    e.FillsMissing: fills_missing,
    e.AccountValued: valued,
    **RISK_FOLDS,
    e.RiskCommandRefused: unchanged,
}
