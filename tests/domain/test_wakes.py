"""Watches: the bounds that an instrument is watched by are those of everybody who waits, whoever came and went."""

from hypothesis import given
from hypothesis import strategies as st

from domain.ports import Mark
from domain.position_group.commands import ReviewGuards
from domain.values import LARGEST, InstrumentId, Price, Time
from domain.wakes import Timers, Watch, Watches

BTC = InstrumentId("BTC/USDT")
LEVELS = st.integers(1, 6)
WANTED = st.none() | st.builds(
    lambda below, above: Watch(BTC, below, above),
    st.just(-LARGEST) | LEVELS,
    st.just(LARGEST) | st.integers(5, 10),
)
PUTS = st.lists(st.tuples(st.integers(1, 4), WANTED), max_size=40)


@given(PUTS)
def test_the_bounds_are_the_tightest_of_all_who_wait(puts: list[tuple[int, Watch | None]]) -> None:
    watched: dict[InstrumentId, tuple[int, int]] = {}
    watches, expected = Watches(watched), dict[int, Watch]()
    for group, watch in puts:
        watches.put(("dca", group), BTC, watch)
        if watch is None:
            expected.pop(group, None)
        else:
            expected[group] = watch
        if expected:
            bounds = max(each.below for each in expected.values()), min(each.above for each in expected.values())
            assert watched == {BTC: bounds}
        else:
            assert not watched
        for price in range(11):
            met = [(("dca", key), each) for key, each in expected.items() if price <= each.below or price >= each.above]
            assert watches.reached(Mark(BTC, Price(price))) == met


@given(PUTS)
def test_who_waits_is_told_in_the_order_in_which_they_began(puts: list[tuple[int, Watch | None]]) -> None:
    watches, expected = Watches({}), list[int]()
    for group, watch in puts:
        watches.put(("dca", group), BTC, watch)
        if watch is None or group not in expected:
            expected = [each for each in expected if each != group] + ([group] if watch else [])
    everybody = {("dca", group) for group in range(1, 5)}
    assert watches.waiting(everybody).get(BTC, []) == [("dca", group) for group in expected]
    assert watches.waiting({("dca", 1)}).get(BTC, []) == [("dca", 1)] * (1 in expected)


@given(st.lists(st.integers(0, 3), max_size=20))
def test_timers_are_told_in_the_order_in_which_they_come(dues: list[int]) -> None:
    timers = Timers()
    for number, due in enumerate(dues):
        timers.put(Time(due), ReviewGuards("dca", number), (1, number))
    told = [(each.command, each.cause) for each in timers.waiting()]
    assert told == timers.take(Time(3))
    assert not timers.waiting()
