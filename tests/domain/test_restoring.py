"""Restoring: a core made from its log is the one that wrote it, though it looks only where something can have changed."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account.events import RiskLimitsSet, SessionStarted
from domain.deciders import DECIDERS, NOTHING, OWNERS, PAST
from domain.engine import Core
from domain.execution_pool.events import QueuedSignalReplaced, SignalQueued
from domain.message import Event, Record
from domain.portfolio_risk.decider import DECIDER as PORTFOLIO_RISK
from domain.position_group.decider import DECIDER as POSITION_GROUP
from domain.position_group.events import GroupClosed
from tests.domain.engine_floor import portrait
from tests.domain.lived import LIVES, Life, LivedFloor, live, plain_setup, rich_setup


def restored(records: list[Record[Event]], sizes: Sequence[int]) -> Core:
    """In batches of these sizes, over and over."""
    core, start, turn = Core(), 0, 0
    while start < len(records):
        size = sizes[turn % len(sizes)]
        core.restore_all(records[start : start + size])
        start, turn = start + size, turn + 1
    return core


def faults(floor: LivedFloor, sizes: Sequence[int] = (7,)) -> list[str]:
    """In which parts a restored core is not the one that wrote the log."""
    core = restored(floor.records, sizes)
    core.start_clock(floor.at)
    before, after = portrait(floor.core), portrait(core)
    return [part for part, seen in before.items() if after[part] != seen]


@given(LIVES, st.lists(st.integers(1, 50), min_size=1, max_size=3))
def test_it_does_not_matter_how_many_records_come_at_once(life: Life, sizes: list[int]) -> None:
    assert not faults(live(LivedFloor, *life), sizes)


@given(LIVES)
def test_only_events_that_say_so_end_an_aggregate_or_change_its_rounds(life: Life) -> None:
    states: dict[int, Any] = {}
    for record in live(LivedFloor, *life).records:
        decider = OWNERS[type(record.events[0])]
        state = states[record.stream] if record.stream in states else decider.initial()
        for event in record.events:
            before = _settled(decider, state)
            state = decider.folds[type(event)](state, event)
            if decider.settles is not None and type(event) not in decider.settles:
                assert _settled(decider, state) == before, event
        states[record.stream] = state


def _settled(decider: Any, state: Any) -> Any:
    if state is None:
        return False, None
    return decider.closed(state), None if decider.rounds is None else decider.rounds(state)


def test_every_event_of_every_aggregate_can_be_restored() -> None:
    assert set(PAST) == {event for decider in DECIDERS for event in decider.folds}


def test_a_stream_without_its_beginning_is_no_history() -> None:
    floor = live(LivedFloor, rich_setup(1), 1, 3)
    later = next(record for record in floor.records if record.version > 1)
    with pytest.raises(AssertionError, match="begins at version"):
        Core().restore(later)


UNSEEN: dict[str, list[type[Event]]] = {
    "what a group waits for": [event for event in POSITION_GROUP.folds if event is not GroupClosed],
    "that a group is over": [GroupClosed],
    "how often losses are looked at": [RiskLimitsSet, SessionStarted],
    "that an offset is switched on": list(PORTFOLIO_RISK.folds),
    "when a signal has waited too long": [SignalQueued, QueuedSignalReplaced],
}


@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_is_not_looked_at_would_be_found(unseen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    floors = [live(LivedFloor, rich_setup(number) if number % 3 else plain_setup(), number, 25) for number in range(10)]
    assert not any(map(faults, floors))
    for event in UNSEEN[unseen]:
        monkeypatch.setitem(cast("Any", PAST), event, (PAST[event][0], NOTHING))
    assert any(map(faults, floors))
