"""Rounds that rest change no byte of the log: nobody crosses the threshold, or is done waiting, while they do."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain import deciders, engine
from domain.decider import Now, Quiet
from domain.portfolio_risk import events as e
from domain.portfolio_risk.decider import DECIDER
from domain.portfolio_risk.resting import quiet
from domain.portfolio_risk.settings import OffsetSettings
from domain.portfolio_risk.state import RiskState
from domain.ports import DeadlineReached
from domain.values import InstrumentId, Time
from infrastructure.market_data.tape import Tape
from infrastructure.venues.lane import PACES, Pace
from infrastructure.venues.simulated_market import TimedAlert
from tests import spec
from tests.domain.portfolio_risk.desk import Desk
from tests.domain.portfolio_risk.test_in_the_loop import LEGS, NAMES, Play, buy, path, play
from tests.simulator import MINUTE, START, tape_of

Answer = Callable[[RiskState, Now], Quiet | None]


@contextmanager
def answering(answer: Answer | None) -> Iterator[None]:
    """Rounds rest for as long as this says, or never."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "BY_KIND", {**deciders.BY_KIND, DECIDER.kind: structs.replace(DECIDER, quiet=answer)})
        yield


def walks(chance: random.Random, minutes: int) -> dict[str, Tape]:
    tapes: dict[str, Tape] = {}
    for name in NAMES:
        price, candles, drift = 10_000, [], chance.choice([-40, -20, 0, 20, 40])
        for _ in range(minutes):
            close = max(500, price + drift + chance.randint(-80, 80))
            reach = chance.randint(0, 90)
            candles.append((price, max(price, close) + reach, min(price, close) - reach, close))
            price = close
        tapes[name] = tape_of(candles)
    return tapes


@given(st.integers(0, 2**32), st.sampled_from(PACES), st.data())
@settings(max_examples=150)
def test_the_log_is_the_same_byte_for_byte(seed: int, pace: Pace, data: st.DataObject) -> None:
    chance, minutes = random.Random(seed), data.draw(st.integers(30, 160))
    offset = OffsetSettings(
        loss_threshold_pct=Decimal(data.draw(st.sampled_from(["-0.5", "-1.5", "-4"]))),
        require_full_pyramids=data.draw(st.booleans()),
        post_full_wait_minutes=data.draw(st.sampled_from([0, 7, 31])),
        timer_start=data.draw(st.sampled_from(["last_pyramid", "legs_filled"])),
        minimum_age_minutes=data.draw(st.sampled_from([None, 11])),
        evaluate_seconds=data.draw(st.sampled_from([30, 60, 180])),
    )
    ends: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {},
                {"time_limit_minutes": 15, "leg_expiry_minutes": 6},
                {"take_profit": "hybrid", "aggregate_take_profit_pct": Decimal(2), "leg_expiry_minutes": 6},
            ]
        )
    )
    pyramids = data.draw(st.sampled_from([1, 2]))
    group = spec.settings(("0", "60", "9"), ("-1", "40", "7"), max_pyramids=pyramids, **ends)
    tapes = walks(chance, minutes)
    alerts = [
        buy(chance.choice(NAMES), minute, chance.choice(["buy", "buy", "buy", "sell", "exit"]))
        for minute in sorted(chance.sample(range(1, minutes), 12))
    ]
    assert_same(tapes, alerts, offset, group, pace=pace)


def assert_same(
    tapes: dict[str, Tape], alerts: list[TimedAlert], offset: OffsetSettings, group: Any, *, pace: Pace = "skip"
) -> None:
    with answering(None):
        restless = play(tapes, alerts, offset, group)
    assert play(tapes, alerts, offset, group, pace=pace).ledger.log == restless.ledger.log


def fall(*, answer: Answer | None) -> Play:
    """A price that falls by 12 % in three hours and comes back; 10 seconds between rounds."""
    tapes = {"LOSS": path(10_000, 8_800, 10_000, minutes=90)}
    offset = OffsetSettings(evaluate_seconds=10, post_full_wait_minutes=50)
    with answering(answer):
        return play(tapes, [buy("LOSS", 1)], offset, spec.settings(*LEGS, capital="1000"))


def rounds_of(played: Play) -> int:
    return sum(type(fact) is DeadlineReached for moment in played.market.inputs for fact in moment.facts)


def test_a_round_that_could_say_nothing_does_not_come() -> None:
    resting, restless = fall(answer=quiet), fall(answer=None)
    assert resting.ledger.log == restless.ledger.log
    verdicts = [[loser.verdict for loser in event.losers] for event in resting.ledger.of(e.OffsetEvaluated)]
    assert verdicts == [[], ["waiting"], ["qualified"], []]
    assert rounds_of(restless) > 1_000
    assert rounds_of(resting) < rounds_of(restless) / 5


def test_a_round_that_rests_comes_after_all_where_something_else_at_its_time_changes_a_group() -> None:
    """The time limit sends LOSS out at minute 101, at a full minute, while its wait goes on: the same round says so."""
    tapes = {"LOSS": path(10_000, 9_000, 9_000, minutes=90)}
    offset, group = OffsetSettings(post_full_wait_minutes=500), spec.settings(*LEGS, time_limit_minutes=100)
    with answering(quiet):
        resting = play(tapes, [buy("LOSS", 1)], offset, group)
    said = [
        ((record.at - START) // MINUTE, [loser.verdict for loser in event.losers])
        for record in resting.ledger.records
        for event in record.events
        if isinstance(event, e.OffsetEvaluated)
    ]
    assert said[-2:] == [(101, ["busy"]), (102, [])]
    assert_same(tapes, [buy("LOSS", 1)], offset, group)


def _without_prices(state: RiskState, now: Now) -> Quiet | None:
    found = quiet(state, now)
    return None if found is None else Quiet(found.until, {})


def _without_time(state: RiskState, now: Now) -> Quiet | None:
    found = quiet(state, now)
    return None if found is None else Quiet(None, found.inside)


@pytest.mark.parametrize("planted", [_without_prices, _without_time])
def test_rest_that_is_too_long_shows_in_the_log(planted: Answer) -> None:
    assert fall(answer=planted).ledger.log != fall(answer=None).ledger.log


@pytest.mark.parametrize("direction", ["long", "short"])
@pytest.mark.parametrize("threshold", ["-5", "-3.333", "-0.01"])
@pytest.mark.parametrize(("held", "worth"), [(1, 10_000), (7, 69_999), (300, 3_000_001)])
@pytest.mark.parametrize("starts_beyond", [True, False])
def test_the_bounds_are_the_very_prices_at_which_the_verdict_changes(
    direction: str, threshold: str, held: int, worth: int, *, starts_beyond: bool
) -> None:
    """Going on from any price, the next evaluation says something new at the first bound that is met, and not before."""
    start = 15_000 if (direction == "short") == starts_beyond else 5_000
    desk = Desk(loss_threshold_pct=Decimal(threshold), post_full_wait_minutes=50)
    desk.opens("A", held, 10_000, start, direction=direction, worth=worth)
    desk.change("A", average=(worth, held))
    desk.looks()
    found = quiet(desk.state, Now(Time(desk.at), desk.marks, lambda _: list(desk.groups.values())))
    assert found is not None
    ((instrument, (low, high)),) = found.inside.items()
    assert instrument == InstrumentId(desk.groups["A"].instrument.id)
    towards = low if low > 0 else high
    for price, news in ((towards + (1 if towards == low else -1), False), (towards, True)):
        desk.moves("A", price)
        assert bool(desk.looks()) == news, price
