"""The execution pool: who may enter, who waits, and who comes next. Read from the top, it is the specification."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.account.events import AccountOpened
from domain.bot.commands import TakeEntry
from domain.bot.events import BotDeleted, EntryDropped, EntryTaken, EntryWanted, ExitWanted, GroupReleased
from domain.decider import Now
from domain.errors import InputError
from domain.execution_pool import commands as c
from domain.execution_pool import events as e
from domain.execution_pool.decider import DECIDER, RANKING_SHOWN
from domain.execution_pool.ranking import discount, rank
from domain.execution_pool.settings import PoolSettings, check_settings
from domain.execution_pool.state import PoolState, Waiting
from domain.message import Command, Event
from domain.policies import POLICIES
from domain.policies.deadlines import DEADLINES
from domain.values import Direction, InstrumentId, Price, Time
from tests.spec import BTC, instrument, kinds, settings

ETH, SOL, XRP = InstrumentId("ETH/USDT"), InstrumentId("SOL/USDT"), InstrumentId("XRP/USDT")
AT = Time(1_767_225_600_000_000)


class Desk:
    """The pool of account `main` with a past, and the market's last prices in cents; each `when` adds to the past."""

    def __init__(self, limit: int = 1, *, pyramids: bool = False, expiry: int | None = None) -> None:
        self.state: PoolState = DECIDER.initial()
        self.past: list[Event] = []
        self.marks: dict[InstrumentId, Price] = {}
        self.when(c.OpenPool("main"))
        self.when(c.ConfigurePool("main", PoolSettings(limit, pyramids, expiry)))

    def when(self, command: Command) -> tuple[Any, ...]:
        timed = DECIDER.timed.get(type(command))
        if timed is None:
            happened = DECIDER.rules[type(command)](self.state, command)
        else:
            happened = timed(self.state, command, Now(AT, self.marks))
        self.past += happened
        self.state = folded(happened, self.state)
        return happened

    def wants(self, number: int, name: InstrumentId = BTC, timeframe: str = "5m", **changes: Any) -> tuple[Any, ...]:
        """Signal `number` asks for a slot."""
        return self.when(request(number, name, timeframe, **changes))

    def opened(self, number: int, group: int, bot: str = "dca") -> tuple[Any, ...]:
        return self.when(c.AssignSlot("main", bot, "tv", number, group))

    def drops(self, number: int) -> tuple[Any, ...]:
        """What signal `number` had a slot for came to nothing."""
        return self.when(c.ReleaseSlot("main", "dca", "tv", number, "BOT_PAUSED: status=paused"))

    def promotes(self, number: int) -> tuple[Any, ...]:
        return self.when(c.PromoteSignal("main", "dca", "tv", number))

    @property
    def numbers(self) -> set[int]:
        """The signals that wait."""
        return {signal.number for signal in self.state.waiting.values()}

    def next(self) -> int:
        """Who comes in when the slot of signal 1 is free again."""
        promoted = next(event for event in self.drops(1) if isinstance(event, e.SignalPromoted))
        return promoted.number


def folded(events: Any, state: PoolState | None = None) -> PoolState:
    known: PoolState = DECIDER.initial() if state is None else state
    for event in events:
        known = DECIDER.folds[type(event)](known, event)
    return known


def request(number: int, name: InstrumentId = BTC, timeframe: str = "5m", **changes: Any) -> c.RequestSlot:
    fields: dict[str, Any] = {
        "account": "main", "bot": "dca", "source": "tv", "number": number, "instrument": name, "timeframe": timeframe,
        "direction": "long", "price": Decimal(100), "price_scale": 2, **changes,
    }  # fmt: skip
    return c.RequestSlot(**fields)


def full(*marks: tuple[InstrumentId, int], **options: Any) -> Desk:
    """A pool of one slot, which signal 1 on XRP has."""
    desk = Desk(**options)
    desk.wants(1, XRP)
    desk.marks.update({name: Price(mark) for name, mark in marks})
    return desk


# --- one pool per account ---------------------------------------------------------------------------------------------


def test_an_account_opens_with_its_pool() -> None:
    (policy,) = POLICIES[AccountOpened]
    assert policy(AccountOpened("main", "spot")) == (c.OpenPool("main"),)


