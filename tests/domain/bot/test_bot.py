"""What a bot makes of a signal."""

from decimal import Decimal
from typing import Any

import pytest

from domain.bot.commands import ActOnSignal, CreateBot, ReleaseGroup, StartBot
from domain.bot.decider import DECIDER
from domain.bot.events import AlertRefused, EntryTaken, ExitTaken
from domain.bot.settings import GroupSettings, check_settings
from domain.errors import InputError
from domain.message import Event
from tests.spec import Story, given, instrument, settings


def bot(kind: Any = "spot") -> Story:
    story = given(DECIDER)
    story.when(CreateBot("dca", "main", kind, "dca_signals", instrument(), settings()))
    story.when(StartBot("dca"))
    return story


def signal(story: Story, action: Any, price: str | None = "100", last_close: Any = None) -> Event:
    (event,) = story.when(
        ActOnSignal("dca", "signals", 1, action, None if price is None else Decimal(price), last_close)
    )
    return event


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
        ({"max_pyramids": 2}, "group.max_pyramids is 2; allowed: 1"),
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
