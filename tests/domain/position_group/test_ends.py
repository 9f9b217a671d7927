"""How a group ends beside the targets of its legs: aggregate and hybrid targets, stops, time, pyramids, reductions."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest

from domain.message import Event
from domain.policies.review_flat import REACTIONS
from domain.position_group.commands import (
    AddPyramid,
    AimGroup,
    ExitGroup,
    ExpireGroup,
    ExpireLegs,
    LookAtPrice,
    OpenGroup,
    RecordFill,
    RecordOrderEnd,
    ReduceGroup,
    ReviewFlat,
    ReviewGuards,
)
from domain.position_group.decider import DECIDER
from domain.position_group.events import ReviewDue, TargetFilled
from domain.position_group.protection import watch_of
from tests.spec import Story, given, instrument, kinds, settings

AGGREGATE = {"take_profit": "aggregate", "aggregate_take_profit_pct": Decimal(1)}
HYBRID = {"take_profit": "hybrid", "aggregate_take_profit_pct": Decimal("0.5")}


def group(direction: Any = "long", **changes: Any) -> Story:
    """A live group around 100.00: 4.000 at market, 6.030 at 99.50; leg targets 1 % away."""
    story = given(DECIDER)
    story.when(OpenGroup("dca", 1, "main", direction, Decimal(100), instrument(), settings(**changes)))
    return story


def filled(story: Story, role: Any, quantity: int, price: int, leg: int = 0, remaining: int = 0) -> tuple[Event, ...]:
    command: Any = RecordFill("dca", 1, leg, role, price, quantity, quantity, price * quantity * 1000, remaining)  # type: ignore[arg-type]
    return story.when(command)


def ended(story: Story, role: Any, remaining: int, leg: int = 0, code: str = "") -> tuple[Event, ...]:
    return story.when(RecordOrderEnd("dca", 1, leg, role, remaining, code, "because"))  # type: ignore[arg-type]


def review(story: Story) -> tuple[Event, ...]:
    return story.when(ReviewGuards("dca", 1))


def look(story: Story, low: int, high: int, close: int) -> tuple[Event, ...]:
    watch = watch_of(story.state)
    assert watch is not None
    return story.when(LookAtPrice("dca", 1, close, low, high, watch))  # type: ignore[arg-type]


def guard(event: Any) -> tuple[str, str, int, int, str]:
    return event.role, event.side, event.price, event.quantity, event.reason


def test_one_aggregate_target_covers_all_that_is_held_at_the_exact_average() -> None:
    story = group(**AGGREGATE)
    assert kinds(filled(story, "entry", 4000, 10000)) == ["LegFilled", "ReviewDue"]  # and no target per leg
    (first,) = review(story)
    assert guard(first) == ("aggregate", "sell", 10100, 4000, "aggregate target")
    filled(story, "entry", 6030, 9950, leg=1)
    assert kinds(review(story)) == ["GuardWithdrawn"]
    assert review(story) == ()  # it is on its way already
    assert kinds(ended(story, "aggregate", 4000)) == ["GuardEnded", "ReviewDue"]
    (second,) = review(story)
    average = Fraction(4000 * 10000 + 6030 * 9950, 10030)
    assert guard(second) == ("aggregate", "sell", ceil(average * 101 / 100), 10030, "aggregate target")


def test_a_short_mirrors() -> None:
    story = group("short", **AGGREGATE, stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 9999)
    assert [guard(event) for event in review(story)] == [
        ("aggregate", "buy", 9899, 4000, "aggregate target"),  # 98.9901 floored
        ("stop", "buy", 10198, 4000, "stop loss"),  # 101.9898 floored
    ]


def test_when_the_aggregate_leaves_nothing_the_entries_go_and_the_group_closes() -> None:
    story = group(**AGGREGATE)
    filled(story, "entry", 4000, 10000)
    review(story)
    assert kinds(filled(story, "aggregate", 4000, 10100)) == ["GuardFilled", "ReviewDue"]
    assert kinds(review(story)) == ["EntriesAbandoned"]
    assert kinds(ended(story, "entry", 6030, leg=1)) == ["LegEnded", "GroupClosed"]


def test_an_entry_met_in_the_same_instant_keeps_the_group_open_with_what_it_bought() -> None:
    story = group(**AGGREGATE)
    filled(story, "entry", 4000, 10000)
    review(story)
    filled(story, "aggregate", 4000, 10100)
    filled(story, "entry", 6030, 9950, leg=1)
    (again,) = review(story)
    assert guard(again) == ("aggregate", "sell", 10050, 6030, "aggregate target")  # 99.50 x 1.01 = 100.495


def test_the_average_is_of_what_is_held_not_of_what_was() -> None:
    story = group(**AGGREGATE)
    filled(story, "entry", 4000, 10000)
    review(story)
    filled(story, "aggregate", 3000, 10100, remaining=1000)
    filled(story, "entry", 6030, 9950, leg=1)
    worth, count = story.state.average
    assert Fraction(worth, count) == Fraction(1000 * 10000 + 6030 * 9950, 7030)


def test_the_stop_stands_under_the_average_and_moves_with_it() -> None:
    story = group(stop_loss_pct=Decimal(2))
    assert kinds(filled(story, "entry", 4000, 10000)) == ["LegFilled", "TargetSet", "ReviewDue"]
    (stop,) = review(story)
    assert guard(stop) == ("stop", "sell", 9800, 4000, "stop loss")
    filled(story, "entry", 6030, 9950, leg=1)
    assert kinds(review(story)) == ["GuardWithdrawn"]
    ended(story, "stop", 4000)
    (stop,) = review(story)
    assert guard(stop)[2:4] == (9771, 10030)  # 99.6994... x 0.98 = 97.7054... ceiled


def test_a_stop_that_fills_takes_the_group_out_once_everything_else_has_gone() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    review(story)
    assert kinds(filled(story, "stop", 4000, 9800)) == ["GuardFilled", "ExitStarted"]
    assert kinds(ended(story, "target", 4000)) == ["TargetEnded"]
    closed = ended(story, "entry", 6030, leg=1)
    assert kinds(closed) == ["LegEnded", "GroupClosed"]
    assert closed[-1].reason == "stop"  # type: ignore[attr-defined]


def test_a_venue_that_sold_more_than_was_held_is_said_to_have() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    review(story)
    filled(story, "stop", 5000, 9800)
    ended(story, "target", 4000)
    _, written_off, closed = ended(story, "entry", 6030, leg=1)
    assert written_off.quantity == -1000  # type: ignore[attr-defined]
    assert written_off.reason == "oversold: the venue closed 1 more than was held"  # type: ignore[attr-defined]
    assert closed.reason == "oversold"  # type: ignore[attr-defined]


def test_what_was_bought_in_the_candle_of_the_stop_is_closed_at_market() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    review(story)
    filled(story, "stop", 4000, 9800)
    assert kinds(filled(story, "entry", 6030, 9950, leg=1)) == ["LegFilled"]
    (_, close) = ended(story, "target", 4000)
    assert (close.side, close.quantity) == ("sell", 6030)  # type: ignore[attr-defined]


def test_a_stop_that_was_refused_gets_the_group_out() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    review(story)
    assert kinds(ended(story, "stop", 4000, code="PRICE_OUT_OF_RANGE")) == ["GuardEnded", "ExitStarted"]


def test_a_stop_too_small_to_place_is_left_at_that() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 10, 10000, remaining=3990)
    review(story)
    assert kinds(ended(story, "stop", 10, code="NOTIONAL_BELOW_MINIMUM")) == ["GuardEnded"]


def test_the_stop_breaks_even_after_the_first_target() -> None:
    story = group(stop_loss_pct=Decimal(2), break_even_after_first_target=True)
    filled(story, "entry", 4000, 10000)
    filled(story, "entry", 6030, 9950, leg=1)
    review(story)
    assert kinds(filled(story, "target", 6030, 10050, leg=1)) == ["TargetFilled", "ReviewDue"]
    assert kinds(review(story)) == ["GuardWithdrawn"]
    ended(story, "stop", 10030)
    (stop,) = review(story)
    assert guard(stop) == ("stop", "sell", 9970, 4000, "break even")  # the average of what was bought, ceiled


def test_the_trailing_stop_follows_the_best_close_and_never_goes_back() -> None:
    story = group(trailing_stop_pct=Decimal(1))
    filled(story, "entry", 4000, 10000)
    assert guard(review(story)[0])[2] == 9900
    assert look(story, 9950, 10300, 10200) != ()
    review(story)
    ended(story, "stop", 4000)
    assert guard(review(story)[0]) == ("stop", "sell", 10098, 4000, "trailing")
    assert look(story, 10000, 10250, 10150) == ()  # a lower close


def test_a_stop_from_which_a_target_has_taken_is_set_anew_though_an_entry_has_made_up_for_it() -> None:
    """At the venue what the target sold is gone from the stop's quantity: it would not protect what came since."""
    story = group(**AGGREGATE, trailing_stop_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    assert [guard(event)[0] for event in review(story)] == ["aggregate", "stop"]
    filled(story, "entry", 4000, 9950, leg=1, remaining=2030)
    filled(story, "aggregate", 4000, 10100)
    withdrawn = [event for event in review(story) if type(event).__name__ == "GuardWithdrawn"]
    assert [event.role for event in withdrawn] == ["stop"]  # type: ignore[attr-defined]
    ended(story, "stop", 4000)
    (stop,) = review(story)
    assert guard(stop) == ("stop", "sell", 9800, 4000, "trailing")


def test_hybrid_the_aggregate_price_closes_the_rest() -> None:
    story = group(**HYBRID)
    filled(story, "entry", 4000, 10000)
    assert look(story, 9990, 10049, 10000) == ()
    (out,) = look(story, 9990, 10050, 10010)
    assert (out.reason, out.reference) == ("aggregate target", 10010)  # type: ignore[attr-defined]
    ended(story, "entry", 6030, leg=1)
    assert kinds(ended(story, "target", 4000)) == ["TargetEnded", "CloseDecided"]


def test_hybrid_by_the_level_that_was_in_force_when_the_candle_began() -> None:
    story = group(**HYBRID)
    filled(story, "entry", 4000, 10000)
    watch: Any = watch_of(story.state)
    filled(story, "entry", 6030, 9950, leg=1)  # the same candle: the average is 99.70 now, its target 100.20
    assert story.when(LookAtPrice("dca", 1, 10030, 9940, 10040, watch)) == ()  # type: ignore[arg-type]


def test_a_group_has_its_time() -> None:
    story = group(time_limit_minutes=60)
    filled(story, "entry", 4000, 10000)
    assert kinds(story.when(ExpireGroup("dca", 1))) == ["ExitStarted"]
    assert story.when(ExpireGroup("dca", 1)) == ()


def test_entries_expire_and_what_is_held_goes_on() -> None:
    story = group(leg_expiry_minutes=5)
    filled(story, "entry", 4000, 10000)
    (expired,) = story.when(ExpireLegs("dca", 1, (0, 1)))
    assert (expired.legs, expired.reason) == ((1,), "expired")  # type: ignore[attr-defined]
    assert kinds(ended(story, "entry", 6030, leg=1)) == ["LegEnded"]


def test_entries_are_given_up_when_the_price_runs_away() -> None:
    story = group(cancel_beyond_pct=Decimal(3))
    (away,) = look(story, 10000, 10300, 10280)
    assert (away.legs, away.reason) == ((0, 1), "price ran away")  # type: ignore[attr-defined]


def test_a_pyramid_has_legs_of_its_own_numbered_on() -> None:
    story = group()
    (added,) = story.when(AddPyramid("dca", 1, Decimal(98), settings()))
    assert [(leg.index, leg.price) for leg in added.legs] == [(2, 9800), (3, 9751)]  # type: ignore[attr-defined]
    assert added.pyramid == 2  # type: ignore[attr-defined]
    _, target = filled(story, "entry", 4081, 9800, leg=2)
    assert (target.leg, target.price) == (2, 9898)  # type: ignore[attr-defined]


def test_a_pyramid_comes_too_late_for_a_group_on_its_way_out() -> None:
    story = group()
    filled(story, "entry", 4000, 10000)
    story.when(ExitGroup("dca", 1, None))
    assert kinds(story.when(AddPyramid("dca", 1, Decimal(98), settings()))) == ["PyramidRefused"]


def test_a_reduction_clears_the_targets_closes_a_part_and_covers_the_rest() -> None:
    story = group()
    filled(story, "entry", 4000, 10000)
    assert kinds(story.when(ReduceGroup("dca", 1, 1500, "offset"))) == ["ReductionStarted"]  # type: ignore[arg-type]
    _, close = ended(story, "target", 4000)
    assert (close.side, close.quantity) == ("sell", 1500)  # type: ignore[attr-defined]
    _, target = filled(story, "close", 1500, 10050)
    assert (target.quantity, story.state.held) == (2500, 2500)  # type: ignore[attr-defined]


def test_a_target_quicker_than_its_cancel_leaves_nothing_to_reduce_and_entries_at_rest() -> None:
    story = group()
    filled(story, "entry", 4000, 10000)
    story.when(ReduceGroup("dca", 1, 1500, "offset"))  # type: ignore[arg-type]
    assert kinds(filled(story, "target", 4000, 10100)) == ["TargetFilled", "ReductionDropped"]
    _, target = filled(story, "entry", 6030, 9950, leg=1)
    assert target.quantity == 6030  # type: ignore[attr-defined]


def test_an_exit_during_a_reduction_takes_the_rest_too() -> None:
    story = group()
    filled(story, "entry", 4000, 10000)
    story.when(ReduceGroup("dca", 1, 1500, "offset"))  # type: ignore[arg-type]
    ended(story, "target", 4000)
    assert kinds(story.when(ExitGroup("dca", 1, None))) == ["ExitStarted"]
    ended(story, "entry", 6030, leg=1)
    _, close = filled(story, "close", 1500, 10050)
    assert close.quantity == 2500  # type: ignore[attr-defined]


@pytest.mark.parametrize(("size", "what"), [(5000, "PyramidAdded"), (1000, "ReductionStarted"), (4000, None)])
def test_a_target_position_trades_the_difference(size: int, what: str | None) -> None:
    story = given(DECIDER)
    story.when(OpenGroup("dca", 1, "main", "long", Decimal(100), instrument(), settings(), 4000))  # type: ignore[arg-type]
    filled(story, "entry", 4000, 10000)
    happened = story.when(AimGroup("dca", 1, size, Decimal(101)))  # type: ignore[arg-type]
    assert kinds(happened) == ([] if what is None else [what])
    if what == "PyramidAdded":
        (leg,) = happened[0].legs  # type: ignore[attr-defined]
        assert (leg.type, leg.quantity) == ("market", 1000)


def test_a_leg_that_has_filled_in_part_counts_once_towards_a_target_position() -> None:
    story = given(DECIDER)
    story.when(OpenGroup("dca", 1, "main", "long", Decimal(100), instrument(), settings(), 4000))  # type: ignore[arg-type]
    filled(story, "entry", 1000, 10000, remaining=3000)
    assert story.when(AimGroup("dca", 1, 4000, Decimal(101))) == ()  # type: ignore[arg-type]


def test_the_time_limit_is_not_lost_on_a_part_that_is_being_closed() -> None:
    story = group(time_limit_minutes=60)
    filled(story, "entry", 4000, 10000)
    story.when(ReduceGroup("dca", 1, 1500, "offset"))  # type: ignore[arg-type]
    ended(story, "target", 4000)
    assert kinds(story.when(ExpireGroup("dca", 1))) == ["ExitStarted"]


def test_a_close_that_failed_leaves_the_group_with_a_stop() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    story.when(ExitGroup("dca", 1, None))
    ended(story, "entry", 6030, leg=1)
    ended(story, "target", 4000)
    assert kinds(ended(story, "close", 4000, code="INSUFFICIENT_BALANCE")) == ["CloseFailed", "ReviewDue"]
    (stop,) = review(story)
    assert guard(stop) == ("stop", "sell", 9800, 4000, "stop loss")


def test_a_group_that_gets_neither_its_stop_nor_its_close_does_not_ask_at_once_again() -> None:
    story = group(stop_loss_pct=Decimal(2))
    filled(story, "entry", 4000, 10000)
    review(story)
    ended(story, "stop", 4000, code="POSITION_INSUFFICIENT")
    ended(story, "entry", 6030, leg=1)
    assert kinds(ended(story, "target", 4000)) == ["TargetEnded", "CloseDecided"]
    assert kinds(ended(story, "close", 4000, code="POSITION_INSUFFICIENT")) == ["CloseFailed"]
    (stop,) = review(story)  # a minute later
    assert guard(stop) == ("stop", "sell", 9800, 4000, "stop loss")


# --- what a group looks at again --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held", "commands"), [(0, [ReviewFlat("dca", 7)]), (1, [])])
def test_a_group_whose_targets_have_sold_it_all_looks_whether_it_is_over(held: int, commands: list[Any]) -> None:
    fields: Any = ("dca", 7, 1, instrument().id, 10000, 5, 50_000, 0, held)
    event = TargetFilled(*fields)
    assert [command for policy in REACTIONS[TargetFilled] for command in policy(event)] == commands


def test_a_group_whose_holding_has_changed_looks_at_its_guards() -> None:
    event = ReviewDue("dca", 7)
    commands = [command for policy in REACTIONS[ReviewDue] for command in policy(event)]
    assert commands == [ReviewGuards("dca", 7)]