def test_a_pool_opens_once_with_ten_slots_pyramids_exempt_and_no_expiry() -> None:
    state = DECIDER.initial()
    events = DECIDER.rules[c.OpenPool](state, c.OpenPool("main"))
    assert events == (e.PoolOpened("main", 1, PoolSettings(10, False, None)),)
    assert DECIDER.rules[c.OpenPool](folded(events), c.OpenPool("main")) == ()
    assert DECIDER.opens == {c.OpenPool, c.ConfigurePool, c.RequestSlot}
    assert not DECIDER.closed(folded(events))
    assert DECIDER.key(c.OpenPool("main")) == "main"


def test_an_account_older_than_pools_gets_its_pool_with_its_first_request() -> None:
    events = DECIDER.rules[c.RequestSlot](DECIDER.initial(), request(1))
    assert kinds(events) == ["PoolOpened", "SlotReserved"]
    reserved = e.SlotReserved("main", "dca", "tv", 1, BTC, "5m", "long", Decimal(100), 0, 1, 1)
    assert events[1] == reserved, "under the settings that the pool has just been opened with"
    state = folded(events)
    assert state.account == "main"
    assert kinds(DECIDER.rules[c.RequestSlot](state, request(2))) == ["SlotReserved"]


def test_settings_may_come_in_the_instant_of_the_account_before_its_pool_is_open() -> None:
    def first(settings: PoolSettings) -> tuple[Event, ...]:
        return DECIDER.timed[c.ConfigurePool](DECIDER.initial(), c.ConfigurePool("main", settings), Now(AT, {}))

    opened, five = e.PoolOpened("main", 1, PoolSettings()), PoolSettings(5)
    assert first(five) == (opened, e.PoolConfigured("main", 2, five))
    assert first(PoolSettings()) == (opened,)
    assert kinds(first(PoolSettings(0))) == ["PoolCommandRefused"]


# --- slots ------------------------------------------------------------------------------------------------------------


def test_while_slots_are_free_a_signal_gets_one_at_once() -> None:
    desk = Desk(limit=2)
    assert desk.wants(1, price=Decimal("99.5")) == (
        e.SlotReserved("main", "dca", "tv", 1, BTC, "5m", "long", Decimal("99.5"), 0, 1, 2),
    )
    (second,) = desk.wants(2, ETH)
    assert (type(second), second.reserved) == (e.SlotReserved, 2)
    assert kinds(desk.wants(3, SOL)) == ["SignalQueued"]


def test_ten_groups_may_be_open_unless_told_otherwise() -> None:
    state = folded([e.PoolOpened("main", 1, PoolSettings())])
    for number in range(1, 12):
        events = DECIDER.rules[c.RequestSlot](state, request(number, InstrumentId(f"A{number}/USDT")))
        assert kinds(events) == [("SlotReserved" if number <= 10 else "SignalQueued")]
        state = folded(events, state)


def test_a_signal_asks_once() -> None:
    desk = full()
    desk.wants(2)
    assert desk.wants(1, XRP) == ()
    assert desk.wants(2) == ()
    assert desk.wants(2, ETH) == (), "whatever else it says"
    assert kinds(desk.wants(2, ETH, source="other")) == ["SignalQueued"], "numbers count per source"
    assert kinds(desk.wants(2, SOL, bot="other")) == ["SignalQueued"]


def test_a_slot_becomes_the_groups_and_is_free_when_that_is_over() -> None:
    desk = full()
    assert desk.opened(1, 7) == (e.SlotAssigned("main", "dca", "tv", 1, 7),)
    assert desk.opened(1, 7) == ()
    assert desk.opened(2, 8) == (), "no slot of this signal"
    for bot, group in (("dca", 8), ("other", 7), ("dca", 0)):
        assert desk.when(c.ReleaseGroupSlots("main", bot, group, "group closed")) == ()
    assert desk.when(c.ReleaseGroupSlots("main", "dca", 7, "group closed")) == (
        e.SlotReleased("main", "dca", "tv", 1, 7, "group closed", 0, 2),
    )
    assert not desk.state.slots
    assert desk.when(c.ReleaseGroupSlots("main", "dca", 7, "group closed")) == ()


def test_an_entry_that_comes_to_nothing_gives_its_slot_back() -> None:
    desk = Desk(limit=2)
    desk.wants(1)
    desk.wants(2, ETH)
    assert desk.drops(1) == (e.SlotReleased("main", "dca", "tv", 1, 0, "BOT_PAUSED: status=paused", 1, 2),)
    assert desk.drops(1) == ()
    assert list(desk.state.slots) == [("dca", "tv", 2)]


# --- pyramids ---------------------------------------------------------------------------------------------------------


