"""The life of an order: each report counts once, in whatever order it comes."""

from itertools import permutations

import pytest

from domain.account.commands import (
    AcceptReported,
    CancelOrders,
    CancelRejectReported,
    CancelReported,
    RejectReported,
    UnknownReported,
)
from domain.account.events import FillsMissing, OrderCanceled, OrderFilled, OrderIntended, Overfilled
from domain.account.state import ENDED_KEPT
from domain.message import Command
from domain.values import Quantity
from tests.spec import BTC, Story, fill, instrument, kinds, opened_account, order


def test_intent_and_verdict_are_one_decision_and_orders_count_from_one() -> None:
    account = opened_account()
    first, second = account.when(order()), account.when(order())
    assert kinds(first) == ["OrderIntended", "RiskPassed"]
    assert [event.order for event in (first[0], second[0]) if isinstance(event, OrderIntended)] == [1, 2]


def test_a_fill_moves_cash_and_position_and_gives_back_what_was_held() -> None:
    account = opened_account(cash="1000")
    account.when(order())
    (event,) = account.when(fill(1, "t1", 400, price=9990, fee=799200))
    assert isinstance(event, OrderFilled)
    assert (event.cash, event.remaining, event.received) == (39_96000000, 600, 400)
    state = account.state
    assert state.cash["USDT"] == 1000_00000000 - 39_96000000 - 799200
    assert state.positions[BTC] == 400
    assert state.reserved["USDT"] == 60_01200000  # six tenths of 100.02
    account.when(fill(1, "t2", 600))
    assert state.reserved["USDT"] == 0
    assert state.orders == {}


def test_a_trade_counts_once_also_after_the_order_has_ended() -> None:
    account = opened_account()
    account.when(order())
    account.when(fill(1, "t1", 400))
    assert account.when(fill(1, "t1", 400)) == ()
    account.when(fill(1, "t2", 600))
    assert account.when(fill(1, "t2", 600)) == ()
    assert account.state.positions[BTC] == 1000


def test_a_fee_in_the_base_asset_lowers_what_is_received() -> None:
    account = opened_account(listed=instrument(fee_asset="base"))
    one = 10**8
    account.when(order(quantity=one))
    (event,) = account.when(fill(1, "t1", one, fee=100_000, fee_asset="BTC"))
    assert isinstance(event, OrderFilled)
    assert event.received == one - 100_000
    assert account.state.positions[BTC] == one - 100_000
    assert account.state.cash["USDT"] == (10000 - 100) * 10**8


def test_what_exceeds_the_order_belongs_to_no_group_and_is_said() -> None:
    account = opened_account()
    account.when(order())
    inside, outside, said = account.when(fill(1, "t1", 1003, fee=1003))
    assert isinstance(inside, OrderFilled)
    assert isinstance(outside, OrderFilled)
    assert isinstance(said, Overfilled)
    assert (inside.bot, inside.quantity, inside.remaining) == ("dca", 1000, 0)
    assert (outside.bot, outside.group, outside.quantity, said.excess) == ("", 0, 3, 3)
    assert (inside.fee, outside.fee) == (1000, 3)
    assert account.state.positions[BTC] == 1003
    assert account.when(fill(1, "t1", 1003, fee=1003)) == ()


def test_a_fill_after_the_end_is_an_overfill() -> None:
    account = opened_account()
    account.when(order())
    account.when(CancelReported("main", 1, Quantity(0), "canceled"))
    assert kinds(account.when(fill(1, "late", 10))) == ["OrderFilled", "Overfilled"]
    assert account.when(fill(1, "late", 10)) == ()
    assert account.state.positions[BTC] == 10


def test_a_fill_of_an_order_nobody_remembers_is_recorded_and_not_applied() -> None:
    account = opened_account()
    assert kinds(account.when(fill(99, "t1", 10))) == ["FillUnmatched"]
    assert account.state.positions.get(BTC, 0) == 0


def test_only_so_many_ended_orders_are_remembered() -> None:
    account = opened_account(cash="100000000")
    for number in range(1, ENDED_KEPT + 12):
        account.when(order())
        account.when(fill(number, f"t{number}", 1000))
    assert len(account.state.ended) == ENDED_KEPT
    assert account.state.orders == {}


