"""What a source of alerts is asked to do."""

from domain.message import Command, Fact
from domain.values import InstrumentId, Price


class OpenSource(Command, frozen=True, array_like=True):
    """Send the alerts of a source to a bot."""

    source: str
    bot: str
    instrument: InstrumentId


class DeliverAlert(Fact, frozen=True, array_like=True):
    """A delivery as it came, its secret redacted."""

    source: str
    body: str


class ReceiveAlert(Command, frozen=True, array_like=True):
    """A delivery together with the last prices seen, which the engine adds."""

    source: str
    body: str
    marks: dict[InstrumentId, Price]
