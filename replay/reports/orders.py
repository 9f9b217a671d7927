"""Orders: a row for each event of an order, from its intent to its end."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from domain.account import events as e
from domain.market import Instrument
from domain.message import Event
from domain.values import time_text
from projections.cost_basis import fee_in_quote
from projections.orders import OrderRow
from replay.reports.cells import Blank, Cell, Place, Row, columns
from replay.reports.known import DECISION, ORIGIN, PLACE, UNDECIDED, Known


class OrdersReport:
    """A row for each order event of the log, with the order as it stood after it."""

    columns = (
        *PLACE,
        *columns(
            (Blank.NOT_APPLICABLE, "venue_at event_type event account client_order_id"),
            (Blank.NOT_YET_KNOWN, "venue_order_id"),
        ),
        *DECISION,
        *columns(
            (Blank.NOT_APPLICABLE, "bot group leg role order_type"),
            (Blank.NOT_RECORDED, "time_in_force post_only"),
            (Blank.NOT_APPLICABLE, "reduce_only side limit_price stop_price price_currency"),
            (Blank.NOT_APPLICABLE, "initial_quantity remaining_quantity traded_quantity"),
            (Blank.NOT_APPLICABLE, "fill_price fill_quantity trade_id liquidity fee fee_asset net_amount"),
            (Blank.NOT_APPLICABLE, "status risk_outcome risk_notional risk_reserved risk_limits_version code reason"),
        ),
        *ORIGIN,
        *columns((Blank.NOT_APPLICABLE, "correlation signal")),
    )

    def __init__(self, known: Known) -> None:
        self._known = known

    def take(self, place: Place, event: Event) -> Iterator[Row]:
        found = _EVENTS.get(type(event))
        if found is None:
            return
        name, special = found
        happened: Any = event
        known = self._known
        order = known.orders.get(OrderRow, happened.account, happened.order)
        symbol: str = happened.instrument if order is None else order.instrument
        listed = known.instruments.get((happened.account, symbol))
        row = known.place(place)
        row |= known.decision(happened.account, happened.order, symbol)
        row |= {
            "event_type": name,
            "event": str(type(event).__struct_config__.tag),
            "account": happened.account,
            "client_order_id": client_order_id(happened.account, happened.order),
        }
        if place.record.venue_at is not None:
            row["venue_at"] = time_text(place.record.venue_at)
        if order is not None:
            row |= _order(order, listed)
            decision = known.orders.decisions.get((order.account, order.order), UNDECIDED)
            row |= {"signal": decision.signal, "correlation": group_name(order.bot, order.group)}
        if special is not None:
            row |= special(known, happened, listed)
        yield row

    def opening(self) -> Iterator[Row]:
        """Orders that stand already have their rows in the range that they came in."""
        return iter(())


def client_order_id(account: str, order: int) -> str:
    """What identifies an order in this house; what venues are given is made of it."""
    return f"{account}/{order}"


def group_name(bot: str, group: int) -> Cell:
    return f"position_group/{bot}/{group}" if bot and group else Blank.NOT_APPLICABLE


def price_text(listed: Instrument | None, price: int | None) -> Cell:
    if price is None:
        return Blank.NOT_APPLICABLE
    return Blank.NOT_LISTED if listed is None else listed.price_text(price)


def size_text(listed: Instrument | None, quantity: int) -> Cell:
    return Blank.NOT_LISTED if listed is None else listed.size_text(quantity)


def cash_text(listed: Instrument | None, cash: int) -> Cell:
    return Blank.NOT_LISTED if listed is None else listed.cash_text(cash)


def net_amount(fill: e.OrderFilled) -> int:
    """What the fill moved of the quote asset, its fee included where that was taken from it; below 0 where it was paid."""
    fee = fill.fee if fee_in_quote(fill) else 0
    return (-fill.cash if fill.side == "buy" else fill.cash) - fee


def _order(order: OrderRow, listed: Instrument | None) -> Row:
    return {
        "venue_order_id": order.venue_order or Blank.NOT_YET_KNOWN,
        "bot": order.bot,
        "group": order.group or Blank.NOT_APPLICABLE,
        "leg": order.leg if order.role in {"entry", "target", "strategy"} else Blank.NOT_APPLICABLE,
        "role": order.role,
        "order_type": order.type,
        "reduce_only": str(order.reduce_only).lower(),
        "side": order.side,
        "limit_price": price_text(listed, order.limit),
        "stop_price": price_text(listed, order.stop),
        "price_currency": Blank.NOT_LISTED if listed is None else listed.quote,
        "initial_quantity": size_text(listed, order.quantity),
        "remaining_quantity": size_text(listed, max(0, order.quantity - order.filled)),
        "traded_quantity": size_text(listed, order.filled),
        "status": order.status,
    }


def fill_cells(known: Known, fill: e.OrderFilled, listed: Instrument | None) -> Row:
    """What orders and trades both say of a fill."""
    fee: Cell = Blank.NOT_LISTED if listed is None else known.fee(listed, fill.fee_asset, fill.fee)
    return {
        "venue_at": time_text(fill.venue_at),
        "trade_id": fill.trade,
        "liquidity": fill.liquidity,
        "fee": fee,
        "fee_asset": fill.fee_asset,
        "net_amount": cash_text(listed, net_amount(fill)),
    }


def _filled(known: Known, event: e.OrderFilled, listed: Instrument | None) -> Row:
    return fill_cells(known, event, listed) | {
        "event_type": "partial_fill" if event.remaining else "fill",
        "fill_price": price_text(listed, event.price),
        "fill_quantity": size_text(listed, event.quantity),
    }


def _passed(_known: Known, event: e.RiskPassed, listed: Instrument | None) -> Row:
    return {
        "risk_outcome": "passed",
        "risk_notional": cash_text(listed, event.notional),
        "risk_reserved": cash_text(listed, event.reserved),
        "risk_limits_version": event.settings or Blank.NOT_SET,
    }


def _denied(_known: Known, event: e.OrderDenied, _listed: Instrument | None) -> Row:
    return {
        "risk_outcome": "denied",
        "risk_limits_version": event.settings or Blank.NOT_SET,
        "code": event.code,
        "reason": event.reason,
    }


def _rejected(_known: Known, event: e.OrderRejected, _listed: Instrument | None) -> Row:
    return {"code": event.code, "reason": event.reason}


def _accepted(_known: Known, event: e.OrderAccepted, _listed: Instrument | None) -> Row:
    return {"venue_order_id": event.venue_order}


Reasoned = e.OrderUnknown | e.CancelRequested | e.CancelRejected | e.OrderCanceled | e.FillsMissing


def _reason(_known: Known, event: Reasoned, _listed: Instrument | None) -> Row:
    return {"reason": event.reason}


def _missing(known: Known, event: e.FillsMissing, listed: Instrument | None) -> Row:
    filled, reported = size_text(listed, event.filled), size_text(listed, event.reported)
    return {"reason": f"{event.reason}; filled={filled}, reported={reported}"}


def _overfilled(_known: Known, event: e.Overfilled, listed: Instrument | None) -> Row:
    return {"reason": f"excess={size_text(listed, event.excess)}"}


def _unmatched(_known: Known, event: e.FillUnmatched, listed: Instrument | None) -> Row:
    return {
        "fill_price": price_text(listed, event.price),
        "fill_quantity": size_text(listed, event.quantity),
        "trade_id": event.trade,
        "reason": "of an order that is not known, or ended too long ago; not applied",
    }


Special = Callable[[Known, Any, Instrument | None], Row]
_EVENTS: Mapping[type[Event], tuple[str, Special | None]] = {
    e.OrderIntended: ("new", None),
    e.RiskPassed: ("release", _passed),
    e.OrderDenied: ("deny", _denied),
    e.OrderAccepted: ("accept", _accepted),
    e.OrderRejected: ("reject", _rejected),
    e.OrderUnknown: ("unknown", _reason),
    e.OrderTriggered: ("trigger", None),
    e.OrderFilled: ("fill", _filled),
    e.Overfilled: ("overfill", _overfilled),
    e.FillUnmatched: ("unmatched_fill", _unmatched),
    e.CancelRequested: ("cancel_request", _reason),
    e.CancelRejected: ("cancel_reject", _reason),
    e.OrderCanceled: ("cancel", _reason),
    e.FillsMissing: ("fills_missing", _missing),
}
"""What an event is called among orders, and the cells that only it has."""