def test_pyramids_take_no_slot() -> None:
    desk = full()
    desk.opened(1, 7)
    assert desk.wants(2, XRP, group=7) == (
        e.SlotExempted("main", "dca", "tv", 2, XRP, "5m", "long", Decimal(100), 7, 2),
    )
    assert len(desk.state.slots) == 1
    assert desk.drops(2) == ()


def test_pyramids_take_a_slot_each_where_they_count_and_all_go_with_the_group() -> None:
    desk = Desk(limit=2, pyramids=True)
    desk.wants(1, XRP)
    desk.opened(1, 7)
    (second,) = desk.wants(2, XRP, group=7)
    assert (type(second), second.group, second.reserved) == (e.SlotReserved, 7, 2)
    assert kinds(desk.wants(3, XRP, group=7)) == ["SignalQueued"]
    desk.wants(4, BTC)
    events = desk.when(c.ReleaseGroupSlots("main", "dca", 7, "group closed"))
    released = [(event.number, event.reserved) for event in events if isinstance(event, e.SlotReleased)]
    assert released == [(1, 1), (2, 0)]
    reserved = [(event.number, event.reserved, event.group) for event in events if isinstance(event, e.SlotReserved)]
    assert reserved == [(3, 1, 7), (4, 2, 0)]


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_in_a_full_pool_the_signal_waits() -> None:
    desk = full(expiry=30)
    assert desk.wants(2, price=Decimal("99.5"), price_scale=3) == (
        e.SignalQueued("main", "dca", "tv", 2, BTC, "5m", "long", Decimal("99.5"), 3, 0, 1, 30, 2),
    )
    (third,) = desk.wants(3, ETH)
    assert third.place == 2


def test_a_newer_signal_of_the_instrument_and_timeframe_replaces_the_one_that_waits_and_counts() -> None:
    desk = full(expiry=30)
    desk.wants(2, direction="short", price=Decimal(98))
    desk.wants(3, ETH)
    assert desk.wants(4, price=Decimal("99.5"), bot="other", price_scale=3) == (
        e.QueuedSignalReplaced(
            "main", "other", "tv", 4, BTC, "5m", "long", Decimal("99.5"), 3, 0, 1, 0, 1, "dca", "tv", 2, 30, 2
        ),
    )
    (again,) = desk.wants(5)
    assert (again.replaced_bot, again.replaced_number, again.replacements, again.place) == ("other", 4, 2, 1)
    assert desk.numbers == {3, 5}


@pytest.mark.parametrize(("name", "timeframe"), [(BTC, "1h"), (ETH, "5m")])
def test_another_instrument_or_timeframe_waits_beside_it(name: InstrumentId, timeframe: str) -> None:
    desk = full()
    desk.wants(2)
    assert kinds(desk.wants(3, name, timeframe)) == ["SignalQueued"]
    assert desk.numbers == {2, 3}


# --- promotion --------------------------------------------------------------------------------------------------------


def test_a_slot_that_is_freed_lets_in_who_waits_in_the_same_decision_and_says_by_what_ranking() -> None:
    desk = full((BTC, 9900))
    desk.wants(2, ETH, price=Decimal(50), direction="short")
    desk.wants(3, BTC)
    desk.wants(4, BTC, price=Decimal("100.5"))
    desk.promotes(2)
    desk.promotes(4)
    released, promoted, reserved = desk.drops(1)
    assert kinds([released]) == ["SlotReleased"]
    assert promoted == e.SignalPromoted(
        "main", "dca", "tv", 4, BTC, "5m", 2,
        (
            e.Candidate("dca", "tv", 4, BTC, "5m", "long", 2, False, Decimal("100.5"), Decimal("99.00"), 1, 2),
            e.Candidate("dca", "tv", 2, ETH, "5m", "short", 1, False, Decimal(50), None, 0, 1),
        ),
        2,
    )  # fmt: skip
    assert reserved == e.SlotReserved("main", "dca", "tv", 4, BTC, "5m", "long", Decimal("100.5"), 0, 1, 2)
    assert desk.numbers == {2}


def test_the_ranking_shown_is_bounded_and_the_candidates_are_counted() -> None:
    desk = full()
    for number in range(2, RANKING_SHOWN + 5):
        desk.wants(number, InstrumentId(f"A{number}/USDT"))
    _, promoted, _ = desk.drops(1)
    assert promoted.candidates == RANKING_SHOWN + 3
    assert [each.number for each in promoted.ranking] == list(range(2, RANKING_SHOWN + 2))
    assert RANKING_SHOWN == 20


