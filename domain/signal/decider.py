"""A source of alerts decides: each delivery is recorded as it came, with its verdict, and counts once."""

from operator import attrgetter

from msgspec import Struct, field

from domain.decider import Decider, Now
from domain.message import Event
from domain.signal import events as e
from domain.signal.alert import Alert, parse_alert, plain_symbol
from domain.signal.body import MalformedAlertError
from domain.signal.commands import DeliverAlert, MapSource, OpenSource
from domain.signal.paths import check_mapping
from domain.values import InstrumentId, Time, time_text


class SourceState(Struct):
    """What the source has seen: identities of every well-formed alert, how many deliveries, the time of its last target."""

    source: str = ""
    bot: str = ""
    instrument: InstrumentId = InstrumentId("")
    lag_us_max: int | None = None
    mapping: dict[str, str] = field(default_factory=dict)
    follow: e.Follow = "action"
    deliveries: int = 0
    target_at: Time = Time(0)
    seen: set[str] = field(default_factory=set)


def open_source(state: SourceState, command: OpenSource) -> tuple[Event, ...]:
    """A source opens once; raises InputError where its mapping could read nothing."""
    if state.source:
        return ()
    mapping = check_mapping(command.mapping)
    return (
        e.SourceOpened(
            command.source, command.bot, command.instrument, command.lag_us_max, mapping, command.follow
        ),
    )  # fmt: skip


def map_source(state: SourceState, command: MapSource) -> tuple[Event, ...]:
    """What has been delivered was read by the mapping of then; raises InputError where the new one could read nothing."""
    mapping = check_mapping(command.mapping)
    return () if mapping == state.mapping else (e.SourceMapped(command.source, mapping),)


def receive(state: SourceState, command: DeliverAlert, now: Now) -> tuple[Event, ...]:
    """The delivery and its verdict are one decision."""
    number = state.deliveries + 1
    received = e.AlertReceived(command.source, number, command.body)
    try:
        # Where age is limited, an alert that does not tell its time cannot show that it is young enough.
        arrived = now.at if state.lag_us_max is None else None
        alert = parse_alert(command.body, state.mapping, state.follow, arrived)
    except MalformedAlertError as error:
        return received, e.SignalMalformed(command.source, number, error.code, str(error))
    if alert.identity in state.seen:
        return received, e.SignalDuplicated(command.source, number, alert.identity)
    refusal = _refusal(state, alert)
    if refusal is not None:
        return received, e.SignalRefused(command.source, number, alert.identity, *refusal)
    lag, allowed = now.at - alert.at, _lag_allowed(state.lag_us_max, alert.lag_us_max)
    if allowed is not None and lag > allowed:
        return received, e.SignalStale(command.source, number, alert.identity, lag, allowed)
    return received, e.SignalAccepted(
        command.source, number, state.bot, alert.identity, alert.at, state.instrument, alert.timeframe, alert.action,
        alert.price, now.marks.get(state.instrument), alert.quantity, alert.target,
    )  # fmt: skip


def _refusal(state: SourceState, alert: Alert) -> tuple[str, str] | None:
    """Why a well-formed alert is not acted on: code and reason."""
    if plain_symbol(alert.symbol) != plain_symbol(state.instrument):
        return "SYMBOL_OTHER", f"symbol={alert.symbol}, instrument={state.instrument}"
    if alert.reduces:
        # Taken for what it says, it would close or turn a position that the sender's strategy keeps.
        return "POSITION_REDUCED", f"action={alert.action}, and the strategy stays on its side; follow its position"
    if alert.target is not None and alert.at < state.target_at:
        return "TARGET_OVERTAKEN", f"time={time_text(alert.at)}, latest={time_text(state.target_at)}"
    return None


def _lag_allowed(source: int | None, alert: int | None) -> int | None:
    """The tighter of two limits."""
    if source is None or alert is None:
        return alert if source is None else source
    return min(source, alert)


def opened(state: SourceState, event: e.SourceOpened) -> SourceState:
    state.source, state.bot, state.instrument = event.source, event.bot, event.instrument
    state.lag_us_max, state.mapping, state.follow = event.lag_us_max, event.mapping, event.follow
    return state


def source_mapped(state: SourceState, event: e.SourceMapped) -> SourceState:
    state.mapping = event.mapping
    return state


def received(state: SourceState, event: e.AlertReceived) -> SourceState:
    state.deliveries = event.number
    return state


def accepted(state: SourceState, event: e.SignalAccepted) -> SourceState:
    state.seen.add(event.alert_id)
    if event.target is not None:
        state.target_at = event.alert_at
    return state


def recognised(state: SourceState, event: e.SignalRefused | e.SignalStale) -> SourceState:
    state.seen.add(event.alert_id)
    return state


def unchanged(state: SourceState, _event: Event) -> SourceState:
    return state


DECIDER = Decider(
    kind="signal",
    key=attrgetter("source"),
    initial=SourceState,
    rules={OpenSource: open_source, MapSource: map_source},
    timed={DeliverAlert: receive},
    folds={
        e.SourceOpened: opened,
        e.SourceMapped: source_mapped,
        e.AlertReceived: received,
        e.SignalAccepted: accepted,
        e.SignalRefused: recognised,
        e.SignalStale: recognised,
        e.SignalDuplicated: unchanged,
        e.SignalMalformed: unchanged,
    },
    opens=frozenset({OpenSource}),
    closed=lambda _state: False,
    settles=frozenset(),
)
