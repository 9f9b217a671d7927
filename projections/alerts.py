"""Alerts: each delivery of a source with the last word on it."""

from typing import ClassVar, Literal

from msgspec import structs

from domain.bot.events import AlertRefused, EntryTaken, ExitTaken
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

Verdict = Literal["received", "accepted", "duplicate", "malformed", "refused", "stale"]


class AlertRow(Row, frozen=True):
    """A delivery of an alert; one that its source accepted and its bot refused is refused.

    `group` is the one it opened or told to close, `price` what it said or, for an entry, was judged at.
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


def _refused_by_bot(rows: Rows, context: Context, event: AlertRefused) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, verdict="refused", bot=event.bot, code=event.code, reason=event.reason))


def _entered(rows: Rows, context: Context, event: EntryTaken) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, bot=event.bot, group=event.group, price=decimal_or_none(event.entry)))


def _exited(rows: Rows, context: Context, event: ExitTaken) -> None:
    alert = need(rows, AlertRow, event.source, event.number)
    rows.put(structs.replace(alert, bot=event.bot, group=event.group))


ALERTS = Projection(
    name="alerts",
    schema_version=1,
    tables=(AlertRow,),
    folds={
        AlertReceived: _received,
        SignalAccepted: _accepted,
        SignalDuplicated: _duplicated,
        SignalMalformed: _malformed,
        SignalRefused: _refused,
        SignalStale: _stale,
        AlertRefused: _refused_by_bot,
        EntryTaken: _entered,
        ExitTaken: _exited,
    },
)