def test_several_slots_freed_at_once_let_in_several_each_ranked_against_those_left() -> None:
    desk = full((BTC, 9900), (ETH, 9800), (SOL, 9950))
    for number, name in enumerate((BTC, ETH, SOL), 2):
        desk.wants(number, name)
    events = desk.when(c.ConfigurePool("main", PoolSettings(3)))
    assert kinds(events) == ["PoolConfigured", "SignalPromoted", "SlotReserved", "SignalPromoted", "SlotReserved"]
    assert [event.number for event in events if isinstance(event, e.SignalPromoted)] == [3, 2]
    assert [event.candidates for event in events if isinstance(event, e.SignalPromoted)] == [3, 2]
    assert desk.numbers == {4}


def test_first_comes_what_goes_on_with_a_live_group_of_its_instrument_timeframe_and_side() -> None:
    desk = Desk(limit=2)
    desk.wants(1, XRP)
    desk.wants(2, BTC, "1h")
    desk.opened(2, 1)
    desk.marks[ETH] = Price(1)
    desk.wants(3, ETH)
    desk.wants(4, BTC)
    desk.wants(5, XRP, direction="short")
    desk.wants(6, BTC, "1h", bot="other")
    desk.promotes(6)
    assert {each.number for each in rank(desk.state, {}) if each.continues} == {6}
    assert desk.next() == 6


def test_a_pyramid_goes_on_with_its_own_group_whatever_its_timeframe() -> None:
    desk = Desk(pyramids=True)
    desk.wants(1, XRP)
    desk.opened(1, 1)
    desk.wants(2, XRP, "1h", group=1)
    desk.wants(3, XRP, "2h", group=2)
    desk.wants(4, XRP, "3h", group=1, bot="other")
    desk.wants(5, XRP, "4h")
    assert {each.number: each.continues for each in rank(desk.state, {})} == {2: True, 3: False, 4: False, 5: False}


def test_a_new_entry_does_not_go_on_with_another_entry_under_way() -> None:
    desk = full()
    desk.wants(2, BTC)
    assert [each.continues for each in rank(desk.state, {})] == [False]


def test_a_continuation_comes_before_the_deepest_discount() -> None:
    desk = Desk(limit=2)
    desk.wants(1, XRP)
    desk.wants(2, BTC)
    desk.marks.update({ETH: Price(5000), BTC: Price(12000)})
    desk.wants(3, ETH)
    desk.wants(4, BTC)
    assert desk.next() == 4


@pytest.mark.parametrize(
    ("direction", "mark", "depth"),
    [
        ("long", 9900, Fraction(1, 100)),
        ("long", 10100, Fraction(-1, 100)),
        ("short", 10100, Fraction(1, 100)),
        ("short", 9900, Fraction(-1, 100)),
        ("long", 10000, Fraction(0)),
    ],
)
def test_the_discount_is_how_far_the_market_is_below_the_price_of_a_long_and_above_that_of_a_short(
    direction: Direction, mark: int, depth: Fraction
) -> None:
    assert discount(direction, Decimal(100), Decimal(mark) / 100) == depth


def test_then_comes_the_deepest_discount_in_proportion_to_the_price() -> None:
    desk = full((BTC, 9900), (ETH, 90), (SOL, 10200))
    desk.wants(2, BTC)
    desk.wants(3, ETH, price=Decimal(1))
    desk.wants(4, SOL, direction="short")
    assert [each.number for each in rank(desk.state, desk.marks)] == [3, 4, 2]
    assert desk.next() == 3


def test_the_discount_is_exact_beyond_any_rounding() -> None:
    desk = full((BTC, 10**17), (ETH, 10**17))
    desk.wants(2, BTC, price=Decimal(f"1{'0' * 30}00"))
    desk.wants(3, ETH, price=Decimal(f"1{'0' * 30}01"))
    assert desk.next() == 3


def test_prices_count_in_the_scale_of_their_instrument() -> None:
    desk = full((BTC, 9900), (ETH, 99500))
    desk.wants(2, ETH, price_scale=3)
    desk.wants(3, BTC)
    assert [each.mark for each in rank(desk.state, desk.marks)] == [Decimal("99.00"), Decimal("99.500")]


def test_a_signal_whose_market_is_not_known_comes_behind_one_that_has_become_dearer() -> None:
    desk = full((ETH, 20000))
    desk.wants(2, BTC)
    desk.wants(3, BTC)
    desk.wants(4, ETH)
    assert desk.next() == 4


