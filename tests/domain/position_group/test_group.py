"""A position group as its specification: legs, targets, exits, dust."""

from decimal import Decimal
from typing import Any

import pytest

from domain.message import Event
from domain.position_group.commands import ExitGroup, OpenGroup, RecordFill, RecordOrderEnd, ReviewFlat
from domain.position_group.decider import DECIDER
from domain.position_group.events import CloseDecided, DustWrittenOff, GroupClosed, LegFilled, TargetSet
from domain.values import Price
from tests.spec import Story, given, instrument, kinds, settings


def group(direction: Any = "long", listed: Any = None, **changes: Any) -> Story:
    """A live group around 100.00: 4.000 at market, 6.030 at 99.50; targets 1 % away."""
    story = given(DECIDER)
    listed = listed or instrument()
    story.when(OpenGroup("dca", 1, "main", direction, Decimal(100), listed, settings(**changes)))
    return story


def filled(
    story: Story, role: Any, quantity: int, price: int = 10000, leg: int = 0, remaining: int = 0, received: int = -1
) -> tuple[Event, ...]:
    received = quantity if received < 0 else received
    cash = price * quantity * 1000
    return story.when(RecordFill("dca", 1, leg, role, price, quantity, received, cash, remaining))  # type: ignore[arg-type]


def ended(story: Story, role: Any, remaining: int, leg: int = 0, code: str = "") -> tuple[Event, ...]:
    return story.when(RecordOrderEnd("dca", 1, leg, role, remaining, code, "because"))  # type: ignore[arg-type]


def test_a_filled_leg_is_covered_by_a_target_at_once() -> None:
    leg, target = filled(group(), "entry", 4000, price=10001)
    assert isinstance(leg, LegFilled)
    assert isinstance(target, TargetSet)
    assert (target.side, target.price, target.quantity) == ("sell", 10102, 4000)  # 101.0101 ceiled


def test_a_short_leg_is_covered_from_below() -> None:
    _, target = filled(group("short"), "entry", 4000, price=9999)
    assert isinstance(target, TargetSet)
    assert (target.side, target.price) == ("buy", 9899)  # 98.9901 floored


def test_each_partial_fill_has_its_own_target() -> None:
    story = group()
    for quantity, remaining in ((1000, 3000), (3000, 0)):
        _, target = filled(story, "entry", quantity, remaining=remaining)
        assert isinstance(target, TargetSet)
        assert target.quantity == quantity


def test_a_partial_fill_too_small_for_a_target_waits_for_the_next() -> None:
    story = group()
    assert kinds(filled(story, "entry", 40, price=10000, remaining=3960)) == ["LegFilled"]
    _, target = filled(story, "entry", 160, price=9900, remaining=3800)
    assert isinstance(target, TargetSet)
    # 0.040 at 100.00 and 0.160 at 99.00 are 99.20 on average; 1 % above is 100.192.
    assert (target.quantity, target.price) == (200, 10020)


def test_the_last_part_of_a_fill_is_ordered_however_small_so_that_its_denial_is_said() -> None:
    _, target = filled(group(), "entry", 40)
    assert isinstance(target, TargetSet)
    assert target.quantity == 40


def test_with_keep_a_flat_group_stays_live_while_entries_rest() -> None:
    story = group()
    filled(story, "entry", 4000)
    assert kinds(filled(story, "target", 4000, price=10100)) == ["TargetFilled"]
    assert kinds(filled(story, "entry", 6030, leg=1)) == ["LegFilled", "TargetSet"]
    assert kinds(filled(story, "target", 6030, leg=1)) == ["TargetFilled", "GroupClosed"]


def test_with_cancel_a_flat_group_gives_its_entries_up_and_closes() -> None:
    story = group(when_flat="cancel")
    filled(story, "entry", 4000)
    assert kinds(filled(story, "target", 4000)) == ["TargetFilled"]
    assert kinds(story.when(ReviewFlat("dca", 1))) == ["EntriesAbandoned"]
    assert story.when(ReviewFlat("dca", 1)) == ()
    assert kinds(ended(story, "entry", 6030, leg=1)) == ["LegEnded", "GroupClosed"]


def test_an_entry_met_in_the_same_instant_keeps_the_group_and_its_other_entries() -> None:
    story = group(when_flat="cancel")
    filled(story, "entry", 4000)
    filled(story, "target", 4000)
    filled(story, "entry", 6030, leg=1)
    assert story.when(ReviewFlat("dca", 1)) == ()


def test_an_entry_met_while_it_is_given_up_keeps_the_group_open_with_what_it_bought() -> None:
    story = group(when_flat="cancel")
    filled(story, "entry", 4000)
    filled(story, "target", 4000)
    story.when(ReviewFlat("dca", 1))
    assert kinds(filled(story, "entry", 6030, leg=1)) == ["LegFilled", "TargetSet"]
    assert kinds(filled(story, "target", 6030, leg=1)) == ["TargetFilled", "GroupClosed"]


