"""What a bot makes of a signal."""

from decimal import Decimal
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.bot.commands import ActOnSignal, CreateBot, PauseBot, ReleaseGroup, ResumeBot, StartBot, StopBot, TakeEntry
from domain.bot.decider import DECIDER
from domain.bot.events import (
    AimTaken,
    AlertRefused,
    EntryDropped,
    EntryTaken,
    EntryWanted,
    ExitTaken,
    PyramidTaken,
    ReverseDropped,
    ReverseTaken,
)
from domain.bot.settings import GroupSettings, LegSettings, check_settings
from domain.errors import InputError
from domain.message import Event
from tests.spec import Story, given, instrument, kinds, let_in, settings


def bot(kind: Any = "spot") -> Story:
    story = given(DECIDER)
    story.when(CreateBot("dca", "main", kind, "dca_signals", instrument(), settings()))
    story.when(StartBot("dca"))
    return story


def signal(story: Story, action: Any, price: str | None = "100", last_close: Any = None) -> Event:
    return let_in(
        story, ActOnSignal("dca", "signals", 1, action, None if price is None else Decimal(price), last_close)
    )


def refusal(event: Event) -> str:
    assert isinstance(event, AlertRefused)
    return event.code


def test_an_entry_opens_the_next_group_with_the_settings_in_force() -> None:
    event = signal(bot(), "buy")
    assert isinstance(event, EntryTaken)
    assert (event.group, event.direction, event.entry, event.settings) == (1, "long", Decimal(100), settings())


def test_a_second_entry_on_a_live_group_is_refused_until_it_is_released() -> None:
    story = bot()
    signal(story, "buy")
    assert refusal(signal(story, "buy")) == "GROUP_LIVE"
    story.when(ReleaseGroup("dca", 1))
    event = signal(story, "buy")
    assert isinstance(event, EntryTaken)
    assert event.group == 2


def test_a_release_of_another_group_changes_nothing() -> None:
    story = bot()
    signal(story, "buy")
    assert story.when(ReleaseGroup("dca", 7)) == ()


def test_on_a_spot_account_a_sell_is_an_exit() -> None:
    story = bot()
    assert refusal(signal(story, "sell")) == "NOTHING_TO_EXIT"
    signal(story, "buy")
    event = signal(story, "sell", price="101", last_close=9900)
    assert isinstance(event, ExitTaken)
    assert (event.group, event.last_close) == (1, 9900)


def test_on_a_margin_account_a_sell_opens_a_short() -> None:
    event = signal(bot("margin"), "sell")
    assert isinstance(event, EntryTaken)
    assert event.direction == "short"


def test_without_a_price_the_last_close_is_the_entry() -> None:
    event = signal(bot(), "buy", price=None, last_close=12345)
    assert isinstance(event, EntryTaken)
    assert event.entry == Decimal("123.45")


def test_an_entry_without_any_price_is_refused() -> None:
    assert refusal(signal(bot(), "buy", price=None)) == "PRICE_UNKNOWN"


def test_an_entry_price_beyond_64_bits_is_refused() -> None:
    assert refusal(signal(bot(), "buy", price="1e30")) == "PRICE_TOO_LARGE"