def test_then_come_the_most_replacements() -> None:
    desk = full((BTC, 9900), (ETH, 9900), (SOL, 9900))
    for number, name in enumerate((SOL, BTC, ETH, ETH, BTC, ETH), 2):
        desk.wants(number, name)
    ranking = rank(desk.state, desk.marks)
    assert [(each.replacements, each.preferred) for each in ranking] == [(2, 0), (1, 0), (0, 0)]
    assert desk.next() == 7


def test_then_the_oldest_by_when_its_place_was_first_taken() -> None:
    desk = full((BTC, 9900), (ETH, 9900))
    desk.wants(2, ETH)
    desk.wants(3, BTC)
    desk.wants(4, BTC)
    desk.wants(5, ETH)
    assert desk.next() == 5


def test_places_count_on_when_a_signal_has_gone() -> None:
    desk = full()
    desk.wants(2, ETH)
    desk.when(c.ExpireSignal("main", "dca", "tv", 2))
    (queued,) = desk.wants(3, BTC)
    assert queued.place == 2


# --- what ends the waiting --------------------------------------------------------------------------------------------


def test_a_signal_expires_if_it_still_waits_then() -> None:
    desk = full(expiry=30)
    desk.wants(2)
    desk.wants(3, ETH)
    desk.wants(4)
    assert desk.when(c.ExpireSignal("main", "dca", "tv", 2)) == (), "replaced"
    assert desk.when(c.ExpireSignal("main", "dca", "tv", 4)) == (e.SignalExpired("main", "dca", "tv", 4, BTC, "5m", 2),)
    assert desk.numbers == {3}
    assert desk.next() == 3
    assert desk.when(c.ExpireSignal("main", "dca", "tv", 3)) == (), "promoted"


def test_the_timer_is_set_when_it_queues_and_anew_when_it_replaces_under_the_settings_then_in_force() -> None:
    desk = full(expiry=30)
    (queued,) = desk.wants(2)
    minute = 60_000_000
    assert list(DEADLINES[e.SignalQueued](queued, AT)) == [(AT + 30 * minute, c.ExpireSignal("main", "dca", "tv", 2))]
    desk.when(c.ConfigurePool("main", PoolSettings(1, queue_expiry_minutes=5)))
    (replaced,) = desk.wants(3)
    assert replaced.settings_version == 3
    assert list(DEADLINES[e.QueuedSignalReplaced](replaced, AT)) == [
        (AT + 5 * minute, c.ExpireSignal("main", "dca", "tv", 3))
    ]
    desk.when(c.ConfigurePool("main", PoolSettings(1)))
    (forever,) = desk.wants(4)
    assert list(DEADLINES[e.QueuedSignalReplaced](forever, AT)) == []


def test_an_exit_signal_removes_what_waits_on_its_instrument_and_timeframe() -> None:
    desk = full()
    desk.wants(2, BTC, "1h")
    desk.wants(3, ETH)
    desk.wants(4, BTC)
    assert desk.when(c.RemoveOnExit("main", BTC, "5m", "tv", 5)) == (
        e.SignalRemoved("main", "dca", "tv", 4, BTC, "5m", "exit signal tv/5", 2),
    )
    assert desk.when(c.RemoveOnExit("main", BTC, "5m", "tv", 5)) == ()
    assert desk.numbers == {2, 3}


def test_what_waits_for_a_bot_goes_with_the_bot() -> None:
    desk = full()
    desk.wants(2, BTC)
    desk.wants(3, ETH, bot="other")
    desk.wants(4, SOL)
    assert reactions(BotDeleted("dca", "main")) == [c.RemoveOfBot("main", "dca")]
    assert desk.when(c.RemoveOfBot("main", "dca")) == (
        e.SignalRemoved("main", "dca", "tv", 2, BTC, "5m", "bot deleted", 2),
        e.SignalRemoved("main", "dca", "tv", 4, SOL, "5m", "bot deleted", 2),
    )
    assert desk.numbers == {3}
    assert desk.when(c.RemoveOfBot("main", "dca")) == ()


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_removed_by_hand_with_the_reason_given() -> None:
    desk = full()
    desk.wants(2)
    assert desk.when(c.RemoveSignal("main", "dca", "tv", 2, "news")) == (
        e.SignalRemoved("main", "dca", "tv", 2, BTC, "5m", "news", 2),
    )
    (refused,) = desk.when(c.RemoveSignal("main", "dca", "tv", 2, "news"))
    assert refused == e.PoolCommandRefused("main", "remove", "NOT_WAITING", "signal tv/2 of bot dca does not wait")