def test_cancel_does_not_give_up_entries_before_anything_was_held() -> None:
    story = group(when_flat="cancel")
    assert kinds(ended(story, "entry", 4000, code="BALANCE_INSUFFICIENT")) == ["LegEnded"]


def test_an_exit_waits_for_what_works_before_it_closes_the_rest() -> None:
    story = group()
    filled(story, "entry", 4000)
    assert kinds(story.when(ExitGroup("dca", 1, Price(9900)))) == ["ExitStarted"]
    assert kinds(ended(story, "entry", 6030, leg=1)) == ["LegEnded"]
    _, close = ended(story, "target", 4000)
    assert isinstance(close, CloseDecided)
    assert (close.side, close.quantity, close.reference) == ("sell", 4000, 9900)
    assert kinds(filled(story, "close", 1000, remaining=3000)) == ["CloseFilled"]
    assert kinds(filled(story, "close", 3000)) == ["CloseFilled", "GroupClosed"]


def test_fills_that_race_the_exit_are_closed_too_and_nothing_is_sold_twice() -> None:
    story = group()
    filled(story, "entry", 4000)
    story.when(ExitGroup("dca", 1, None))
    assert kinds(filled(story, "target", 1500, remaining=2500)) == ["TargetFilled"]
    assert kinds(filled(story, "entry", 6030, leg=1)) == ["LegFilled"]
    _, close = ended(story, "target", 2500)
    assert isinstance(close, CloseDecided)
    assert close.quantity == 4000 + 6030 - 1500


def test_an_exit_before_anything_filled_closes_without_a_trade() -> None:
    story = group()
    assert kinds(story.when(ExitGroup("dca", 1, None))) == ["ExitStarted"]
    ended(story, "entry", 4000)
    _, over = ended(story, "entry", 6030, leg=1)
    assert isinstance(over, GroupClosed)
    assert over.reason == "never entered"


def test_an_exit_asked_again_asks_again_for_the_cancels_until_the_close_works() -> None:
    story = group()
    filled(story, "entry", 4000)
    story.when(ExitGroup("dca", 1, None))
    assert kinds(story.when(ExitGroup("dca", 1, None))) == ["ExitStarted"]
    ended(story, "entry", 6030, leg=1)
    ended(story, "target", 4000)
    assert story.when(ExitGroup("dca", 1, None)) == ()


def test_when_every_entry_dies_the_group_is_over() -> None:
    story = group()
    ended(story, "entry", 4000, code="BALANCE_INSUFFICIENT")
    assert kinds(ended(story, "entry", 6030, leg=1, code="BALANCE_INSUFFICIENT")) == ["LegEnded", "GroupClosed"]


def test_a_close_too_small_to_place_is_written_off_after_one_attempt() -> None:
    story = group()
    filled(story, "entry", 40, remaining=3960)
    story.when(ExitGroup("dca", 1, None))
    ended(story, "entry", 6030, leg=1)
    assert kinds(ended(story, "entry", 3960)) == ["LegEnded", "CloseDecided"]
    dust, over = ended(story, "close", 40, code="NOTIONAL_BELOW_MINIMUM")
    assert isinstance(dust, DustWrittenOff)
    assert isinstance(over, GroupClosed)
    assert dust.quantity == 40


def test_a_close_that_failed_for_another_reason_waits_for_the_next_exit() -> None:
    story = group()
    filled(story, "entry", 4000)
    story.when(ExitGroup("dca", 1, None))
    ended(story, "entry", 6030, leg=1)
    ended(story, "target", 4000)
    assert kinds(ended(story, "close", 4000, code="INSUFFICIENT_BALANCE")) == ["CloseFailed"]
    assert kinds(story.when(ExitGroup("dca", 1, None))) == ["ExitStarted", "CloseDecided"]


def test_a_lost_target_leaves_the_leg_held_until_the_exit() -> None:
    story = group()
    filled(story, "entry", 4000)
    ended(story, "entry", 6030, leg=1)
    assert kinds(ended(story, "target", 4000, code="REJECTED")) == ["TargetEnded"]
    assert kinds(story.when(ExitGroup("dca", 1, None))) == ["ExitStarted", "CloseDecided"]


@pytest.mark.parametrize("received", [99_900_000, 99_900_001])
def test_a_base_fee_leaves_dust_below_the_step_which_is_written_off(received: int) -> None:
    listed = instrument(fee_asset="base", step="0.001")
    story = group(listed=listed)
    ended(story, "entry", 603_000_000, leg=1)
    _, target = filled(story, "entry", 100_000_000, received=received)
    assert isinstance(target, TargetSet)
    assert target.quantity == 99_900_000
    happened = filled(story, "target", 99_900_000)
    dust = received - 99_900_000
    assert kinds(happened) == ["TargetFilled", *(["DustWrittenOff"] if dust else []), "GroupClosed"]
