"""What happens to alerts, in words."""

from collections.abc import Mapping

from domain.message import Event
from domain.signal import events as e
from replay.sentences.units import Sentence, Units, moment, number, span

BODY_MAX = 160
"""Characters of an alert's body that are shown."""


def _opened(event: e.SourceOpened, units: Units) -> str:
    lag = "any age" if event.lag_us_max is None else f"at most {span(event.lag_us_max)} old"
    to = f"bot {event.bot}, which trades {event.instrument}" if event.bot else "no bot"
    return f"alerts of {event.source}, {lag}, go to {to}"


def _mapped(event: e.SourceMapped, units: Units) -> str:
    keys = ", ".join(f"{key} from {path}" for key, path in event.mapping.items())
    return f"deliveries of {event.source} are read anew: {keys or 'their form is told by their keys'}"


def _received(event: e.AlertReceived, units: Units) -> str:
    body = event.body if len(event.body) <= BODY_MAX else f"{event.body[:BODY_MAX]}... ({len(event.body):,} characters)"
    return f"alert {event.number} of {event.source} came: {body}"


def _accepted(event: e.SignalAccepted, units: Units) -> str:
    wanted = f"{event.action} {event.instrument}"
    if event.target is not None:
        wanted = f"hold {number(event.target)} of {event.instrument}"
    price = "no price" if event.price is None else f"at {number(event.price)}"
    frame = f", timeframe {event.timeframe}" if event.timeframe else ""
    last = (
        ""
        if event.last_close is None
        else f"; the market's last price is {units.price(event.instrument, event.last_close)}"
    )
    return f"alert {event.number} of {event.source} is accepted for bot {event.bot}: {wanted}, {price}{frame}, of {moment(event.alert_at)}{last}"


def _duplicated(event: e.SignalDuplicated, units: Units) -> str:
    return f"a duplicate, nothing is done: alert {event.alert_id} has been received before"


def _stale(event: e.SignalStale, units: Units) -> str:
    return f"stale, nothing is done: {span(event.lag_us)} old when it came, at most {span(event.lag_us_max)} allowed"


def _malformed(event: e.SignalMalformed, units: Units) -> str:
    return f"malformed, nothing is done, {event.code}: {event.reason}"


def _refused(event: e.SignalRefused, units: Units) -> str:
    return f"refused, nothing is done, {event.code}: {event.reason}"


SENTENCES: Mapping[type[Event], Sentence] = {
    e.SourceOpened: _opened,
    e.SourceMapped: _mapped,
    e.AlertReceived: _received,
    e.SignalAccepted: _accepted,
    e.SignalDuplicated: _duplicated,
    e.SignalStale: _stale,
    e.SignalMalformed: _malformed,
    e.SignalRefused: _refused,
}