def test_promoted_by_hand_it_gets_the_next_slot_whatever_its_rank() -> None:
    desk = full((BTC, 1))
    desk.wants(2, BTC)
    desk.wants(3, ETH)
    assert desk.promotes(3) == (e.SignalPreferred("main", "dca", "tv", 3, ETH, "5m", 1, 2),)
    assert len(desk.state.slots) == 1, "never more than the limit"
    assert desk.promotes(3) == (), "it is the first already"
    assert desk.next() == 3
    (refused,) = desk.promotes(3)
    assert refused == e.PoolCommandRefused("main", "promote", "NOT_WAITING", "signal tv/3 of bot dca does not wait")


def test_of_several_promoted_by_hand_the_last_leads() -> None:
    desk = full()
    for number, name in enumerate((BTC, ETH, SOL), 2):
        desk.wants(number, name)
    desk.promotes(2)
    desk.promotes(3)
    (event,) = desk.promotes(2)
    assert event.preferred == 3
    assert [each.number for each in rank(desk.state, {})] == [2, 3, 4]


def test_a_replacement_stays_promoted_unless_it_is_of_the_other_side() -> None:
    desk = full()
    desk.wants(2)
    desk.promotes(2)
    (same,) = desk.wants(3)
    assert same.preferred == 1
    assert [(each.number, each.preferred) for each in rank(desk.state, {})] == [(3, 1)]
    (other,) = desk.wants(4, direction="short")
    assert other.preferred == 0
    assert desk.promotes(4)[0].preferred == 2


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_change_at_run_time_with_a_version_that_later_decisions_name() -> None:
    desk = Desk()
    changed = PoolSettings(2, True, 15)
    assert desk.when(c.ConfigurePool("main", changed)) == (e.PoolConfigured("main", 3, changed),)
    assert desk.when(c.ConfigurePool("main", changed)) == ()
    (reserved,) = desk.wants(1)
    assert reserved.settings_version == 3


def test_a_lower_limit_closes_nothing_and_lets_nobody_in_until_it_is_met() -> None:
    desk = Desk(limit=3)
    for number, name in enumerate((XRP, BTC, ETH), 1):
        desk.wants(number, name)
    assert kinds(desk.when(c.ConfigurePool("main", PoolSettings(2)))) == ["PoolConfigured"]
    assert kinds(desk.wants(4, SOL)) == ["SignalQueued"]
    assert kinds(desk.drops(1)) == ["SlotReleased"]
    assert kinds(desk.drops(2)) == ["SlotReleased", "SignalPromoted", "SlotReserved"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (PoolSettings(0), "pool.max_open_groups is 0; allowed: 1 to 1000"),
        (PoolSettings(1001), "pool.max_open_groups is 1001; allowed: 1 to 1000"),
        (PoolSettings(queue_expiry_minutes=0), "pool.queue_expiry_minutes is 0; allowed: 1 to 525600"),
        (PoolSettings(queue_expiry_minutes=525_601), "pool.queue_expiry_minutes is 525601; allowed: 1 to 525600"),
    ],
)
def test_settings_that_make_no_sense_are_refused_on_the_log(bad: PoolSettings, says: str) -> None:
    desk = Desk()
    with pytest.raises(InputError, match=says):
        check_settings(bad)
    refused = e.PoolCommandRefused("main", "configure", "SETTINGS_INVALID", says)
    assert desk.when(c.ConfigurePool("main", bad)) == (refused,)
    assert desk.state.settings == PoolSettings(1)


@pytest.mark.parametrize("good", [PoolSettings(1, False, 1), PoolSettings(1000, True, 525_600), PoolSettings()])
def test_settings_at_their_bounds_are_taken(good: PoolSettings) -> None:
    assert check_settings(good) == good


# --- the way of a signal between the bot and the pool -----------------------------------------------------------------


def test_what_a_bot_wants_is_asked_of_the_pool_and_what_the_pool_lets_in_is_taken() -> None:
    wanted = EntryWanted("dca", "main", "tv", 1, BTC, "5m", "short", Decimal("99.5"), 2, 7)
    asked = request(1, direction="short", price=Decimal("99.5"), group=7)
    assert reactions(wanted) == [asked]
    taken = TakeEntry("dca", "tv", 1, "short", Decimal("99.5"), 7)
    assert reactions(e.SlotReserved("main", "dca", "tv", 1, BTC, "5m", "short", Decimal("99.5"), 7, 1, 1)) == [taken]
    assert reactions(e.SlotExempted("main", "dca", "tv", 1, BTC, "5m", "short", Decimal("99.5"), 7, 1)) == [taken]