def test_an_exit_is_never_refused_for_its_price() -> None:
    story = bot()
    signal(story, "buy")
    assert isinstance(signal(story, "exit", price="1e30"), ExitTaken)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"capital": Decimal(0)}, "group.capital is 0; allowed: above 0"),
        ({"capital": Decimal("NaN")}, "group.capital is NaN"),
        ({"max_pyramids": 0}, "group.max_pyramids is 0; allowed: 1 to 100"),
        ({"take_profit": "aggregate"}, "group.aggregate_take_profit_pct is missing; allowed: above 0"),
        (
            {"aggregate_take_profit_pct": Decimal(1)},
            "group.aggregate_take_profit_pct is 1; allowed: nothing where take",
        ),
        ({"stop_loss_pct": Decimal(100)}, "group.stop_loss_pct is 100; allowed: above 0 and below 100"),
        ({"trailing_stop_pct": Decimal(0)}, "group.trailing_stop_pct is 0"),
        ({"time_limit_minutes": 0}, "group.time_limit_minutes is 0; allowed: 1 to"),
        ({"legs": (LegSettings(Decimal(0), Decimal(100)),)}, "group.legs[0].take_profit_pct is missing"),
        ({"legs": ()}, "group.legs is []"),
        ({"legs": settings(("0", "40", "1")).legs}, "group.legs weight_pct is sum 40; allowed: a sum of exactly 100"),
        ({"legs": settings(("-100", "100", "1")).legs}, "group.legs[0].gap_pct is -100"),
        ({"legs": settings(("0", "100", "0")).legs}, "group.legs[0].take_profit_pct is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_key(changes: dict[str, Any], named: str) -> None:
    fields = {"capital": Decimal(1000), "legs": settings().legs, **changes}
    with pytest.raises(InputError) as refused:
        check_settings(GroupSettings(**fields))
    assert str(refused.value).startswith(named)


def pyramiding(kind: Any = "spot", **changes: Any) -> Story:
    story = given(DECIDER)
    story.when(CreateBot("dca", "main", kind, "dca_signals", instrument(), settings(**changes)))
    story.when(StartBot("dca"))
    return story


def test_a_signal_on_the_same_side_is_a_pyramid_up_to_the_limit() -> None:
    story = pyramiding(max_pyramids=2)
    signal(story, "buy")
    event = signal(story, "buy", price="98")
    assert isinstance(event, PyramidTaken)
    assert (event.group, event.entry) == (1, Decimal(98))
    assert refusal(signal(story, "buy")) == "GROUP_LIVE"


def test_a_signal_against_the_group_closes_it() -> None:
    story = pyramiding("margin")
    signal(story, "buy")
    assert kinds(story.when(against())) == ["ExitWanted", "ExitTaken"]
    assert kinds(story.when(ReleaseGroup("dca", 1))) == ["GroupReleased"]


def test_and_turns_the_other_way_where_that_is_wanted() -> None:
    story = pyramiding("margin", reverse=True)
    signal(story, "buy")
    assert kinds(story.when(against())) == ["ExitWanted", "ExitTaken", "ReverseTaken"]
    _, asks = story.when(ReleaseGroup("dca", 1))
    assert isinstance(asks, EntryWanted)
    assert (asks.direction, asks.price, asks.number) == ("short", Decimal(101), 2)


def turning(**changes: Any) -> Story:
    """A long that closes for signal 2, which waits to enter the other way."""
    story = pyramiding("margin", reverse=True, **changes)
    signal(story, "buy")
    assert kinds(story.when(against()))[-1] == "ReverseTaken"
    return story


def dropped(event: Event) -> tuple[int, str, str]:
    assert isinstance(event, ReverseDropped)
    return event.number, event.code, event.reason


def test_an_exit_withdraws_the_signal_that_waits_to_turn_and_says_so() -> None:
    story = turning()
    heard, drop, exits = story.when(ActOnSignal("dca", "signals", 3, "exit", None, None))
    assert kinds([heard, exits]) == ["ExitWanted", "ExitTaken"]
    assert dropped(drop) == (2, "REVERSE_WITHDRAWN", "exit signal signals/3")
    assert kinds(story.when(ReleaseGroup("dca", 1))) == ["GroupReleased"]


def test_a_newer_signal_takes_the_place_of_the_one_that_waits_to_turn() -> None:
    story = turning()
    happened = story.when(against(3))
    assert kinds(happened) == ["ExitWanted", "ReverseDropped", "ExitTaken", "ReverseTaken"]
    assert dropped(happened[1]) == (2, "REPLACED", "by signals/3")
    _, asks = story.when(ReleaseGroup("dca", 1))
    assert isinstance(asks, EntryWanted)
    assert asks.number == 3


def test_a_newer_signal_that_cannot_turn_itself_withdraws_the_one_that_waits() -> None:
    story = turning()
    unpriced = ActOnSignal("dca", "signals", 3, "sell", None, None)
    _, older, _, newer = story.when(unpriced)
    assert dropped(older) == (2, "REVERSE_WITHDRAWN", "exit signal signals/3")
    assert dropped(newer)[:2] == (3, "PRICE_UNKNOWN")
    assert kinds(story.when(ReleaseGroup("dca", 1))) == ["GroupReleased"]


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [(PauseBot("dca"), "BOT_PAUSED", "status=paused"), (StopBot("dca"), "BOT_NOT_RUNNING", "status=stopped")],
)
def test_a_bot_that_may_not_enter_when_its_group_has_closed_drops_the_turn(
    command: Any, code: str, reason: str
) -> None:
    story = turning()
    story.when(command)
    released, drop = story.when(ReleaseGroup("dca", 1))
    assert kinds([released]) == ["GroupReleased"]
    assert dropped(drop) == (2, code, reason)
    assert story.state.reverse is None


