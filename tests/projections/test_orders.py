from typing import Any

import pytest

from domain.account.events import (
    CancelRejected,
    CancelRequested,
    FillsMissing,
    FillUnmatched,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderUnknown,
    Overfilled,
    RiskPassed,
)
from domain.errors import MissingError
from domain.message import Event
from domain.values import Cash, Price, Quantity
from projections.orders import ORDERS, OrderRow
from projections.rows import MemoryRows, fold_records
from tests.projections.story import ACCOUNT, BTC, HOUR, START, Story, fill_of, intended

ORDER = intended(1)
PASSED = RiskPassed(account="main", order=1, instrument=BTC.id, notional=Cash(7), reserved=Cash(8))
ACCEPTED = OrderAccepted(account="main", order=1, venue_order="v1")
UNKNOWN = OrderUnknown(account="main", order=1, instrument=BTC.id, reason="timeout")
CANCEL = CancelRequested(account="main", order=1, reason="exit")
TRIGGERED = OrderTriggered(account="main", order=1)
STAYS = CancelRejected(account="main", order=1, reason="too late")
UNMATCHED = FillUnmatched(account="main", order=1, instrument=BTC.id, trade="t", price=Price(1), quantity=Quantity(1))


def ended(kind: type[Event], **more: Any) -> Event:
    same = {"account": "main", "order": 1, "bot": "", "group": 0, "leg": 0, "role": "manual", "instrument": BTC.id}
    return kind(**same, **more)


DENIED = ended(OrderDenied, quantity=Quantity(10), code="NOTIONAL_BELOW_MINIMUM", reason="notional=4")
REJECTED = ended(OrderRejected, remaining=Quantity(10), code="-2010", reason="no balance")
CANCELED = ended(OrderCanceled, remaining=Quantity(6), reason="by us")


def part(quantity: int, remaining: int) -> OrderFilled:
    return fill_of(ORDER, quantity=quantity, remaining=remaining, fee=2)


def order_after(*events: Event) -> OrderRow:
    story = Story()
    story.tell(ACCOUNT, ORDER)
    story.at += HOUR
    for event in events:
        story.tell(ACCOUNT, event)
    rows = MemoryRows()
    fold_records([ORDERS], rows, story.records)
    [order] = rows.all(OrderRow)
    assert (order.intended_at, order.updated_at) == (START, START + HOUR if events else START)
    return order


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), "INITIALIZED"),
        ((DENIED,), "DENIED"),
        ((PASSED,), "SUBMITTED"),
        ((PASSED, ACCEPTED), "ACCEPTED"),
        ((PASSED, REJECTED), "REJECTED"),
        ((PASSED, UNKNOWN), "UNKNOWN"),
        ((PASSED, UNKNOWN, ACCEPTED), "ACCEPTED"),
        ((PASSED, UNKNOWN, CANCEL), "UNKNOWN"),
        ((PASSED, UNKNOWN, part(4, 6)), "PARTIALLY_FILLED"),
        ((PASSED, UNKNOWN, CANCEL, part(4, 6)), "PENDING_CANCEL"),
        ((PASSED, part(4, 6), ACCEPTED), "PARTIALLY_FILLED"),
        ((PASSED, part(10, 0), ACCEPTED), "FILLED"),
        ((PASSED, ACCEPTED, part(4, 6), part(6, 0)), "FILLED"),
        ((PASSED, ACCEPTED, CANCEL), "PENDING_CANCEL"),
        ((PASSED, CANCEL, ACCEPTED), "PENDING_CANCEL"),
        ((PASSED, ACCEPTED, CANCEL, part(4, 6)), "PENDING_CANCEL"),
        ((PASSED, ACCEPTED, CANCEL, STAYS), "ACCEPTED"),
        ((PASSED, ACCEPTED, CANCEL, part(4, 6), STAYS, part(1, 5)), "PARTIALLY_FILLED"),
        ((PASSED, ACCEPTED, part(4, 6), CANCEL, CANCELED), "CANCELED"),
        ((PASSED, ACCEPTED, part(4, 6), CANCELED, part(2, 0)), "CANCELED"),
        ((PASSED, ACCEPTED, part(4, 6), CANCELED, CANCEL), "CANCELED"),
        ((PASSED, ACCEPTED, part(10, 0), STAYS), "FILLED"),
        ((PASSED, ACCEPTED, TRIGGERED), "TRIGGERED"),
        ((PASSED, TRIGGERED), "SUBMITTED"),
        ((PASSED, TRIGGERED, ACCEPTED), "TRIGGERED"),
        ((PASSED, UNKNOWN, TRIGGERED), "UNKNOWN"),
        ((PASSED, ACCEPTED, TRIGGERED, part(4, 6)), "PARTIALLY_FILLED"),
        ((PASSED, ACCEPTED, TRIGGERED, CANCEL), "PENDING_CANCEL"),
        ((PASSED, ACCEPTED, CANCEL, TRIGGERED), "PENDING_CANCEL"),
        ((PASSED, ACCEPTED, TRIGGERED, CANCEL, STAYS), "TRIGGERED"),
        ((PASSED, ACCEPTED, TRIGGERED, CANCELED), "CANCELED"),
    ],
)
def test_status(events: tuple[Event, ...], status: str) -> None:
    assert order_after(*events).status == status


