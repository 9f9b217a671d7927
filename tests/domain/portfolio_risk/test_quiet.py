"""What rounds of the offset may rest for: prices that change no verdict, and the time until one changes by itself."""

from typing import Any

import pytest

from domain.decider import Now, Quiet
from domain.portfolio_risk import events as e
from domain.portfolio_risk.resting import quiet
from domain.values import LARGEST, InstrumentId, Time
from tests.domain.portfolio_risk.desk import MINUTE, START, Desk


def rest_of(desk: Desk) -> Quiet | None:
    return quiet(desk.state, Now(Time(desk.at), desk.marks, lambda _: list(desk.groups.values())))


def inside_of(desk: Desk) -> dict[InstrumentId, tuple[int, int]]:
    found = rest_of(desk)
    assert found is not None
    return dict(found.inside)


def losing(**options: Any) -> Desk:
    """A has lost 10 %, and its wait has just begun."""
    desk = Desk(**options)
    desk.opens("A", 1000, 10_000, 9_000)
    return desk


def test_while_there_is_something_to_say_or_an_offset_is_under_way_no_round_rests() -> None:
    desk = losing()
    assert rest_of(desk) is None
    desk.looks()
    assert rest_of(desk) is not None
    desk.opens("B", 2000, 10_000, 11_000)
    assert [type(event) for event in desk.waits()] == [e.OffsetChosen]
    assert rest_of(desk) is None


def test_where_a_loser_qualifies_every_price_is_news() -> None:
    desk = losing(post_full_wait_minutes=0)
    desk.opens("B", 1000, 10_000, 10_100)
    desk.opens("C", 1000, 10_000)
    desk.looks()
    never = (LARGEST, -LARGEST)
    assert inside_of(desk) == {"A/USDT": (9_000, 9_000), "B/USDT": (10_100, 10_100), "C/USDT": never}


@pytest.mark.parametrize(
    ("options", "minutes", "beyond"),
    [({"post_full_wait_minutes": 50}, 50, 0), ({"post_full_wait_minutes": 0, "minimum_age_minutes": 90}, 90, 1)],
)
def test_rounds_rest_until_the_very_moment_at_which_time_alone_changes_the_verdict(
    options: dict[str, int], minutes: int, beyond: int
) -> None:
    desk = losing(**options)
    desk.opens("B", 1000, 10_000, 11_000)
    desk.looks()
    found = rest_of(desk)
    assert found is not None
    assert found.until == START + minutes * MINUTE + beyond
    desk.at = found.until - 1
    assert desk.looks() == ()
    desk.at = found.until
    assert [type(event) for event in desk.looks()] == [e.OffsetChosen]


@pytest.mark.parametrize(
    ("direction", "mark", "bounds"),
    [
        ("long", 9_500, (9_499, LARGEST)),
        ("long", 9_499, (-LARGEST, 9_500)),
        ("short", 10_500, (-LARGEST, 10_501)),
        ("short", 10_501, (10_500, LARGEST)),
    ],
)
def test_a_price_at_the_threshold_is_on_the_side_of_those_that_are_not_beyond(
    direction: str, mark: int, bounds: tuple[int, int]
) -> None:
    desk = Desk()
    desk.opens("A", 1000, 10_000, mark, direction=direction)
    desk.looks()
    assert inside_of(desk) == {"A/USDT": bounds}


def test_of_two_groups_on_one_instrument_the_nearer_bounds_count() -> None:
    desk = Desk()
    desk.opens("A", 1000, 10_000, 10_000)
    desk.opens("B", 1000, 10_200, instrument=desk.groups["A"].instrument)
    desk.opens("C", 1000, 9_000, instrument=desk.groups["A"].instrument, direction="short")
    desk.looks()
    assert inside_of(desk) == {"A/USDT": (9_689, LARGEST)}, "B at 96.90; C is beyond above 94.50 already, A at 95.00"


def test_a_group_that_holds_nothing_has_no_bounds() -> None:
    desk = Desk()
    desk.opens("A", 1000, 10_000, 9_900)
    desk.change("A", held=0)
    desk.looks()
    assert inside_of(desk) == {}