def test_a_pause_that_is_over_in_time_drops_nothing() -> None:
    story = turning()
    story.when(PauseBot("dca"))
    story.when(ResumeBot("dca"))
    assert kinds(story.when(ReleaseGroup("dca", 1))) == ["GroupReleased", "EntryWanted"]


def test_a_paused_bot_closes_and_says_that_it_does_not_turn() -> None:
    story = pyramiding("margin", reverse=True)
    signal(story, "buy")
    story.when(PauseBot("dca"))
    *exits, drop = story.when(against())
    assert kinds(exits) == ["ExitWanted", "ExitTaken"]
    assert dropped(drop) == (2, "BOT_PAUSED", "status=paused")


def test_a_bot_that_was_not_to_turn_drops_nothing() -> None:
    story = pyramiding("margin")
    signal(story, "buy")
    story.when(PauseBot("dca"))
    assert kinds(story.when(against())) == ["ExitWanted", "ExitTaken"]


@hypothesis.given(
    st.lists(st.sampled_from(["buy", "sell", "exit", "unpriced", "pause", "resume", "stop", "start", "release"]))
)
def test_every_signal_that_was_to_turn_enters_or_is_dropped_once(steps: list[str]) -> None:
    """None waits for a group that is over, and none goes without a word."""
    story, log = pyramiding("margin", reverse=True, max_pyramids=2), list[Event]()
    for number, step in enumerate([*steps, "release"], 1):
        happened = story.when(_step(story, step, number))
        log += happened
        for event in happened:
            if isinstance(event, EntryWanted):
                log += story.when(
                    TakeEntry("dca", event.source, event.number, event.direction, event.price, event.group)
                )
    turned = [event.number for event in log if isinstance(event, ReverseTaken)]
    asked = [event.number for event in log if isinstance(event, EntryWanted) and event.number in turned]
    given_up = [event.number for event in log if isinstance(event, ReverseDropped) and event.number in turned]
    assert sorted(asked + given_up) == sorted(turned)
    assert story.state.reverse is None


def _step(story: Story, step: str, number: int) -> Any:
    lives = {"pause": PauseBot, "resume": ResumeBot, "stop": StopBot, "start": StartBot}
    if step == "release":
        return ReleaseGroup("dca", story.state.live or 99)
    if step in lives:
        return lives[step]("dca")
    action = "sell" if step == "unpriced" else step
    return ActOnSignal("dca", "signals", number, action, None if step == "unpriced" else Decimal(100), None)  # type: ignore[arg-type]


def against(number: int = 2) -> ActOnSignal:
    return ActOnSignal("dca", "signals", number, "sell", Decimal(101), None)


def aim(number: int, target: str) -> ActOnSignal:
    return ActOnSignal("dca", "signals", number, "target", Decimal(100), None, "", Decimal(target))


def test_a_target_position_enters_with_its_own_size() -> None:
    event = let_in(pyramiding(), aim(1, "2.5009"))
    assert isinstance(event, EntryTaken)
    assert event.quantity == 2500  # of 2.5009, floored to the step


def test_a_target_position_of_nothing_is_an_exit_and_of_more_moves_the_group() -> None:
    story = pyramiding()
    let_in(story, aim(1, "2.5"))
    (moves,) = story.when(aim(2, "4"))
    assert isinstance(moves, AimTaken)
    assert (moves.group, moves.size) == (1, 4000)
    assert kinds(story.when(aim(3, "0"))) == ["ExitWanted", "ExitTaken"]


def test_a_target_position_on_the_other_side_turns() -> None:
    story = pyramiding("margin")
    let_in(story, aim(1, "2.5"))
    assert kinds(story.when(aim(2, "-1"))) == ["ExitWanted", "ExitTaken", "ReverseTaken"]
    _, asks = story.when(ReleaseGroup("dca", 1))
    assert isinstance(asks, EntryWanted)
    (entry,) = story.when(TakeEntry("dca", "signals", 2, "short", Decimal(100)))
    assert isinstance(entry, EntryTaken)
    assert (entry.direction, entry.quantity) == ("short", 1000)


def test_a_short_target_is_refused_on_a_spot_account() -> None:
    assert refusal(let_in(pyramiding(), aim(1, "-1"))) == "SHORT_ON_SPOT"


def test_what_the_pool_lets_in_too_late_is_dropped() -> None:
    story = pyramiding()
    story.when(ActOnSignal("dca", "signals", 1, "buy", Decimal(100), None))
    story.when(PauseBot("dca"))
    (late,) = story.when(TakeEntry("dca", "signals", 1, "long", Decimal(100)))
    assert isinstance(late, EntryDropped)
    assert late.code == "BOT_NOT_RUNNING"
