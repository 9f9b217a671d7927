"""Orders: each order from its intent to its end, in nautilus_trader's words."""

from typing import ClassVar, Literal

from msgspec import structs

from domain.account.events import (
    CancelRejected,
    CancelRequested,
    FillsMissing,
    FillUnmatched,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderIntended,
    OrderRejected,
    OrderTriggered,
    OrderType,
    OrderUnknown,
    Overfilled,
    RiskPassed,
    Role,
)
from domain.values import Side
from projections.cost_basis import flow_of
from projections.rows import Context, Projection, Row, Rows, need

Status = Literal[
    "INITIALIZED",
    "DENIED",
    "SUBMITTED",
    "ACCEPTED",
    "TRIGGERED",
    "REJECTED",
    "PENDING_CANCEL",
    "PARTIALLY_FILLED",
    "FILLED",
    "CANCELED",
    "UNKNOWN",
]
ENDED: frozenset[Status] = frozenset({"DENIED", "REJECTED", "FILLED", "CANCELED"})


class OrderRow(Row, frozen=True):
    """An order. `filled`, `cash` and the fees sum its fills: `fee` in quanta of its asset, `fee_value` in the quote.

    `triggered_at` is when the stop of a stop-limit was reached: it rests as a limit from then on. `excess` is what was filled beyond the order, `missing` what the venue says was filled and has not reported,
    `unmatched` how many reported fills came too late to be told from repeats.
    """

    table: ClassVar[str] = "orders"
    key: ClassVar[tuple[str, ...]] = ("account", "order")

    account: str
    order: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: str
    side: Side
    type: OrderType
    quantity: int
    limit: int | None
    stop: int | None
    reference: int
    reduce_only: bool
    intended_at: int
    updated_at: int
    status: Status = "INITIALIZED"
    notional: int | None = None
    reserved: int | None = None
    venue_order: str | None = None
    filled: int = 0
    cash: int = 0
    fee: int = 0
    fee_asset: str | None = None
    fee_value: int = 0
    cancel_wanted: bool = False
    excess: int = 0
    missing: int = 0
    unmatched: int = 0
    code: str | None = None
    reason: str | None = None
    triggered_at: int | None = None


def _intended(rows: Rows, context: Context, event: OrderIntended) -> None:
    rows.put(
        OrderRow(
            account=event.account,
            order=event.order,
            bot=event.bot,
            group=event.group,
            leg=event.leg,
            role=event.role,
            instrument=event.instrument,
            side=event.side,
            type=event.type,
            quantity=event.quantity,
            limit=event.limit,
            stop=event.stop,
            reference=event.reference,
            reduce_only=event.reduce_only,
            intended_at=context.at,
            updated_at=context.at,
        )
    )


def _passed(rows: Rows, context: Context, event: RiskPassed) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(
        structs.replace(
            order, status="SUBMITTED", notional=event.notional, reserved=event.reserved, updated_at=context.at
        )
    )


def _denied(rows: Rows, context: Context, event: OrderDenied) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(structs.replace(order, status="DENIED", code=event.code, reason=event.reason, updated_at=context.at))


def _accepted(rows: Rows, context: Context, event: OrderAccepted) -> None:
    """Fills and cancels may have come first: only an order of which nothing was known becomes accepted."""
    order = need(rows, OrderRow, event.account, event.order)
    status = _resting(order) if order.status in {"SUBMITTED", "UNKNOWN"} else order.status
    rows.put(structs.replace(order, status=status, venue_order=event.venue_order, updated_at=context.at))


def _triggered(rows: Rows, context: Context, event: OrderTriggered) -> None:
    """Whatever came first, the stop was reached; only an order known to rest is now a triggered one."""
    order = need(rows, OrderRow, event.account, event.order)
    status: Status = "TRIGGERED" if order.status == "ACCEPTED" else order.status
    rows.put(structs.replace(order, status=status, triggered_at=context.at, updated_at=context.at))


def _rejected(rows: Rows, context: Context, event: OrderRejected) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(structs.replace(order, status="REJECTED", code=event.code, reason=event.reason, updated_at=context.at))


def _unknown(rows: Rows, context: Context, event: OrderUnknown) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(structs.replace(order, status="UNKNOWN", reason=event.reason, updated_at=context.at))


def _filled(rows: Rows, context: Context, event: OrderFilled) -> None:
    """A fill after the end counts and leaves the order ended, unless it completes it."""
    order = need(rows, OrderRow, event.account, event.order)
    filled = order.filled + event.quantity
    status = order.status
    if filled >= order.quantity:
        status = "FILLED"
    elif status not in ENDED:
        status = "PENDING_CANCEL" if order.cancel_wanted else "PARTIALLY_FILLED"
    rows.put(
        structs.replace(
            order,
            status=status,
            filled=filled,
            cash=order.cash + event.cash,
            fee=order.fee + event.fee,
            fee_asset=event.fee_asset,
            fee_value=order.fee_value + flow_of(event).fee,
            missing=max(0, order.missing - event.quantity),
            updated_at=context.at,
        )
    )


def _overfilled(rows: Rows, context: Context, event: Overfilled) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(structs.replace(order, excess=order.excess + event.excess, updated_at=context.at))


def _unmatched(rows: Rows, context: Context, event: FillUnmatched) -> None:
    """A venue may name an order that was never intended here; then there is no row to say it on."""
    order = rows.get(OrderRow, event.account, event.order)
    if order is not None:
        rows.put(structs.replace(order, unmatched=order.unmatched + 1, updated_at=context.at))


def _cancel_requested(rows: Rows, context: Context, event: CancelRequested) -> None:
    """An unknown order stays unknown: asking for its end tells nothing about it."""
    order = need(rows, OrderRow, event.account, event.order)
    kept = order.status in ENDED or order.status == "UNKNOWN"
    rows.put(
        structs.replace(
            order,
            status=order.status if kept else "PENDING_CANCEL",
            cancel_wanted=True,
            reason=event.reason,
            updated_at=context.at,
        )
    )


def _cancel_rejected(rows: Rows, context: Context, event: CancelRejected) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    status = order.status
    if status == "PENDING_CANCEL":
        status = "PARTIALLY_FILLED" if order.filled else _resting(order)
    rows.put(structs.replace(order, status=status, cancel_wanted=False, reason=event.reason, updated_at=context.at))


def _canceled(rows: Rows, context: Context, event: OrderCanceled) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(structs.replace(order, status="CANCELED", missing=0, reason=event.reason, updated_at=context.at))


def _fills_missing(rows: Rows, context: Context, event: FillsMissing) -> None:
    order = need(rows, OrderRow, event.account, event.order)
    rows.put(structs.replace(order, missing=event.filled - event.reported, reason=event.reason, updated_at=context.at))


def _resting(order: OrderRow) -> Status:
    """What an order is that the venue has, and has not filled."""
    return "ACCEPTED" if order.triggered_at is None else "TRIGGERED"


ORDERS = Projection(
    name="orders",
    schema_version=2,
    tables=(OrderRow,),
    folds={
        OrderIntended: _intended,
        RiskPassed: _passed,
        OrderDenied: _denied,
        OrderAccepted: _accepted,
        OrderTriggered: _triggered,
        OrderRejected: _rejected,
        OrderUnknown: _unknown,
        OrderFilled: _filled,
        Overfilled: _overfilled,
        FillUnmatched: _unmatched,
        CancelRequested: _cancel_requested,
        CancelRejected: _cancel_rejected,
        OrderCanceled: _canceled,
        FillsMissing: _fills_missing,
    },
)