def test_what_becomes_of_the_entry_is_told_to_the_pool() -> None:
    entered = EntryTaken("dca", 7, "main", "tv", 1, "long", Decimal(100), instrument(), settings())
    assert c.AssignSlot("main", "dca", "tv", 1, 7) in reactions(entered)
    dropped = EntryDropped("dca", "tv", 1, "BOT_PAUSED", "status=paused", "main")
    assert reactions(dropped) == [c.ReleaseSlot("main", "dca", "tv", 1, "BOT_PAUSED: status=paused")]
    closed = c.ReleaseGroupSlots("main", "dca", 7, "group closed")
    assert closed in reactions(GroupReleased("dca", 7, "main"))
    wanted = ExitWanted("dca", "main", "tv", 2, BTC, "5m")
    assert reactions(wanted) == [c.RemoveOnExit("main", BTC, "5m", "tv", 2)]


def reactions(event: Event) -> list[Command]:
    return [command for policy in POLICIES[type(event)] for command in policy(event)]


# --- the laws ---------------------------------------------------------------------------------------------------------

NAMES = [BTC, ETH, SOL]


class Pool(RuleBasedStateMachine):
    """Signals, releases, exits, timers, hands and new settings in any order, against a count of each signal's fate."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(limit=2)
        self.number = 0
        self.groups = 0
        self.live: dict[int, int] = {}

    def do(self, command: Command) -> None:
        before = self.desk.state
        events = self.desk.when(command)
        self.ranked_right(before, events)
        for event in events:  # what the bot makes of the news, some time after
            if isinstance(event, e.SlotReleased):
                self.live.pop(event.number, None)

    def ranked_right(self, state: PoolState, events: tuple[Event, ...]) -> None:
        """Each promotion was of the one that a plain comparison of all pairs says nobody beats."""
        for event in events:
            if isinstance(event, e.SignalPromoted):
                best = state.find((event.bot, event.source, event.number))
                assert best is not None
                others = [each for each in state.waiting.values() if each is not best]
                assert not any(beats(state, each, best, self.desk.marks) for each in others)
                assert all(beats(state, best, each, self.desk.marks) for each in others)
                assert event.candidates == len(state.waiting) == len(event.ranking)
            state = folded([event], state)

    @rule(name=st.sampled_from(NAMES), timeframe=st.sampled_from(["5m", "1h"]), data=st.data())
    def signal(self, name: InstrumentId, timeframe: str, data: st.DataObject) -> None:
        self.number += 1
        group = data.draw(st.sampled_from([0, 0, 0, *self.live.values()]))
        direction: Any = data.draw(st.sampled_from(["long", "short"]))
        price = Decimal(data.draw(st.integers(90, 110)))
        self.do(request(self.number, name, timeframe, direction=direction, price=price, group=group))

    @rule(data=st.data())
    @precondition(lambda self: self.entering)
    def open_group(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.entering))
        self.groups += 1
        self.live[number] = self.groups
        self.do(c.AssignSlot("main", "dca", "tv", number, self.groups))

    @rule(data=st.data())
    @precondition(lambda self: self.entering)
    def drop(self, data: st.DataObject) -> None:
        self.do(c.ReleaseSlot("main", "dca", "tv", data.draw(st.sampled_from(self.entering)), "refused"))

    @rule(data=st.data())
    @precondition(lambda self: self.live)
    def close_group(self, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(list(self.live.values())))
        self.do(c.ReleaseGroupSlots("main", "dca", group, "group closed"))
        assert all(slot.group != group for slot in self.desk.state.slots.values()) or self.pyramids_came(group)

    def pyramids_came(self, group: int) -> bool:
        """A pyramid that waited may come in on its group's own slot; the bot will drop it."""
        return any(isinstance(event, e.SlotReserved) and event.group == group for event in self.desk.past)

    @rule(name=st.sampled_from(NAMES), mark=st.integers(9000, 11000))
    def price(self, name: InstrumentId, mark: int) -> None:
        self.desk.marks[name] = Price(mark)

    @rule(number=st.integers(1, 30))
    def timer(self, number: int) -> None:
        self.do(c.ExpireSignal("main", "dca", "tv", number))

    @rule(name=st.sampled_from(NAMES))
    def exit_signal(self, name: InstrumentId) -> None:
        self.do(c.RemoveOnExit("main", name, "5m", "tv", 0))

    @rule(number=st.integers(1, 30))
    def promote(self, number: int) -> None:
        self.do(c.PromoteSignal("main", "dca", "tv", number))

    @rule(number=st.integers(1, 30))
    def remove(self, number: int) -> None:
        self.do(c.RemoveSignal("main", "dca", "tv", number, "hand"))

    @rule(limit=st.integers(0, 4), pyramids=st.booleans(), expiry=st.sampled_from([None, 5]))
    def configure(self, limit: int, pyramids: bool, expiry: int | None) -> None:
        self.do(c.ConfigurePool("main", PoolSettings(limit, pyramids, expiry)))

    @rule(number=st.integers(1, 30))
    def repeat(self, number: int) -> None:
        """What waits or has a slot asks again, and nothing comes of it."""
        known = {each for _, _, each in self.desk.state.slots} | self.desk.numbers
        if number in known:
            assert self.desk.wants(number) == ()

    @rule()
    def restart(self) -> None:
        self.desk.state = folded(self.desk.past)

    @property
    def entering(self) -> list[int]:
        return [number for (_, _, number), slot in self.desk.state.slots.items() if not slot.group]

    @invariant()
    def a_reservation_never_passes_the_limit(self) -> None:
        limit, used = 10, 0
        for event in self.desk.past:
            if isinstance(event, e.PoolConfigured):
                limit = event.settings.max_open_groups
            elif isinstance(event, e.SlotReserved):
                used += 1
                assert used == event.reserved <= limit
            elif isinstance(event, e.SlotReleased):
                used -= 1
                assert used == event.reserved
        assert used == len(self.desk.state.slots)

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        assert not (self.desk.state.free and self.desk.state.waiting)

    @invariant()
    def nothing_waits_twice_and_what_has_a_slot_does_not_wait(self) -> None:
        keys = [(each.bot, each.source, each.number) for each in self.desk.state.waiting.values()]
        assert len(keys) == len(set(keys))
        assert not set(keys) & set(self.desk.state.slots)
        for place, each in self.desk.state.waiting.items():
            assert place == (each.instrument, each.timeframe)

    @invariant()
    def every_signal_has_one_fate(self) -> None:
        """Let in at once; or queued, and then promoted, replaced, expired or removed, or still waiting."""
        let_in: list[int] = []
        waits: set[int] = set()
        for event in self.desk.past:
            if isinstance(event, e.SignalQueued | e.QueuedSignalReplaced):
                assert event.number not in waits
                waits.add(event.number)
                if isinstance(event, e.QueuedSignalReplaced):
                    waits.remove(event.replaced_number)
            elif isinstance(event, e.SignalPromoted | e.SignalExpired | e.SignalRemoved):
                waits.remove(event.number)
            elif isinstance(event, e.SlotReserved | e.SlotExempted):
                let_in.append(event.number)
        assert waits == self.desk.numbers
        assert len(let_in) == len(set(let_in))
        assert not set(let_in) & waits

    @invariant()
    def the_log_is_the_state(self) -> None:
        assert folded(self.desk.past) == self.desk.state


def beats(state: PoolState, one: Waiting, other: Waiting, marks: Mapping[InstrumentId, Price]) -> bool:
    """The rules of rank told one after the other, in words of their own."""
    if one.preferred != other.preferred:
        return one.preferred > other.preferred
    live = {(slot.instrument, slot.timeframe, slot.direction) for slot in state.slots.values()}
    groups = {slot.group for slot in state.slots.values()} - {0}
    goes_on = [
        (each.instrument, each.timeframe, each.direction) in live or each.group in groups for each in (one, other)
    ]
    if goes_on[0] != goes_on[1]:
        return goes_on[0]
    seen = [marks.get(each.instrument) for each in (one, other)]
    if None in seen and seen != [None, None]:
        return seen[0] is not None
    if None not in seen:
        # Gains per hundred of price, cross-multiplied: no division.
        gains = [
            (int(each.price * 100) - int(mark or 0)) * (1 if each.direction == "long" else -1)
            for each, mark in zip((one, other), seen, strict=True)
        ]
        left, right = gains[0] * int(other.price), gains[1] * int(one.price)
        if left != right:
            return left > right
    return (one.replacements, -one.place) > (other.replacements, -other.place)


TestPool = Pool.TestCase
TestPool.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
