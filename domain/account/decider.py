"""The account decides: orders are judged, reports of venues become events once, whatever their order."""

from operator import attrgetter

from msgspec import structs

from domain.account import commands as c
from domain.account import events as e
from domain.account.folds import FOLDS
from domain.account.risk_folds import evolved
from domain.account.state import AccountState, Order
from domain.decider import Decider, Now
from domain.message import Command, Event
from domain.risk import halts
from domain.risk.pre_trade import judge
from domain.values import LARGEST, SECOND, Cash, Fee, Quantity

Events = tuple[Event, ...]


def open_account(state: AccountState, command: c.OpenAccount) -> Events:
    """An account opens once."""
    return () if state.account else (e.AccountOpened(command.account, command.kind, command.mode),)


def list_instrument(state: AccountState, command: c.ListInstrument) -> Events:
    """An instrument is listed once under its id."""
    if command.instrument.id in state.listings:
        return ()
    return (
        e.InstrumentListed(command.account, command.instrument, command.maker_fee, command.taker_fee, command.slippage),
    )


def deposit_cash(state: AccountState, command: c.DepositCash) -> Events:
    """Only what is something and leaves the balance within 64 bits comes in."""
    if command.amount <= 0 or state.cash.get(command.asset, 0) + command.amount > LARGEST:
        return ()
    return (e.CashDeposited(command.account, command.asset, command.amount),)


def deposit_position(state: AccountState, command: c.DepositPosition) -> Events:
    """A holding is of a listed instrument."""
    held = state.positions.get(command.instrument, 0)
    if command.instrument not in state.listings or command.quantity <= 0 or held + command.quantity > LARGEST:
        return ()
    return (e.PositionDeposited(command.account, command.instrument, command.quantity, command.cost),)


def place(state: AccountState, command: c.PlaceOrder, now: Now) -> Events:
    """Intent and verdict are one decision; what the account's losses ask for comes before them."""
    found = halts.review(state, now) if state.watched else ()
    if found:
        state = evolved(state, found, FOLDS)
    intended = e.OrderIntended(
        command.account, state.orders_placed + 1, command.bot, command.group, command.leg, command.role,
        command.instrument, command.side, command.type, command.quantity, command.limit, command.stop,
        command.reference, command.reduce_only,
    )  # fmt: skip
    verdict = judge(state, intended, now)
    return (*found, intended, verdict) if found else (intended, verdict)


def cancel(state: AccountState, command: c.CancelOrders) -> Events:
    """Ask for the end of what works for a group in these roles, once."""
    return tuple(
        e.CancelRequested(command.account, order.id, command.reason)
        for order in state.orders.values()
        if order.group == command.group
        and order.bot == command.bot
        and order.role in command.roles
        and (command.legs is None or order.leg in command.legs)
        and not order.cancel_wanted
    )


def cancel_by_id(state: AccountState, command: c.CancelOrderById) -> Events:
    order = state.orders.get(command.order)
    if order is None or order.cancel_wanted:
        return ()
    return (e.CancelRequested(command.account, order.id, command.reason),)


def accepted(state: AccountState, report: c.AcceptReported) -> Events:
    """A cancel that met an unknown order is asked for again once the order is known to be there."""
    order = state.orders.get(report.order)
    if order is None or order.venue_order is not None:
        return ()
    event = e.OrderAccepted(report.account, report.order, report.venue_order)
    if order.status == "UNKNOWN" and order.cancel_wanted:
        return event, e.CancelRequested(report.account, report.order, "asked before the order was known")
    return (event,)


def rejected(state: AccountState, report: c.RejectReported) -> Events:
    """The venue's refusal ends the order; after a fill it can only mean the end of the rest."""
    order = state.orders.get(report.order)
    if order is None:
        return ()
    remaining = Quantity(order.quantity - order.filled)
    if order.filled:
        return (_canceled(report.account, order, remaining, f"{report.code}: {report.reason}"),)
    return (
        e.OrderRejected(
            report.account, order.id, order.bot, order.group, order.leg, order.role, order.instrument, remaining,
            report.code, report.reason,
        ),
    )  # fmt: skip


