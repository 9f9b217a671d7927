"""A source of alerts decides: each delivery is recorded as it came, with its verdict, and counts once."""

from operator import attrgetter

from msgspec import Struct, field

from domain.decider import Decider
from domain.message import Event
from domain.signal import events as e
from domain.signal.alert import MalformedAlertError, parse_alert, plain_symbol
from domain.signal.commands import OpenSource, ReceiveAlert
from domain.values import InstrumentId


class SourceState(Struct):
    """What the source has seen: identities of every well-formed alert, and how many deliveries."""

    source: str = ""
    bot: str = ""
    instrument: InstrumentId = InstrumentId("")
    lag_us_max: int | None = None
    deliveries: int = 0
    seen: set[str] = field(default_factory=set)


def open_source(state: SourceState, command: OpenSource) -> tuple[Event, ...]:
    """A source opens once."""
    return (
        () if state.source else (e.SourceOpened(command.source, command.bot, command.instrument, command.lag_us_max),)
    )


def receive(state: SourceState, command: ReceiveAlert) -> tuple[Event, ...]:
    """The delivery and its verdict are one decision."""
    number = state.deliveries + 1
    received = e.AlertReceived(command.source, number, command.body)
    try:
        alert = parse_alert(command.body)
    except MalformedAlertError as error:
        return received, e.SignalMalformed(command.source, number, error.code, str(error))
    if alert.identity in state.seen:
        return received, e.SignalDuplicated(command.source, number, alert.identity)
    if plain_symbol(alert.symbol) != plain_symbol(state.instrument):
        reason = f"symbol={alert.symbol}, instrument={state.instrument}"
        return received, e.SignalRefused(command.source, number, alert.identity, "SYMBOL_OTHER", reason)
    if state.lag_us_max is not None and command.at - alert.at > state.lag_us_max:
        lag = command.at - alert.at
        return received, e.SignalStale(command.source, number, alert.identity, lag, state.lag_us_max)
    return received, e.SignalAccepted(
        command.source, number, state.bot, alert.identity, alert.at, state.instrument, alert.timeframe, alert.action,
        alert.price, command.marks.get(state.instrument),
    )  # fmt: skip


def opened(state: SourceState, event: e.SourceOpened) -> SourceState:
    state.source, state.bot, state.instrument = event.source, event.bot, event.instrument
    state.lag_us_max = event.lag_us_max
    return state


def received(state: SourceState, event: e.AlertReceived) -> SourceState:
    state.deliveries = event.number
    return state


def recognised(state: SourceState, event: e.SignalAccepted | e.SignalRefused | e.SignalStale) -> SourceState:
    state.seen.add(event.alert_id)
    return state


def unchanged(state: SourceState, _event: Event) -> SourceState:
    return state


DECIDER = Decider(
    kind="signal",
    key=attrgetter("source"),
    initial=SourceState,
    rules={OpenSource: open_source, ReceiveAlert: receive},
    folds={
        e.SourceOpened: opened,
        e.AlertReceived: received,
        e.SignalAccepted: recognised,
        e.SignalRefused: recognised,
        e.SignalStale: recognised,
        e.SignalDuplicated: unchanged,
        e.SignalMalformed: unchanged,
    },
    opens=frozenset({OpenSource}),
    closed=lambda _state: False,
)
