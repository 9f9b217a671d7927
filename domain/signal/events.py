"""What happens to the alerts of one source."""

from decimal import Decimal
from typing import Literal

from msgspec import field

from domain.message import Event
from domain.values import InstrumentId, Price, Time

Action = Literal["buy", "sell", "exit", "target"]
"""What an alert asks for; `target` is a size to hold, whatever is held now."""
Follow = Literal["action", "position"]
"""What of its alerts a source goes by: their actions, or the position that they say the sender's strategy has."""


class SourceOpened(Event, frozen=True, array_like=True, tag="signal.source_opened.v1"):
    """Alerts of this source go to a bot, which trades one instrument.

    `lag_us_max` is how old an alert may be when it arrives, in microseconds; None lets any age pass. `mapping` says by
    JSON path where in a body each key of our form stands; without one the form is told by its keys.
    """

    source: str
    bot: str
    instrument: InstrumentId
    lag_us_max: int | None = None
    mapping: dict[str, str] = field(default_factory=dict)
    follow: Follow = "action"


class SourceMapped(Event, frozen=True, array_like=True, tag="signal.source_mapped.v1"):
    """Deliveries from here on are read by this mapping; where it is empty, their form is told by their keys."""

    source: str
    mapping: dict[str, str]


class AlertReceived(Event, frozen=True, array_like=True, tag="signal.alert_received.v1"):
    """A delivery as it came, its secret redacted. `number` counts the source's deliveries from 1."""

    source: str
    number: int
    body: str


class SignalAccepted(Event, frozen=True, array_like=True, tag="signal.accepted.v1"):
    """The alert is well formed, new, and for the instrument the bot trades.

    `price` is exact, as the alert gave it; `last_close` is the market's; None where not known. `quantity` is what the
    sender trades itself; `target`, with the action `target` only, is the signed size to hold, in the base asset.
    """

    source: str
    number: int
    bot: str
    alert_id: str
    alert_at: Time
    instrument: InstrumentId
    timeframe: str
    action: Action
    price: Decimal | None
    last_close: Price | None
    quantity: Decimal | None = None
    target: Decimal | None = None


class SignalDuplicated(Event, frozen=True, array_like=True, tag="signal.duplicated.v1"):
    """An alert with this identity has been received before."""

    source: str
    number: int
    alert_id: str


class SignalStale(Event, frozen=True, array_like=True, tag="signal.stale.v1"):
    """The alert is older than its source or itself allows: `lag_us` is its age on arrival, in microseconds."""

    source: str
    number: int
    alert_id: str
    lag_us: int
    lag_us_max: int


class SignalMalformed(Event, frozen=True, array_like=True, tag="signal.malformed.v1"):
    """The body is not an alert; `code` and `reason` say where."""

    source: str
    number: int
    code: str
    reason: str


class SignalRefused(Event, frozen=True, array_like=True, tag="signal.refused.v1"):
    """The alert is well formed but not for this source, or not to be acted on as it is."""

    source: str
    number: int
    alert_id: str
    code: str
    reason: str