def triggered(state: AccountState, report: c.TriggerReported) -> Events:
    order = state.orders.get(report.order)
    if order is None or order.triggered:
        return ()
    return (e.OrderTriggered(report.account, report.order),)


def unknown(state: AccountState, report: c.UnknownReported) -> Events:
    """Only an order of which nothing has been heard can become unknown."""
    order = state.orders.get(report.order)
    if order is None or order.status != "SUBMITTED":
        return ()
    return (e.OrderUnknown(report.account, order.id, order.instrument, report.reason),)


def filled(state: AccountState, report: c.FillReported, now: Now) -> Events:
    """A fill, and in the same decision what the account's limits on losses make of it.

    A trade counts once. What exceeds the order belongs to no group, and is said.
    """
    order = state.orders.get(report.order)
    if order is None:
        events = _filled_late(state, report)
    elif report.trade in order.trades:
        return ()
    else:
        left = order.quantity - order.filled - report.quantity
        if not left:
            events = (_fill(state, report, order, Quantity(0)),)
        elif left < 0:
            events = _overfilled(state, report, order, order.quantity - order.filled)
        else:
            events = _filled_in_part(state, report, order, left)
    if not (state.watched and events):
        return events
    # The instrument is worth what it was just traded at: the last mark may be of before.
    now = Now(now.at, {**now.marks, report.instrument: report.price})
    return *events, *halts.review(evolved(state, events, FOLDS), now)


def _filled_in_part(state: AccountState, report: c.FillReported, order: Order, left: int) -> Events:
    """Where the venue has ended the order, the last of the fills that were missing ends it here."""
    fill = _fill(state, report, order, Quantity(left))
    if order.venue_filled is not None and order.filled + report.quantity >= order.venue_filled:
        return fill, _canceled(report.account, order, Quantity(left), order.ended_as)
    return (fill,)


def _filled_late(state: AccountState, report: c.FillReported) -> Events:
    """The order has ended: a trade that it has not counted exceeds it whole."""
    order = state.ended.get(report.order)
    if order is not None:
        return () if report.trade in order.trades else _overfilled(state, report, order, 0)
    return (
        e.FillUnmatched(
            report.account, report.order, report.instrument, report.trade, report.price, report.quantity
        ),
    )  # fmt: skip


def canceled(state: AccountState, report: c.CancelReported) -> Events:
    """The order ends when the quantities agree; until then fills are missing."""
    order = state.orders.get(report.order)
    if order is None:
        return ()
    if report.filled <= order.filled:
        return (_canceled(report.account, order, Quantity(order.quantity - order.filled), report.reason),)
    if order.venue_filled == report.filled:
        return ()
    return (
        e.FillsMissing(
            report.account, order.id, order.instrument, report.filled, Quantity(order.filled), report.reason
        ),
    )


def cancel_rejected(state: AccountState, report: c.CancelRejectReported) -> Events:
    order = state.orders.get(report.order)
    if order is None or order.status != "PENDING_CANCEL":
        return ()
    return (e.CancelRejected(report.account, order.id, report.reason),)


def value(state: AccountState, command: c.ValueAccount, now: Now) -> Events:
    """What it is worth, and what the account's limits make of that."""
    events = _valued(state, command)
    if not state.watched:
        return events
    return *events, *halts.review(evolved(state, events, FOLDS), Now(now.at, command.marks))


def set_limits(state: AccountState, command: c.SetRiskLimits, now: Now) -> Events:
    """Limits that make no sense change nothing; those that do are held against the account at once."""
    events = halts.set_limits(state, command)
    after = evolved(state, events, FOLDS)
    return *events, *(halts.review(after, now) if after.watched else ())


