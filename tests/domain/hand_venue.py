"""A venue that does what it is told to, and nothing else: every order's fate and every report's time is a test's choice.

It is honest in what a venue must be: reduce-only orders never raise a position; a stop that fills ends its bracket, on the
wire too; what it has said of an order is true; a query tells all. Late, doubled and reordered reports are a test's business.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from domain.account.commands import (
    AcceptReported,
    CancelRejectReported,
    CancelReported,
    FillReported,
    RejectReported,
    TriggerReported,
    UnknownReported,
)
from domain.account.events import AccountKind
from domain.market import Instrument
from domain.message import Fact
from domain.ports import CancelOrder, Effect, QueryOrder, SubmitOrder
from domain.values import Fee, InstrumentId, Price, Quantity, Time

Fate = Literal["accept", "refuse", "lose", "lose_answer"]
"""What becomes of a request: taken, refused, lost on the way, or taken with the answer lost."""
RANK = {"market": 0, "stop": 1, "stop_limit": 1, "limit": 2}
FEE_DIVISOR = 1000
"""Every trade costs a thousandth."""


class Ticket(Struct):
    """An order as the venue has it, `known` once it has come. What targets of its bracket sold is `taken` from a stop."""

    order: SubmitOrder
    state: Literal["coming", "working", "over"] = "coming"
    left: int = 0
    known: bool = False
    taken: int = 0
    triggered: bool = False
    fills: list[FillReported] = field(default_factory=list)
    end: Fact | None = None

    @property
    def rests(self) -> bool:
        """Whether it is met as a limit."""
        return self.order.type == "limit" or self.triggered


class HandVenue:
    """One account's orders; `positions` are its own count, `said` are reports on their way, `heard` trades that came."""

    def __init__(self, account: str, kind: AccountKind, listed: Mapping[InstrumentId, Instrument]) -> None:
        self.tickets: dict[int, Ticket] = {}
        self.cancels: list[CancelOrder] = []
        self.queries: list[QueryOrder] = []
        self.said: list[Fact] = []
        self.heard: set[str] = set()
        self.positions: dict[InstrumentId, int] = dict.fromkeys(listed, 0)
        self._account = account
        self._kind = kind
        self._listed = listed

    def take(self, effect: Effect) -> None:
        """A request is on its way."""
        if isinstance(effect, SubmitOrder):
            assert effect.order not in self.tickets, "an order is sent once"
            ticket = self.tickets[effect.order] = Ticket(effect, left=effect.quantity)
            if effect.bracket:
                self._know_bracket(ticket)
        elif isinstance(effect, CancelOrder):
            self.cancels.append(effect)
        else:
            self.queries.append(effect)

    def tell(self, reports: list[Fact]) -> None:
        """These have arrived."""
        self.heard |= {report.trade for report in reports if isinstance(report, FillReported)}

    def in_state(self, *states: str) -> list[Ticket]:
        return [ticket for ticket in self.tickets.values() if ticket.state in states]

    def arrive(self, ticket: Ticket, fate: Fate) -> None:
        number = ticket.order.order
        if fate in {"lose", "lose_answer"}:
            self.said.append(UnknownReported(self._account, number, "timeout"))
        if fate == "refuse":
            self._end(ticket, RejectReported(self._account, number, "NO", "the venue does not want it"))
        elif fate == "lose":
            ticket.state = "over"
        else:
            ticket.state, ticket.known = "working", True
            if fate == "accept":
                self.said.append(self._accepted(ticket))

    def cancel(self, request: CancelOrder, fate: Fate) -> None:
        """Cancel what works; `refuse` refuses even that, for a reason of the venue's own."""
        self.cancels.remove(request)
        ticket = self.tickets[request.order]
        if fate == "refuse" or ticket.state != "working":
            self.said.append(CancelRejectReported(self._account, request.order, "NOT_NOW"))
        else:
            self._cancel(ticket, "canceled")

    def answer(self, request: QueryOrder) -> None:
        """All that is known; an order that has not come by now never comes."""
        self.queries.remove(request)
        ticket = self.tickets[request.order]
        if ticket.known:
            self.said += [self._accepted(ticket), *ticket.fills]
        elif ticket.end is None:
            ticket.state = "over"
            ticket.end = RejectReported(self._account, request.order, "NOT_FOUND", "the venue never had the order")
        if ticket.end is not None:
            self.said.append(ticket.end)

    def fill(self, ticket: Ticket, quantity: int, price: int, at: Time) -> None:
        """Trade so much of an order, less where it may only reduce."""
        order, position = ticket.order, self.positions[ticket.order.instrument]
        if order.reduce_only or (self._kind == "spot" and order.side == "sell"):
            held = position if order.side == "sell" else -position
            quantity = min(quantity, held, ticket.left - ticket.taken)
            if quantity <= 0:
                self._cancel(ticket, "nothing left to reduce")
                return
        quantity = min(quantity, ticket.left)
        ticket.left -= quantity
        report = self._fill(ticket, quantity, price, at)
        ticket.fills.append(report)
        self.said.append(report)
        if not ticket.left:
            ticket.state = "over"
        elif order.reduce_only and (ticket.left <= ticket.taken or not self.positions[order.instrument]):
            self._cancel(ticket, "nothing left to reduce")
        if order.bracket:
            self._keep_bracket(ticket, quantity)

    def overfill(self, ticket: Ticket, excess: int, price: int, at: Time) -> None:
        """Trade more than was ordered, as no venue should."""
        quantity, ticket.left, ticket.state = ticket.left + excess, 0, "over"
        report = self._fill(ticket, quantity, price, at)
        ticket.fills.append(report)
        self.said.append(report)

    def candle(self, name: InstrumentId, low: int, high: int, close: int, at: Time) -> None:
        """Fill in full what a candle meets: market orders at its close, then stops, then limits."""
        met = [
            ticket
            for ticket in self.in_state("working")
            if ticket.order.instrument == name and self._meets(ticket, low, high)
        ]
        for ticket in sorted(met, key=lambda each: (2 if each.rests else RANK[each.order.type], each.order.order)):
            if ticket.state != "working":
                continue  # a stop of its bracket has just filled
            if ticket.order.type == "stop_limit" and not ticket.triggered:
                ticket.triggered = True
                self.said.append(TriggerReported(self._account, ticket.order.order))
                continue
            order = ticket.order
            price = close if order.type == "market" else (order.limit or order.stop)
            assert price is not None
            self.fill(ticket, ticket.left, price, at)

    def _meets(self, ticket: Ticket, low: int, high: int) -> bool:
        order = ticket.order
        price = order.limit if ticket.rests else order.stop
        if price is None:
            return order.type == "market"
        falls = (order.side == "buy") == ticket.rests
        return low <= price if falls else high >= price

    def _know_bracket(self, ticket: Ticket) -> None:
        """What its bracket has traded and its sender cannot know of yet counts for an order that is sent meanwhile."""
        unheard = [
            (other.order.type, report.quantity)
            for other in self.tickets.values()
            for report in other.fills
            if other.order.bracket == ticket.order.bracket and report.trade not in self.heard
        ]
        ticket.taken = sum(quantity for _, quantity in unheard)
        if any(kind == "stop" for kind, _ in unheard):
            self._cancel(ticket, "bracket")

    def _keep_bracket(self, filled: Ticket, quantity: int) -> None:
        """One cancels the other; what a target has sold, the stop beside it must not sell again."""
        for other in self.in_state("coming", "working"):
            if other is filled or other.order.bracket != filled.order.bracket:
                continue
            if filled.order.type == "stop":
                self._cancel(other, "bracket")
            elif other.order.type == "stop":
                other.taken += quantity

    def _fill(self, ticket: Ticket, quantity: int, price: int, at: Time) -> FillReported:
        order, instrument = ticket.order, self._listed[ticket.order.instrument]
        buys = order.side == "buy"
        in_base = buys and instrument.fee_asset == "base"
        fee = (quantity if in_base else instrument.notional(price, quantity)) // FEE_DIVISOR
        self.positions[instrument.id] += quantity - (fee if in_base else 0) if buys else -quantity
        return FillReported(
            self._account, order.order, instrument.id, f"{order.order}.{len(ticket.fills) + 1}", Price(price),
            Quantity(quantity), Fee(fee), instrument.base if in_base else instrument.quote,
            "maker" if ticket.rests else "taker", at,
        )  # fmt: skip

    def _cancel(self, ticket: Ticket, reason: str) -> None:
        ticket.known = True
        filled = Quantity(ticket.order.quantity - ticket.left)
        self._end(ticket, CancelReported(self._account, ticket.order.order, filled, reason))

    def _end(self, ticket: Ticket, report: Fact) -> None:
        ticket.state, ticket.end = "over", report
        self.said.append(report)

    def _accepted(self, ticket: Ticket) -> Fact:
        return AcceptReported(self._account, ticket.order.order, f"v{ticket.order.order}")
