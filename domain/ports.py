"""The protocols between the loop and the world: Feed, Ledger, Venue, and what passes through them."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct, field

from domain.account.events import OrderType
from domain.message import Command, Event, EventId, Record
from domain.strategy.feature import Values
from domain.values import InstrumentId, Price, Quantity, Side, Time

FOREVER = Time(2**63 - 1)


class Mark(Struct, frozen=True, gc=False):
    """An observation: the instrument's last price is now this. It leaves no record.

    `low` and `high` are those of the candle that has passed; None where only its close is told.
    """

    instrument: InstrumentId
    price: Price
    low: Price | None = None
    high: Price | None = None


class ClockStarted(Struct, frozen=True):
    """The market's time begins: from here on days have ends."""


class DeadlineReached(Struct, frozen=True):
    """A deadline that the core had in its interest is due."""


class Wake(Struct, frozen=True, gc=False):
    """A candle has closed at which a strategy may act; `values` are those of its features there."""

    bot: str
    values: Values


class TapeEnded(Struct, frozen=True):
    """The market tape has no more: the run values its accounts."""


Observation = Mark | ClockStarted | DeadlineReached | TapeEnded | Wake


class Input(Struct, frozen=True, gc=False):
    """A command or fact for one aggregate, with who sent it."""

    actor: str
    message: Command


class Moment(Struct, frozen=True, gc=False):
    """One instant: all that became known at that time, in order."""

    at: Time
    facts: Sequence[Input | Observation]
    observed_at: Time | None = None


class Interest(Struct):
    """What can wake the core next; kept up to date, never rebuilt.

    `watched` are instruments of which the core wants a Mark with low and high of every candle that reaches down to the
    first price or up to the second.
    """

    deadline: Time = FOREVER
    watched: dict[InstrumentId, tuple[int, int]] = field(default_factory=dict)


class SubmitOrder(Struct, frozen=True, gc=False):
    """Send an order; `verdict` names the recorded risk verdict that allows it.

    Orders that only reduce and have the same `bracket` exclude each other: a stop that fills cancels the rest.
    """

    account: str
    order: int
    instrument: InstrumentId
    side: Side
    type: OrderType
    quantity: Quantity
    limit: Price | None
    stop: Price | None
    reduce_only: bool
    verdict: EventId
    bracket: str = ""


class CancelOrder(Struct, frozen=True, gc=False):
    """Ask the venue to cancel an order."""

    account: str
    order: int
    instrument: InstrumentId


class QueryOrder(Struct, frozen=True, gc=False):
    """Ask the venue what became of an order: its state and its fills."""

    account: str
    order: int
    instrument: InstrumentId


Effect = SubmitOrder | CancelOrder | QueryOrder


class Feed(Protocol):
    """A tape of moments: on a tape the next one; live, all that is queued. None is the end."""

    def next(self, interest: Interest) -> list[Moment] | None:
        """Return the next moments in order; `interest` says which quiet ones may be skipped."""


class Ledger(Protocol):
    """Where records go; `append` returns when they are as durable as the ledger promises."""

    def append(self, records: list[Record[Event]]) -> None:
        """Append one input's whole cascade, or several, in order."""


class Venue(Protocol):
    """Where effects go; what is known at once comes back, a live venue answers later through the feed."""

    def send(self, effects: list[Effect]) -> list[Moment]:
        """Carry out the effects in order."""
