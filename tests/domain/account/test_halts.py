"""Kill: nothing raises exposure, what works is cancelled, what closes passes; until somebody resumes."""

from domain.account.commands import CancelOrderById, HaltTrading, ResumeTrading
from domain.account.events import CancelRequested, OrderDenied
from tests.spec import Story, fill, kinds, opened_account, order


def code(story: Story, **changes: object) -> str:
    judged = story.when(order(**changes))[-1]
    return judged.code if isinstance(judged, OrderDenied) else "passed"


def test_a_halted_account_raises_no_exposure_until_it_is_resumed() -> None:
    account = opened_account(position=1000)
    assert kinds(account.when(HaltTrading("main", "", "kill"))) == ["TradingHalted"]
    assert code(account) == "TRADING_HALTED"
    assert code(account, bot="", group=0, role="manual") == "TRADING_HALTED"
    assert code(account, side="sell", quantity=100) == "passed"
    assert kinds(account.when(ResumeTrading("main", ""))) == ["TradingResumed"]
    assert code(account) == "passed"


def test_a_halted_bot_stops_alone() -> None:
    account = opened_account()
    account.when(HaltTrading("main", "dca", "kill"))
    assert code(account) == "TRADING_HALTED"
    assert code(account, bot="other") == "passed"


def test_a_halt_cancels_what_works_in_its_scope_in_one_decision() -> None:
    account = opened_account()
    account.when(order())
    account.when(order(bot="other"))
    account.when(order(role="target"))
    halted = account.when(HaltTrading("main", "dca", "kill"))
    assert [event.order for event in halted if isinstance(event, CancelRequested)] == [1, 3]
    assert kinds(account.when(HaltTrading("main", "", "kill"))) == ["TradingHalted", "CancelRequested"]


def test_said_again_a_halt_cancels_again_and_does_not_repeat_itself() -> None:
    account = opened_account()
    account.when(HaltTrading("main", "", "kill"))
    assert account.when(HaltTrading("main", "", "kill")) == ()


def test_an_order_that_closes_a_group_survives_the_halt() -> None:
    account = opened_account()
    account.when(order())
    account.when(fill(1, "t1", 1000))
    account.when(order(side="sell", type="market", role="close", reduce_only=True))
    assert kinds(account.when(HaltTrading("main", "", "kill"))) == ["TradingHalted"]


def test_resuming_what_is_not_halted_changes_nothing() -> None:
    assert opened_account().when(ResumeTrading("main", "dca")) == ()


def test_an_order_can_be_cancelled_by_hand_once() -> None:
    account = opened_account()
    account.when(order())
    assert kinds(account.when(CancelOrderById("main", 1, "by hand"))) == ["CancelRequested"]
    assert account.when(CancelOrderById("main", 1, "by hand")) == ()
    assert account.when(CancelOrderById("main", 9, "by hand")) == ()
