from typing import Any

import pytest

from domain.account.events import OrderFilled, OrderIntended, Role
from domain.errors import MissingError
from domain.message import Event
from domain.position_group.events import (
    CloseFailed,
    DustWrittenOff,
    ExitStarted,
    GroupClosed,
    LegEnded,
    LegFilled,
    TargetEnded,
    TargetFilled,
    TargetSet,
)
from domain.values import Cash, Price, Quantity, Side
from projections.position_groups import POSITION_GROUPS, GroupRow, LegRow
from projections.rows import MemoryRows, fold_records
from tests.projections.story import BTC, HOUR, START, Story, fill_of, group_opened, intended, leg

OPENED = group_opened(1, BTC, leg(0, 100, 10), leg(1, 90, 20))
SHORT = group_opened(1, BTC, leg(0, 100, 10), short=True)
CLOSED = GroupClosed(bot="dca", group=1, reason="exit")


def order(role: Role, side: Side, quantity: int, leg: int = 0) -> OrderIntended:
    return intended(1, 1, role, side, quantity, leg=leg)


def fill(role: Role, side: Side, quantity: int, price: int = 100, leg: int = 0, fee: int = 0) -> OrderFilled:
    return fill_of(order(role, side, quantity, leg), price=price, quantity=quantity, fee=fee)


def of_leg(kind: type[Event], leg: int = 0, **more: Any) -> Event:
    return kind(bot="dca", group=1, leg=leg, instrument=BTC.id, **more)


def leg_filled(remaining: int, leg: int = 0) -> Event:
    amounts = {"price": Price(100), "quantity": Quantity(1), "received": Quantity(1), "cash": Cash(1)}
    return of_leg(LegFilled, leg, **amounts, remaining=Quantity(remaining))


def target_set(price: int, quantity: int) -> Event:
    return of_leg(TargetSet, account="main", side="sell", price=Price(price), quantity=Quantity(quantity))


def exit_started() -> Event:
    return ExitStarted(bot="dca", group=1, account="main", instrument=BTC.id, reference=Price(100))


def dust(quantity: int) -> Event:
    return DustWrittenOff(
        bot="dca", group=1, account="main", instrument=BTC.id, quantity=Quantity(quantity), reason="below step"
    )


def after(*events: Event) -> tuple[GroupRow, list[LegRow]]:
    story = Story()
    for event in events:
        story.tell(11, event)
        story.at += HOUR
    rows = MemoryRows()
    fold_records([POSITION_GROUPS], rows, story.records)
    [group] = rows.all(GroupRow)
    return group, rows.all(LegRow)


def test_opened_group_has_its_plan() -> None:
    group, [first, second] = after(OPENED)
    assert (group.status, group.direction, group.legs, group.entry) == ("open", "long", 2, "100")
    assert (group.opened_at, group.closed_at, group.reason) == (START, None, None)
    assert (first.price, first.quantity, first.status) == (100, 10, "planned")
    assert (second.price, second.quantity, second.take_profit_pct) == (90, 20, "1.0")


def test_leg_goes_from_plan_to_work_to_its_end() -> None:
    entry = order("entry", "buy", 20, leg=1)
    assert after(OPENED, entry)[1][1].status == "working"
    assert after(OPENED, entry, leg_filled(1, leg=1))[1][1].status == "working"
    assert after(OPENED, entry, leg_filled(0, leg=1))[1][1].status == "filled"
    ended = of_leg(LegEnded, leg=1, remaining=Quantity(20), reason="exit")
    _, [untouched, last] = after(OPENED, entry, ended)
    assert (last.status, last.reason) == ("ended", "exit")
    assert untouched.status == "planned"


def test_only_entries_make_a_leg_work() -> None:
    _, [first, _] = after(OPENED, order("target", "sell", 10))
    assert first.status == "planned"


def test_fills_make_holdings_profit_and_fees() -> None:
    bought = fill("entry", "buy", 10, fee=3)
    sold = fill("target", "sell", 4, price=110, fee=2)
    group, [first, _] = after(OPENED, bought, sold)
    assert (group.held, group.cost, group.realized, group.fees) == (6, 6000, 400, 5)
    assert (first.filled, first.cost, first.held) == (10, 10_000, 6)


def test_short_counts_in_its_direction() -> None:
    group, [first] = after(SHORT, fill("entry", "sell", 10), fill("target", "buy", 4, price=90))
    assert (group.held, group.cost, group.realized) == (6, 6000, 400)
    assert first.held == 6
    group, [first] = after(SHORT, fill("entry", "sell", 10), fill("close", "buy", 10, price=90))
    assert (group.held, group.realized, first.held) == (0, 1000, 0)


def test_close_takes_from_the_legs_in_order() -> None:
    bought = fill("entry", "buy", 10), fill("entry", "buy", 20, price=90, leg=1)
    group, legs = after(OPENED, *bought, fill("close", "sell", 12))
    assert (group.held, [row.held for row in legs]) == (18, [0, 18])
    group, legs = after(OPENED, *bought, fill("close", "sell", 30))
    assert (group.held, [row.held for row in legs]) == (0, [0, 0])


def test_targets_work_fill_and_end() -> None:
    placed = target_set(101, 4), target_set(102, 6)
    _, [first, _] = after(OPENED, *placed)
    assert (first.target_price, first.target_working, first.target_filled) == (102, 10, 0)
    sold = of_leg(
        TargetFilled, price=Price(102), quantity=Quantity(5), cash=Cash(1), remaining=Quantity(1), held=Quantity(5)
    )
    _, [first, _] = after(OPENED, *placed, sold)
    assert (first.target_working, first.target_filled) == (5, 5)
    ended = of_leg(TargetEnded, remaining=Quantity(1), reason="exit")
    _, [first, _] = after(OPENED, *placed, sold, ended)
    assert (first.target_working, first.target_filled, first.reason) == (4, 5, "exit")


def test_exit_fails_and_comes_again() -> None:
    failed = CloseFailed(bot="dca", group=1, instrument=BTC.id, remaining=Quantity(3), reason="rejected")
    assert after(OPENED, exit_started())[0].status == "exiting"
    group, _ = after(OPENED, exit_started(), failed)
    assert (group.status, group.reason) == ("open", "rejected")
    group, _ = after(OPENED, exit_started(), CLOSED)
    assert (group.status, group.reason, group.closed_at) == ("closed", "exit", START + 2 * HOUR)


def test_dust_leaves_without_profit() -> None:
    group, [first, _] = after(OPENED, fill("entry", "buy", 10), dust(4))
    assert (group.held, group.cost, group.realized, first.held) == (6, 6000, 0, 6)


def test_fill_of_no_group_is_no_group_s() -> None:
    group, _ = after(OPENED, fill_of(intended(9)))
    assert (group.held, group.fees) == (0, 0)


def test_fill_of_an_unknown_group_cannot_be_folded() -> None:
    with pytest.raises(MissingError, match="position_groups has no row for bot dca, group 1"):
        after(fill("entry", "buy", 10))
