"""Alerts: each delivery of a source with the last word on it."""

from typing import ClassVar, Literal

from msgspec import structs

from domain.bot.events import (
    AimTaken,
    AlertRefused,
    EntryDropped,
    EntryTaken,
    ExitTaken,
    PyramidTaken,
    ReverseDropped,
)
from domain.execution_pool.events import (
    QueuedSignalReplaced,
    SignalExpired,
    SignalPromoted,
    SignalQueued,
    SignalRemoved,
)
from domain.position_group.events import PyramidRefused
from domain.signal.events import (
    Action,
    AlertReceived,
    SignalAccepted,
    SignalDuplicated,
    SignalMalformed,
    SignalRefused,
    SignalStale,
)
from projections.rows import Context, Projection, Row, Rows, decimal_or_none, need

Verdict = Literal["received", "accepted", "duplicate", "malformed", "refused", "stale", "queued", "replaced"]


class AlertRow(Row, frozen=True):
    """A delivery of an alert; one that its source accepted and its bot refused is refused.

    One that waits for a slot is queued; then a newer one replaces it, or it is accepted, or refused as expired or
    removed. One that closed a group to turn, and does not enter after it, is refused or replaced too. `group` is the one it opened, added to, moved or told to close, `price` what it said or, for an entry, was judged at.
    `quantity` and `target` are what it says of sizes, in the base asset; `target` is signed.
    """

    table: ClassVar[str] = "alerts"
    key: ClassVar[tuple[str, ...]] = ("source", "number")

    source: str
    number: int
    at: int
    body: str
    verdict: Verdict = "received"
    alert_id: str | None = None
    alert_at: int | None = None
    instrument: str | None = None
    timeframe: str | None = None
    action: Action | None = None
    price: str | None = None
    bot: str | None = None
    group: int | None = None
    code: str | None = None
    reason: str | None = None
    quantity: str | None = None
    target: str | None = None


def _received(rows: Rows, context: Context, event: AlertReceived) -> None:
    rows.put(AlertRow(source=event.source, number=event.number, at=context.at, body=event.body))


def _accepted(rows: Rows, context: Context, event: SignalAccepted) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(
        structs.replace(
            alert,
            verdict="accepted",
            alert_id=event.alert_id,
            alert_at=event.alert_at,
            instrument=event.instrument,
            timeframe=event.timeframe,
            action=event.action,
            price=decimal_or_none(event.price),
            bot=event.bot,
            quantity=decimal_or_none(event.quantity),
            target=decimal_or_none(event.target),
        )
    )


def _duplicated(rows: Rows, context: Context, event: SignalDuplicated) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, verdict="duplicate", alert_id=event.alert_id))


def _malformed(rows: Rows, context: Context, event: SignalMalformed) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, verdict="malformed", code=event.code, reason=event.reason))


def _stale(rows: Rows, context: Context, event: SignalStale) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    reason = f"lag_us={event.lag_us}, allowed={event.lag_us_max}"
    rows.put(structs.replace(alert, verdict="stale", alert_id=event.alert_id, code="STALE", reason=reason))


def _refused(rows: Rows, context: Context, event: SignalRefused) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, verdict="refused", alert_id=event.alert_id, code=event.code, reason=event.reason))


def _refused_by_bot(rows: Rows, context: Context, event: AlertRefused | EntryDropped) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, verdict="refused", bot=event.bot, code=event.code, reason=event.reason))


def _entered(rows: Rows, context: Context, event: EntryTaken | PyramidTaken) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, bot=event.bot, group=event.group, price=decimal_or_none(event.entry)))


def _too_late(rows: Rows, context: Context, event: PyramidRefused) -> None:
    """The group that it was taken for would not have it."""
    _judge(rows, event.source, event.number, "refused", event.code, event.reason)
    alert = rows.get(AlertRow, event.source, event.number)
    if alert is not None:
        rows.put(structs.replace(alert, group=None))


def _exited(rows: Rows, context: Context, event: ExitTaken) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, bot=event.bot, group=event.group))


def _not_turned(rows: Rows, context: Context, event: ReverseDropped) -> None:
    """Its `group` stays: that is closed on its word."""
    verdict: Verdict = "replaced" if event.code == "REPLACED" else "refused"
    _judge(rows, event.source, event.number, verdict, event.code, event.reason)


def _aimed(rows: Rows, context: Context, event: AimTaken) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, bot=event.bot, group=event.group or None, price=decimal_or_none(event.entry)))


def _queued(rows: Rows, context: Context, event: SignalQueued) -> None:
    _judge(rows, event.source, event.number, "queued")


def _replaced(rows: Rows, context: Context, event: QueuedSignalReplaced) -> None:
    """The newer one waits in the older one's place."""
    newer = f"{event.source}/{event.number}"
    _judge(rows, event.replaced_source, event.replaced_number, "replaced", "REPLACED", f"by {newer}")
    _judge(rows, event.source, event.number, "queued")


def _promoted(rows: Rows, context: Context, event: SignalPromoted) -> None:
    _judge(rows, event.source, event.number, "accepted")


def _expired(rows: Rows, context: Context, event: SignalExpired) -> None:
    _judge(rows, event.source, event.number, "refused", "QUEUE_EXPIRED", "no slot came free in time")


def _removed(rows: Rows, context: Context, event: SignalRemoved) -> None:
    _judge(rows, event.source, event.number, "refused", "QUEUE_REMOVED", event.reason)


def _judge(
    rows: Rows, source: str, number: int, verdict: Verdict, code: str | None = None, reason: str | None = None
) -> None:
    """What became of it in the queue. A strategy's own signal waits there too, and is no delivery."""
    alert = rows.get(AlertRow, source, number)
    if alert is not None:
        rows.put(structs.replace(alert, verdict=verdict, code=code, reason=reason))


ALERTS = Projection(
    name="alerts",
    schema_version=2,
    tables=(AlertRow,),
    folds={
        AlertReceived: _received,
        SignalAccepted: _accepted,
        SignalDuplicated: _duplicated,
        SignalMalformed: _malformed,
        SignalRefused: _refused,
        SignalStale: _stale,
        AlertRefused: _refused_by_bot,
        EntryDropped: _refused_by_bot,
        SignalQueued: _queued,
        QueuedSignalReplaced: _replaced,
        SignalPromoted: _promoted,
        SignalExpired: _expired,
        SignalRemoved: _removed,
        EntryTaken: _entered,
        PyramidTaken: _entered,
        PyramidRefused: _too_late,
        AimTaken: _aimed,
        ExitTaken: _exited,
        ReverseDropped: _not_turned,
    },
)