def _valued(state: AccountState, command: c.ValueAccount) -> Events:
    """Value an account in which something is held or has moved; a holding without a price cannot be valued."""
    held = [instrument for instrument, position in state.positions.items() if position]
    if not (held or state.stirred) or any(instrument not in command.marks for instrument in held):
        return ()
    equity = dict(state.cash)
    for name in held:
        instrument = state.listings[name].instrument
        worth = instrument.notional(command.marks[name], state.positions[name])
        equity[instrument.quote] = equity.get(instrument.quote, 0) + worth
    if any(not -LARGEST <= cash <= LARGEST for cash in equity.values()):
        return ()  # a price so wild that the amount cannot be written
    marks = tuple((name, command.marks[name]) for name in held)
    return (e.AccountValued(command.account, marks, tuple((asset, Cash(sum_)) for asset, sum_ in equity.items())),)


def _canceled(account: str, order: Order, remaining: Quantity, reason: str) -> e.OrderCanceled:
    return e.OrderCanceled(
        account, order.id, order.bot, order.group, order.leg, order.role, order.instrument, remaining, reason
    )


def _fill(state: AccountState, report: c.FillReported, order: Order, left: Quantity) -> e.OrderFilled:
    """The one place where a fill's cash is rounded."""
    listing, price, quantity, fee = state.listings[order.instrument], report.price, report.quantity, report.fee
    received = quantity
    if report.fee_asset == listing.instrument.base:
        received = Quantity(quantity - fee if order.side == "buy" else quantity + fee)
    return e.OrderFilled(
        report.account, order.id, order.bot, order.group, order.leg, order.role, order.instrument, order.side, price,
        quantity, listing.notional(price, quantity), received, fee, report.fee_asset, report.liquidity, report.trade,
        report.venue_at, left,
    )  # fmt: skip


def _overfilled(state: AccountState, report: c.FillReported, order: Order, remaining: int) -> Events:
    """Split the trade: up to what was ordered for the order's owner, the excess for no one."""
    excess = report.quantity - remaining
    fee_inside = report.fee * remaining // report.quantity
    outside = structs.replace(
        _fill(state, _part(report, excess, report.fee - fee_inside), order, Quantity(0)),
        bot="", group=0, leg=0, role="manual",
    )  # fmt: skip
    said = e.Overfilled(report.account, order.id, order.instrument, Quantity(excess))
    if not remaining:
        return outside, said
    inside = _fill(state, _part(report, remaining, fee_inside), order, Quantity(0))
    return inside, structs.replace(outside, trade=f"{report.trade}/excess"), said


def _part(report: c.FillReported, quantity: int, fee: int) -> c.FillReported:
    return structs.replace(report, quantity=Quantity(quantity), fee=Fee(fee))


def _rounds(state: AccountState) -> tuple[int, Command] | None:
    """While a limit on losses is in force, how often the account is held against it."""
    if not state.watched:
        return None
    limits = state.limits
    return (limits.value_every_seconds * SECOND, c.ReviewRisk(state.account)) if limits.limits_losses else None


DECIDER = Decider(
    kind="account",
    key=attrgetter("account"),
    initial=AccountState,
    rules={
        c.OpenAccount: open_account,
        c.ListInstrument: list_instrument,
        c.DepositCash: deposit_cash,
        c.DepositPosition: deposit_position,
        c.CancelOrders: cancel,
        c.CancelOrderById: cancel_by_id,
        c.HaltTrading: halts.halt,
        c.RecordReference: halts.record_reference,
        c.AcceptReported: accepted,
        c.RejectReported: rejected,
        c.UnknownReported: unknown,
        c.TriggerReported: triggered,
        c.CancelReported: canceled,
        c.CancelRejectReported: cancel_rejected,
    },
    folds=FOLDS,
    opens=frozenset({c.OpenAccount}),
    closed=lambda _state: False,
    timed={
        c.PlaceOrder: place,
        c.FillReported: filled,
        c.ValueAccount: value,
        c.SetRiskLimits: set_limits,
        c.ResumeTrading: halts.resume,
        c.ReviewRisk: lambda state, _command, now: halts.review(state, now),
    },
    rounds=_rounds,
    settles=frozenset({e.AccountOpened, e.RiskLimitsSet}),
)
