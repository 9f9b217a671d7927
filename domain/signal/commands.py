"""What a source of alerts is asked to do."""

from msgspec import field

from domain.message import Command, Fact
from domain.signal.events import Follow
from domain.values import InstrumentId


class OpenSource(Command, frozen=True, array_like=True):
    """Send the alerts of a source to a bot."""

    source: str
    bot: str
    instrument: InstrumentId
    lag_us_max: int | None = None
    mapping: dict[str, str] = field(default_factory=dict)
    follow: Follow = "action"


class MapSource(Command, frozen=True, array_like=True):
    """Read the bodies of a source by another mapping; by none, where it is empty."""

    source: str
    mapping: dict[str, str]


class DeliverAlert(Fact, frozen=True, array_like=True):
    """A delivery as it came, its secret redacted."""

    source: str
    body: str
