from decimal import Decimal

import pytest
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
from domain.bot.settings import GroupSettings
from domain.errors import MissingError
from domain.execution_pool.events import (
    QueuedSignalReplaced,
    SignalExpired,
    SignalPromoted,
    SignalQueued,
    SignalRemoved,
)
from domain.message import Event
from domain.signal.events import (
    AlertReceived,
    SignalAccepted,
    SignalDuplicated,
    SignalMalformed,
    SignalRefused,
    SignalStale,
    SourceOpened,
)
from domain.values import Quantity, Time
from projections.alerts import ALERTS, AlertRow
from projections.rows import MemoryRows, fold_records
from tests.projections.story import BTC, START, Story

RECEIVED = AlertReceived(source="tv", number=1, body="{}")
ACCEPTED = SignalAccepted(
    source="tv",
    number=1,
    bot="dca",
    alert_id="a1",
    alert_at=Time(5),
    instrument=BTC.id,
    timeframe="1m",
    action="buy",
    price=Decimal("46250.00"),
    last_close=None,
)
ENTERED = EntryTaken(
    bot="dca",
    group=3,
    account="main",
    source="tv",
    number=1,
    direction="long",
    entry=Decimal("4.625E+4"),
    instrument=BTC,
    settings=GroupSettings(Decimal(1000), ()),
)
EXITED = ExitTaken(bot="dca", group=2, instrument=BTC.id, source="tv", number=1, last_close=None)
ROW = AlertRow(source="tv", number=1, at=START, body="{}")
ACCEPTED_ROW = structs.replace(
    ROW,
    verdict="accepted",
    alert_id="a1",
    alert_at=5,
    instrument="BTC/USDT",
    timeframe="1m",
    action="buy",
    price="46250.00",
    bot="dca",
)
QUEUED = SignalQueued(
    account="main",
    bot="dca",
    source="tv",
    number=1,
    instrument=BTC.id,
    timeframe="1m",
    direction="long",
    price=Decimal("46250.00"),
    price_scale=2,
    group=0,
    place=1,
    expiry_minutes=None,
    settings_version=1,
)
REPLACED = QueuedSignalReplaced(
    account="main",
    bot="dca",
    source="tv",
    number=2,
    instrument=BTC.id,
    timeframe="1m",
    direction="long",
    price=Decimal(46000),
    price_scale=2,
    group=0,
    place=1,
    preferred=0,
    replacements=1,
    replaced_bot="dca",
    replaced_source="tv",
    replaced_number=1,
    expiry_minutes=None,
    settings_version=1,
)
PROMOTED = SignalPromoted("main", "dca", "tv", 1, BTC.id, "1m", 1, (), 1)
EXPIRED = SignalExpired("main", "dca", "tv", 1, BTC.id, "1m", 1)
REMOVED = SignalRemoved("main", "dca", "tv", 1, BTC.id, "1m", "by hand", 1)


def alert_after(*events: Event) -> AlertRow | None:
    return rows_after(*events).get(AlertRow, "tv", 1)


