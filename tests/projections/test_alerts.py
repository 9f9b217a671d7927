from decimal import Decimal

import pytest
from msgspec import structs

from domain.bot.events import AlertRefused, EntryTaken, ExitTaken
from domain.bot.settings import GroupSettings
from domain.errors import MissingError
from domain.message import Event
from domain.signal.events import (
    AlertReceived,
    SignalAccepted,
    SignalDuplicated,
    SignalMalformed,
    SignalRefused,
    SourceOpened,
)
from domain.values import Time
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


def alert_after(*events: Event) -> AlertRow | None:
    story = Story()
    story.tell(2, SourceOpened("tv", "dca", BTC.id))
    for event in events:
        story.tell(2, event)
    rows = MemoryRows()
    fold_records([ALERTS], rows, story.records)
    return rows.get(AlertRow, "tv", 1)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), ROW),
        ((ACCEPTED,), ACCEPTED_ROW),
        ((ACCEPTED, ENTERED), structs.replace(ACCEPTED_ROW, group=3, price="46250")),
        (
            (ACCEPTED, ExitTaken(bot="dca", group=2, instrument=BTC.id, source="tv", number=1, last_close=None)),
            structs.replace(ACCEPTED_ROW, group=2),
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
    ],
)
def test_last_word_on_an_alert(events: tuple[Event, ...], expected: AlertRow) -> None:
    assert alert_after(RECEIVED, *events) == expected


def test_verdict_without_a_delivery_cannot_be_folded() -> None:
    with pytest.raises(MissingError, match="alerts has no row for source tv, number 1"):
        alert_after(ACCEPTED)