def test_verdict_and_venue_are_kept() -> None:
    order = order_after(PASSED, ACCEPTED)
    assert (order.notional, order.reserved, order.venue_order) == (7, 8, "v1")


def test_a_reached_stop_says_since_when() -> None:
    assert order_after(PASSED, ACCEPTED).triggered_at is None
    assert order_after(PASSED, ACCEPTED, TRIGGERED).triggered_at == START + HOUR
    assert order_after(PASSED, ACCEPTED, TRIGGERED, part(10, 0)).triggered_at == START + HOUR


def test_refusals_say_why() -> None:
    assert order_after(DENIED).code == "NOTIONAL_BELOW_MINIMUM"
    assert order_after(DENIED).reason == "notional=4"
    assert order_after(PASSED, REJECTED).code == "-2010"
    assert order_after(PASSED, REJECTED).reason == "no balance"


def test_fills_sum() -> None:
    order = order_after(PASSED, part(4, 6), part(6, 0))
    assert (order.filled, order.cash, order.fee, order.fee_asset, order.fee_value) == (10, 10_000, 4, "USDT", 4)


def test_excess_is_said_and_counted_as_filled() -> None:
    excess = Overfilled(account="main", order=1, instrument=BTC.id, excess=Quantity(3))
    order = order_after(PASSED, part(10, 0), part(3, 0), excess)
    assert (order.status, order.filled, order.excess) == ("FILLED", 13, 3)


def test_missing_fills_are_awaited() -> None:
    missing = FillsMissing(
        account="main", order=1, instrument=BTC.id, filled=Quantity(7), reported=Quantity(4), reason="gap"
    )
    order = order_after(PASSED, ACCEPTED, part(4, 6), missing)
    assert (order.status, order.missing) == ("PARTIALLY_FILLED", 3)
    assert order_after(PASSED, ACCEPTED, part(4, 6), missing, part(2, 4)).missing == 1
    assert order_after(PASSED, ACCEPTED, part(4, 6), missing, CANCELED).missing == 0


def test_unmatched_fills_are_counted_and_not_applied() -> None:
    order = order_after(PASSED, part(10, 0), UNMATCHED, UNMATCHED)
    assert (order.filled, order.unmatched) == (10, 2)


def test_unmatched_fill_of_an_order_never_intended_has_no_row() -> None:
    story = Story()
    story.tell(ACCOUNT, UNMATCHED)
    rows = MemoryRows()
    fold_records([ORDERS], rows, story.records)
    assert rows.all(OrderRow) == []


def test_report_of_an_order_never_intended_cannot_be_folded() -> None:
    story = Story()
    story.tell(ACCOUNT, ACCEPTED)
    with pytest.raises(MissingError, match="orders has no row for account main, order 1"):
        fold_records([ORDERS], MemoryRows(), story.records)