def rows_after(*events: Event) -> MemoryRows:
    story = Story()
    story.tell(2, SourceOpened("tv", "dca", BTC.id))
    for event in events:
        story.tell(2, event)
    rows = MemoryRows()
    fold_records([ALERTS], rows, story.records)
    return rows


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), ROW),
        ((ACCEPTED,), ACCEPTED_ROW),
        ((ACCEPTED, ENTERED), structs.replace(ACCEPTED_ROW, group=3, price="46250")),
        (
            (ACCEPTED, EXITED),
            structs.replace(ACCEPTED_ROW, group=2),
        ),
        (
            (ACCEPTED, EXITED, ReverseDropped("dca", "tv", 1, "BOT_PAUSED", "status=paused")),
            structs.replace(ACCEPTED_ROW, group=2, verdict="refused", code="BOT_PAUSED", reason="status=paused"),
        ),
        (
            (ACCEPTED, EXITED, ReverseDropped("dca", "tv", 1, "REPLACED", "by tv/2")),
            structs.replace(ACCEPTED_ROW, group=2, verdict="replaced", code="REPLACED", reason="by tv/2"),
        ),
        (
            (ACCEPTED, AlertRefused(bot="dca", source="tv", number=1, code="GROUP_LIVE", reason="group=1")),
            structs.replace(ACCEPTED_ROW, verdict="refused", code="GROUP_LIVE", reason="group=1"),
        ),
        (
            (SignalDuplicated(source="tv", number=1, alert_id="a0"),),
            structs.replace(ROW, verdict="duplicate", alert_id="a0"),
        ),
        (
            (SignalMalformed(source="tv", number=1, code="NOT_JSON", reason="at 0"),),
            structs.replace(ROW, verdict="malformed", code="NOT_JSON", reason="at 0"),
        ),
        (
            (SignalRefused(source="tv", number=1, alert_id="a1", code="SYMBOL_OTHER", reason="x"),),
            structs.replace(ROW, verdict="refused", alert_id="a1", code="SYMBOL_OTHER", reason="x"),
        ),
        (
            (SignalStale(source="tv", number=1, alert_id="a1", lag_us=5, lag_us_max=4),),
            structs.replace(ROW, verdict="stale", alert_id="a1", code="STALE", reason="lag_us=5, allowed=4"),
        ),
        (
            (structs.replace(ACCEPTED, action="target", quantity=Decimal("1E+1"), target=Decimal("-0.5")),),
            structs.replace(ACCEPTED_ROW, action="target", quantity="10", target="-0.5"),
        ),
        (
            (ACCEPTED, PyramidTaken("dca", 3, "main", "tv", 1, Decimal(99), GroupSettings(Decimal(1000), ()))),
            structs.replace(ACCEPTED_ROW, group=3, price="99"),
        ),
        (
            (ACCEPTED, AimTaken("dca", 3, "main", "tv", 1, Quantity(-5), Decimal(99))),
            structs.replace(ACCEPTED_ROW, group=3, price="99"),
        ),
        (
            (ACCEPTED, AimTaken("dca", 0, "main", "tv", 1, Quantity(-5), Decimal(99))),
            structs.replace(ACCEPTED_ROW, price="99"),
        ),
        ((ACCEPTED, QUEUED), structs.replace(ACCEPTED_ROW, verdict="queued")),
        ((ACCEPTED, QUEUED, PROMOTED), ACCEPTED_ROW),
        ((ACCEPTED, QUEUED, PROMOTED, ENTERED), structs.replace(ACCEPTED_ROW, group=3, price="46250")),
        (
            (ACCEPTED, QUEUED, PROMOTED, EntryDropped("dca", "tv", 1, "BOT_PAUSED", "status=paused")),
            structs.replace(ACCEPTED_ROW, verdict="refused", code="BOT_PAUSED", reason="status=paused"),
        ),
        (
            (ACCEPTED, QUEUED, EXPIRED),
            structs.replace(ACCEPTED_ROW, verdict="refused", code="QUEUE_EXPIRED", reason="no slot came free in time"),
        ),
        (
            (ACCEPTED, QUEUED, REMOVED),
            structs.replace(ACCEPTED_ROW, verdict="refused", code="QUEUE_REMOVED", reason="by hand"),
        ),
        (
            (ACCEPTED, QUEUED, structs.replace(RECEIVED, number=2), structs.replace(ACCEPTED, number=2), REPLACED),
            structs.replace(ACCEPTED_ROW, verdict="replaced", code="REPLACED", reason="by tv/2"),
        ),
    ],
)
def test_last_word_on_an_alert(events: tuple[Event, ...], expected: AlertRow) -> None:
    assert alert_after(RECEIVED, *events) == expected


def test_verdict_without_a_delivery_cannot_be_folded() -> None:
    with pytest.raises(MissingError, match="alerts has no row for source tv, number 1"):
        alert_after(ACCEPTED)


def test_the_newer_signal_waits_in_the_older_ones_place() -> None:
    newer = structs.replace(RECEIVED, number=2), structs.replace(ACCEPTED, number=2)
    alert = rows_after(RECEIVED, ACCEPTED, QUEUED, *newer, REPLACED).get(AlertRow, "tv", 2)
    assert alert == structs.replace(ACCEPTED_ROW, number=2, verdict="queued")


def test_a_signal_that_is_no_delivery_waits_without_a_row() -> None:
    assert alert_after(QUEUED, REPLACED, PROMOTED) is None
