"""Controls: which checks stand between a decision and a venue, when they fired, who halted, who resumed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from domain.account import events as e
from domain.bot.events import AlertRefused, EntryDropped, ReverseDropped
from domain.message import Event
from domain.position_group.events import PyramidRefused
from domain.signal.events import SignalDuplicated, SignalMalformed, SignalRefused, SignalStale
from projections.orders import ENDED, OrderRow
from replay.reports.cells import Blank, Cell, Place, Row, changed, columns, text_of
from replay.reports.checks import ALWAYS, check_of, figures_of
from replay.reports.known import ORIGIN, PLACE, Known
from replay.reports.orders import client_order_id, size_text


class ControlsReport:
    """A row for each check that is configured, each time one fires, each halt, resumption and refusal.

    Where it begins later, first the limits in force then. What let an order pass is in the orders report.
    """

    columns = (
        *PLACE,
        *columns(
            (Blank.NOT_APPLICABLE, "kind control code value limit before limits_version detail"),
            (Blank.NOT_APPLICABLE, "account bot symbol client_order_id signal halt state elapsed_us"),
        ),
        *ORIGIN,
    )

    def __init__(self, known: Known) -> None:
        self._known = known
        self._standing: dict[str, dict[str, Row]] = {}
        self._halting: dict[tuple[str, int], Halting] = {}

    def take(self, place: Place, event: Event) -> Iterator[Row]:
        shared = self._known.place(place)
        if isinstance(event, e.RiskLimitsSet):
            yield from self._limits_set(shared, event)
        elif isinstance(event, e.AccountOpened | e.InstrumentListed):
            for check in _stands(event):
                standing = self._standing.setdefault(event.account, {})
                standing[f"{check['control']} {check.get('symbol', '')}"] = shared | check
                yield shared | check
        else:
            fired = FIRED.get(type(event))
            row = None if fired is None else fired(self._known, event)
            if row is not None:
                yield shared | row
        if self._halting or isinstance(event, e.TradingHalted):
            yield from self._ended(place, event, shared)

    def opening(self) -> Iterator[Row]:
        """What is in force, each at the position at which it was set."""
        for standing in self._standing.values():
            for row in standing.values():
                yield {**row, "kind": "in_force", "before": Blank.NOT_APPLICABLE}

    def _limits_set(self, shared: Row, event: e.RiskLimitsSet) -> Iterator[Row]:
        standing = self._standing.setdefault(event.account, {})
        wanted = {f"limits.{key}": text_of(value) for key, value in changed(event.limits).items() if value is not None}
        gone = [key for key in standing if key.startswith("limits.") and key not in wanted]
        for key in (*wanted, *gone):
            found = standing.get(key)
            before: Cell = Blank.NOT_SET if found is None else found["limit"]
            after: Cell = wanted.get(key, Blank.NOT_SET)
            if before != after:
                row: Row = shared | {
                    "kind": "configured", "control": key, "account": event.account, "limit": after, "before": before,
                    "limits_version": event.version,
                }  # fmt: skip
                standing[key] = row
                yield row
        for key in gone:
            del standing[key]

    def _ended(self, place: Place, event: Event, shared: Row) -> Iterator[Row]:
        """When the last order has gone that a halt cancelled: it is known once the halt's decision is whole."""
        orders = self._known.orders
        if isinstance(event, e.TradingHalted):
            going = {
                order.order
                for order in orders.open(event.account)
                if order.cancel_wanted and event.bot in {"", order.bot}
            }
            self._halting[event.account, event.number] = Halting(event.account, event.bot, event.number, place, going)
        elif isinstance(event, e.CancelRequested):
            latest = list(self._halting.values())[-1]
            if latest.place.record is place.record:
                latest.waits.add(event.order)
        for key, halting in list(self._halting.items()):
            if place.record is halting.place.record and event is not place.record.events[-1]:
                continue
            gone = {order for order in halting.waits if _is_over(orders.get(OrderRow, halting.account, order))}
            halting.waits -= gone
            if not halting.waits:
                del self._halting[key]
                yield shared | halting.row(place)


class Halting:
    """A halt whose cancelled orders have not all gone yet."""

    def __init__(self, account: str, bot: str, number: int, place: Place, waits: set[int]) -> None:
        self.account = account
        self.bot = bot
        self.number = number
        self.place = place
        self.waits = waits

    def row(self, place: Place) -> Row:
        return {
            "kind": "cancels_complete", "control": "halt", "account": self.account, "bot": self.bot,
            "halt": self.number, "elapsed_us": place.record.at - self.place.record.at,
        }  # fmt: skip


def _is_over(order: OrderRow | None) -> bool:
    return order is None or order.status in ENDED


def _stands(event: e.AccountOpened | e.InstrumentListed) -> Iterator[Row]:
    """The checks that nobody can switch off, and their limits where they have one."""
    row: Row = {"kind": "configured", "account": event.account}
    if isinstance(event, e.AccountOpened):
        for name in ALWAYS:
            yield row | {"control": name}
        return
    listed = event.instrument
    row["symbol"] = listed.id
    yield row | {"control": "step", "limit": listed.size_text(listed.step)}
    yield row | {"control": "tick", "limit": listed.price_text(listed.tick)}
    yield row | {"control": "minimum_notional", "limit": listed.cash_text(listed.minimum_notional)}