def test_a_cancel_is_a_request_and_the_order_may_still_fill() -> None:
    account = opened_account()
    account.when(order())
    cancel = CancelOrders("main", "dca", 1, ("entry",), "exit")
    assert kinds(account.when(cancel)) == ["CancelRequested"]
    assert account.when(cancel) == ()
    account.when(fill(1, "t1", 300))
    assert account.state.orders[1].status == "PENDING_CANCEL"
    (event,) = account.when(CancelReported("main", 1, Quantity(300), "canceled"))
    assert isinstance(event, OrderCanceled)
    assert event.remaining == 700
    assert account.state.reserved["USDT"] == 0


def test_cancels_reach_only_the_group_and_the_roles_they_name() -> None:
    account = opened_account()
    account.when(order())
    account.when(order(role="target"))
    account.when(order(group=2))
    account.when(order(bot="other"))
    happened = account.when(CancelOrders("main", "dca", 1, ("entry",), "exit"))
    assert [event.order for event in happened] == [1]  # type: ignore[attr-defined]


def test_an_order_ends_only_when_the_quantities_agree() -> None:
    account = opened_account()
    account.when(order())
    (missing,) = account.when(CancelReported("main", 1, Quantity(500), "canceled"))
    assert isinstance(missing, FillsMissing)
    assert (missing.filled, missing.reported) == (500, 0)
    assert account.when(CancelReported("main", 1, Quantity(500), "canceled")) == ()
    assert kinds(account.when(fill(1, "t1", 300))) == ["OrderFilled"]
    assert kinds(account.when(fill(1, "t2", 200))) == ["OrderFilled", "OrderCanceled"]
    assert account.state.orders == {}


def test_a_refused_cancel_leaves_the_order_working_and_can_be_asked_again() -> None:
    account = opened_account()
    account.when(order())
    cancel = CancelOrders("main", "dca", 1, ("entry",), "exit")
    account.when(cancel)
    assert kinds(account.when(CancelRejectReported("main", 1, "ORDER_NOT_WORKING"))) == ["CancelRejected"]
    assert kinds(account.when(cancel)) == ["CancelRequested"]


def test_an_unknown_order_is_known_again_by_any_report_of_it() -> None:
    for report in (AcceptReported("main", 1, "v1"), fill(1, "t1", 10), RejectReported("main", 1, "NOT_FOUND", "")):
        account = opened_account()
        account.when(order())
        assert kinds(account.when(UnknownReported("main", 1, "timeout"))) == ["OrderUnknown"]
        assert account.state.unknown[BTC] == 1
        account.when(report)
        assert account.state.unknown[BTC] == 0


def test_a_cancel_of_an_unknown_order_is_asked_again_when_it_is_known() -> None:
    account = opened_account()
    account.when(order())
    account.when(UnknownReported("main", 1, "timeout"))
    account.when(CancelOrders("main", "dca", 1, ("entry",), "exit"))
    assert account.state.unknown[BTC] == 1
    assert kinds(account.when(AcceptReported("main", 1, "v1"))) == ["OrderAccepted", "CancelRequested"]


def test_a_definite_order_does_not_become_unknown() -> None:
    account = opened_account()
    account.when(order())
    account.when(AcceptReported("main", 1, "v1"))
    assert account.when(UnknownReported("main", 1, "late timeout")) == ()


REPORTS: tuple[Command, ...] = (
    AcceptReported("main", 1, "v1"),
    fill(1, "t1", 300),
    fill(1, "t2", 200),
    fill(1, "t1", 300),
    CancelReported("main", 1, Quantity(500), "canceled"),
)


@pytest.mark.parametrize("reports", list(permutations(REPORTS)))
def test_reports_in_any_order_end_in_one_state(reports: tuple[Command, ...]) -> None:
    account = opened_account()
    account.when(order())
    for report in reports:
        account.when(report)
    assert _outcome(account) == (500, 9950_00000000, 0, {}, 500)


def _outcome(account: Story) -> tuple[int, int, int, dict[int, object], int]:
    state = account.state
    return state.positions[BTC], state.cash["USDT"], state.reserved["USDT"], state.orders, state.ended[1].filled