def _denied(known: Known, event: e.OrderDenied) -> Row:
    return {
        "kind": "denied", "control": check_of(event.code), "code": event.code, "detail": event.reason,
        "limits_version": event.settings or Blank.NOT_SET, **figures_of(event.code, event.reason),
        **_order(event), "bot": event.bot, "symbol": event.instrument,
    }  # fmt: skip


def _halted(_known: Known, event: e.TradingHalted) -> Row:
    killed = event.code == "KILL"
    figures: Row = {} if killed else figures_of(event.code, event.reason)
    return {
        "kind": "killed" if killed else "halted", "control": "kill_switch" if killed else check_of(event.code),
        "code": event.code, "detail": event.reason, "account": event.account, "bot": event.bot,
        "halt": event.number, "state": event.state, **figures,
    }  # fmt: skip


def _resumed(known: Known, event: e.TradingResumed) -> Row:
    """`value` is what losses count from: the account's equity, or the bot's result."""
    return {
        "kind": "resumed", "control": "halt", "value": known.worth(event.account, event.worth),
        "account": event.account, "bot": event.bot, "halt": event.number,
    }  # fmt: skip


def _refused(_known: Known, event: e.RiskCommandRefused) -> Row:
    return {
        "kind": "refused", "control": event.command, "code": event.code, "detail": event.reason,
        "account": event.account, "bot": event.bot,
    }  # fmt: skip


def _cancelled(_known: Known, event: e.CancelRequested) -> Row | None:
    """A cancel that a halt or an event of the calendar asked for; what else is cancelled is no control's doing."""
    control = _CANCELS.get(event.reason.partition(":")[0])
    if control is None:
        return None
    return {"kind": "cancelled", "control": control, "detail": event.reason, **_order(event)}


_CANCELS = {"halt": "halt", "event": "limits.event_windows"}
"""How the reasons of cancels begin that a control asks for."""


def _session(known: Known, event: e.SessionStarted) -> Row:
    """`value` is the equity that losses count from."""
    return {
        "kind": "session", "control": "loss_limits", "value": known.worth(event.account, event.equity),
        "account": event.account, "detail": event.because,
    }  # fmt: skip


def _order(event: Any) -> Row:
    return {"account": event.account, "client_order_id": client_order_id(event.account, event.order)}


def _break(code: str, detail: Callable[[Known, Any], str], figures: Callable[[Known, Any], Row]) -> "Fired":
    """A difference between what we have and what the venue says."""
    return lambda known, event: {
        "kind": "break", "control": "reconciliation", "code": code, "detail": detail(known, event),
        "symbol": event.instrument, **_order(event), **figures(known, event),
    }  # fmt: skip


def _sizes(known: Known, event: Any, value: int, limit: int | None) -> Row:
    listed = known.instruments.get((event.account, event.instrument))
    return {
        "value": size_text(listed, value),
        "limit": Blank.NOT_APPLICABLE if limit is None else size_text(listed, limit),
    }


def _rejected(_known: Known, event: e.OrderRejected) -> Row:
    return {
        "kind": "venue_rejected", "control": "venue", "code": event.code, "detail": event.reason,
        "bot": event.bot, "symbol": event.instrument, **_order(event),
    }  # fmt: skip


def _signal(code: str | None, detail: Callable[[Any], str], figures: Callable[[Any], Row]) -> "Fired":
    return lambda _known, event: {
        "kind": "signal_refused", "control": "signal", "code": event.code if code is None else code,
        "detail": detail(event), "signal": f"signal/{event.source}#{event.number}" if event.source else Blank.NOT_RECORDED, **figures(event),
    }  # fmt: skip


def _reason(event: Any) -> str:
    return str(event.reason)


def _alert_id(event: Any) -> str:
    return f"alert_id={event.alert_id}"


def _nothing(_event: Any) -> Row:
    return {}


Fired = Callable[[Known, Any], Row | None]
FIRED: Mapping[type[Event], Fired] = {
    e.OrderDenied: _denied,
    e.TradingHalted: _halted,
    e.TradingResumed: _resumed,
    e.RiskCommandRefused: _refused,
    e.CancelRequested: _cancelled,
    e.SessionStarted: _session,
    e.OrderRejected: _rejected,
    e.OrderUnknown: _break("ORDER_UNKNOWN", lambda _known, event: _reason(event), lambda _known, _event: {}),
    e.FillsMissing: _break(
        "FILLS_MISSING",
        lambda _known, event: _reason(event),
        lambda known, event: _sizes(known, event, event.filled, event.reported),
    ),
    e.Overfilled: _break(
        "OVERFILLED", lambda _known, _event: "", lambda known, event: _sizes(known, event, event.excess, None)
    ),
    e.FillUnmatched: _break(
        "FILL_UNMATCHED",
        lambda _known, event: f"trade={event.trade}",
        lambda known, event: _sizes(known, event, event.quantity, None),
    ),
    SignalStale: _signal("STALE", _alert_id, lambda event: {"value": event.lag_us, "limit": event.lag_us_max}),
    SignalDuplicated: _signal("DUPLICATE", _alert_id, _nothing),
    SignalMalformed: _signal(None, _reason, _nothing),
    SignalRefused: _signal(None, _reason, _nothing),
    AlertRefused: _signal(None, _reason, lambda event: {"bot": event.bot}),
    EntryDropped: _signal(None, _reason, lambda event: {"bot": event.bot}),
    ReverseDropped: _signal(None, _reason, lambda event: {"bot": event.bot}),
    PyramidRefused: _signal(None, _reason, lambda event: {"bot": event.bot}),
}
"""What each event says of a control that fired."""
