"""How much an entry may cost: a fixed capital, a percent of the equity, or what the group's stop may lose."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bot.commands import ActOnSignal, CreateBot, StartBot, TakeEntry
from domain.bot.decider import DECIDER
from domain.bot.events import EntryDropped, EntrySized, EntryTaken, PyramidTaken
from domain.bot.settings import GroupForm, GroupSettings, LegSettings, Sizing, check_settings, form_of, settings_of
from domain.errors import InputError
from domain.market import Instrument, make_instrument
from domain.message import Event
from domain.position_group.commands import AddPyramid, OpenGroup, RecordFill, ReviewGuards
from domain.position_group.decider import DECIDER as GROUP
from domain.position_group.events import GroupOpened, GuardSet, Leg, PyramidAdded
from domain.position_group.plan import plan_legs
from domain.values import LARGEST, Cash, Price, Quantity, Time
from tests import spec
from tests.spec import BTC, USDT, Story, instrument, kinds, let_in, opened_account, settings

ONE = ("0", "100", "1")
AT = {BTC: 10000}
"""100.00"""


def bot(kind: Any = "spot", listed: Instrument | None = None, **size: Any) -> Story:
    story = spec.given(DECIDER)
    sized = settings(ONE, **size)
    story.when(CreateBot("dca", "main", kind, "dca_signals", listed or instrument(), sized))
    story.when(StartBot("dca"))
    return story


def take(story: Story, group: int = 0, direction: Any = "long", **now: Any) -> tuple[Event, ...]:
    return story.when(TakeEntry("dca", "signals", 1, direction, Decimal(100), group), **now)


def entered(happened: tuple[Event, ...]) -> tuple[EntrySized, GroupSettings]:
    """What the entry may cost, and the settings that it was taken with."""
    sized, taken = happened
    assert isinstance(sized, EntrySized)
    assert isinstance(taken, EntryTaken | PyramidTaken)
    return sized, taken.settings


def refusal(happened: tuple[Event, ...]) -> tuple[str, str]:
    (dropped,) = happened
    assert isinstance(dropped, EntryDropped)
    return dropped.code, dropped.reason


def holding(cash: str, position: int, **changes: Any) -> Any:
    """An account's state; the position is in thousandths."""
    return opened_account(cash, position=position, **changes).state


# --- what it comes to ------------------------------------------------------------------------------------------------


def test_a_fixed_capital_is_taken_as_it_is() -> None:
    (taken,) = take(bot(capital="750"))
    assert isinstance(taken, EntryTaken)
    assert taken.settings == settings(ONE, capital="750")


def test_a_percent_of_the_equity_counts_cash_and_what_is_held_at_the_last_price() -> None:
    happened = take(bot(capital_pct_of_equity="5"), account=holding("10000", 2000), marks=AT)
    sized, taken = entered(happened)
    assert sized == EntrySized(
        "dca", 1, "main", "signals", 1, USDT, Sizing("capital_pct_of_equity", Decimal(5)), Cash(10_200 * 10**8),
        ((BTC, Price(10000)),), None, None, Cash(510 * 10**8),
    )  # fmt: skip
    assert (taken.capital, taken.sizing) == (Decimal(510), Sizing("capital_pct_of_equity", Decimal(5)))


def test_a_short_position_counts_against_the_equity() -> None:
    happened = take(bot("margin", capital_pct_of_equity="5"), account=holding("10000", -2000), marks=AT)
    assert entered(happened)[1].capital == 490


def test_what_other_bots_and_nobody_hold_counts_too_and_what_is_flat_needs_no_price() -> None:
    other = make_instrument("ETH/USDT", Decimal("0.1"), Decimal("0.01"), Decimal(5))
    flat = make_instrument("XRP/USDT", Decimal("0.1"), Decimal("0.01"), Decimal(5))
    account = opened_account("1000", position=1000)
    for listed, held in ((other, 300), (flat, 0)):
        account.state.listings[listed.id] = msgspec.structs.replace(account.state.listings[BTC], instrument=listed)
        account.state.positions[listed.id] = held
    happened = take(bot(capital_pct_of_equity="10"), account=account.state, marks={**AT, "ETH/USDT": 500})
    assert entered(happened)[0].equity == (1000 + 100 + 150) * 10**8
    assert entered(happened)[0].marks == ((BTC, 10000), ("ETH/USDT", 500))


def test_a_risk_of_the_equity_is_what_the_stop_may_lose() -> None:
    story = bot(risk_pct_of_equity="1", stop_loss_pct=Decimal(4))
    sized, taken = entered(take(story, account=holding("10000", 2000), marks=AT))
    assert (sized.equity, sized.risk, sized.stop_loss_pct) == (10_200 * 10**8, 102 * 10**8, Decimal(4))
    assert taken.capital == 2550  # of which 4 % are 102


def test_a_risk_by_amount_needs_neither_account_nor_prices() -> None:
    sized, taken = entered(take(bot(risk_amount="50", stop_loss_pct=Decimal("2.5"))))
    assert (sized.equity, sized.marks, sized.risk) == (None, (), 50 * 10**8)
    assert taken.capital == 2000


def test_each_pyramid_is_sized_by_the_equity_of_its_own_moment() -> None:
    story = bot(capital_pct_of_equity="10", max_pyramids=3)
    first = entered(take(story, account=holding("10000", 1000), marks={BTC: 10000}))
    second = entered(take(story, 1, account=holding("10000", 1000), marks={BTC: 20000}))
    third = entered(take(story, 1, account=holding("5000", 1000), marks={BTC: 20000}))
    assert [taken.capital for _, taken in (first, second, third)] == [1010, 1020, 520]
    assert {sized.group for sized, _ in (first, second, third)} == {1}


def test_a_target_position_has_its_own_size_whatever_the_equity() -> None:
    story = bot(capital_pct_of_equity="10")
    event = let_in(story, ActOnSignal("dca", "signals", 1, "target", Decimal(100), None, "", Decimal("2.5")))
    assert isinstance(event, EntryTaken)
    assert (event.quantity, event.settings.capital) == (2500, None)


# --- what cannot be sized --------------------------------------------------------------------------------------------


def test_a_holding_without_a_price_refuses_the_signal_with_its_name() -> None:
    story = bot(capital_pct_of_equity="5")
    assert refusal(take(story, account=holding("10000", 1), marks={})) == ("MARK_UNKNOWN", "instrument=BTC/USDT")
    assert kinds(take(story, account=holding("10000", 0), marks={})) == ["EntrySized", "EntryTaken"]


def test_a_holding_in_another_currency_refuses_the_signal() -> None:
    account = holding("10000", 0)
    other = make_instrument("ETH/EUR", Decimal("0.1"), Decimal("0.01"), Decimal(5))
    account.listings[other.id] = msgspec.structs.replace(account.listings[BTC], instrument=other)
    account.positions[other.id] = 1
    happened = take(bot(risk_pct_of_equity="5", stop_loss_pct=Decimal(1)), account=account, marks={"ETH/EUR": 1})
    assert refusal(happened) == ("CURRENCY_DIFFERENT", "held=ETH/EUR, quote=EUR, currency=USDT")


def test_an_account_that_is_not_there_refuses_the_signal() -> None:
    assert refusal(take(bot(capital_pct_of_equity="5"))) == ("ACCOUNT_UNKNOWN", "account=main")


@pytest.mark.parametrize(
    ("cash", "said"), [("0.1", "equity=0"), ("0.09999999", "equity=-0.00000001"), ("0.10000001", None)]
)
def test_an_equity_of_nothing_or_less_refuses_the_signal(cash: str, said: str | None) -> None:
    """0.001 are short at 100.00."""
    happened = take(bot("margin", capital_pct_of_equity="100"), account=holding(cash, -1), marks=AT)
    if said is None:
        assert entered(happened)[1].capital == Decimal("0.00000001")
    else:
        assert refusal(happened) == ("EQUITY_NOT_POSITIVE", said)


@pytest.mark.parametrize(("over", "code"), [(0, None), (1, "EQUITY_TOO_LARGE")])
def test_an_equity_beyond_64_bits_refuses_the_signal(over: int, code: str | None) -> None:
    account = holding("0", 0)
    account.cash[USDT] = LARGEST + over
    happened = take(bot(capital_pct_of_equity="1"), account=account)
    assert (None if len(happened) > 1 else refusal(happened)[0]) == code


@pytest.mark.parametrize(
    ("cash", "percent", "code"), [(LARGEST, "100", None), (LARGEST // 2 + 1, "200", "CAPITAL_TOO_LARGE")]
)
def test_a_capital_beyond_64_bits_refuses_the_signal(cash: int, percent: str, code: str | None) -> None:
    account = holding("0", 0)
    account.cash[USDT] = cash
    happened = take(bot(capital_pct_of_equity=percent), account=account)
    assert (None if len(happened) > 1 else refusal(happened)[0]) == code


@pytest.mark.parametrize(("quanta", "capital"), [(999, 0), (1000, 1), (1999, 1), (2000, 2)])
def test_a_percent_is_floored_to_the_cash_quantum(quanta: int, capital: int) -> None:
    account = holding("0", 0)
    account.cash[USDT] = quanta
    assert entered(take(bot(capital_pct_of_equity="0.1"), account=account))[0].capital == capital


@pytest.mark.parametrize(
    ("amount", "capital"), [("0.99999998", "33.33333266"), ("0.99999999", "33.333333"), ("1", "33.33333333")]
)
def test_the_capital_of_a_risk_is_the_most_of_which_the_stop_takes_no_more(amount: str, capital: str) -> None:
    sized, taken = entered(take(bot(risk_amount=amount, stop_loss_pct=Decimal(3))))
    assert taken.capital == Decimal(capital)
    assert sized.risk is not None
    assert sized.capital * 3 <= sized.risk * 100 < (sized.capital + 1) * 3


@pytest.mark.parametrize(("price", "quantity"), [("99.99", 10), ("100", 10), ("100.01", 9)])
def test_a_capital_buys_what_it_pays_for_to_the_step(price: str, quantity: int) -> None:
    """1 USDT, in steps of 0.001."""
    _, taken = entered(take(bot(capital_pct_of_equity="10"), account=holding("10", 0)))
    (leg,) = plan_legs(taken, instrument(), "long", Decimal(price))
    assert leg.quantity == quantity


# --- pyramids and the stop they share --------------------------------------------------------------------------------


def live_group(**changes: Any) -> Any:
    """Group 1 of the bot, opened with these settings."""
    story = spec.given(GROUP)
    story.when(OpenGroup("dca", 1, "main", "long", Decimal(100), instrument(), settings(ONE, **changes)))
    return story.state


def risking() -> Story:
    story = bot(risk_amount="50", stop_loss_pct=Decimal(5), max_pyramids=2)
    take(story)
    return story


def test_a_pyramid_is_sized_by_the_stop_that_its_group_was_opened_with() -> None:
    """The bot's settings have changed since: its group's stop has not."""
    sized, taken = entered(take(risking(), 1, groups=[live_group(stop_loss_pct=Decimal(10))]))
    assert (sized.stop_loss_pct, taken.capital) == (Decimal(10), Decimal(500))


@pytest.mark.parametrize("groups", [[], [live_group()], [live_group(trailing_stop_pct=Decimal(1))]])
def test_a_pyramid_of_a_group_without_a_fixed_stop_is_refused(groups: list[Any]) -> None:
    assert refusal(take(risking(), 1, groups=groups)) == ("STOP_UNKNOWN", "group=1, stop_loss_pct=none")


def test_the_stop_of_another_group_does_not_count() -> None:
    others = [
        msgspec.structs.replace(live_group(stop_loss_pct=Decimal(10)), **other)
        for other in ({"bot": "x"}, {"group": 2})
    ]
    assert refusal(take(risking(), 1, groups=others))[0] == "STOP_UNKNOWN"


# --- the law of the risk ---------------------------------------------------------------------------------------------

PERCENT = st.decimals("0.1", "90", places=1)
LEGS = st.sampled_from(
    [
        (("0", "100", "1"),),
        (("0", "40", "1"), ("-0.5", "60", "1")),
        (("0", "33.3", "1"), ("-1.7", "33.4", "1"), ("-6", "33.3", "1")),
        (("1", "1", "1"), ("-40", "99", "1")),
    ]
)
RISKS = st.decimals("1", "5000", places=8)
ENTRIES = st.lists(st.decimals("1", "5000", places=2), min_size=1, max_size=4)
GRIDS = st.sampled_from([("0.01", "0.001"), ("0.5", "0.00001"), ("0.01", "1")])


@given(st.sampled_from(["long", "short"]), LEGS, RISKS, PERCENT, ENTRIES, GRIDS, st.sampled_from([-1, 0, 0, 1]))
def test_all_legs_filled_a_group_loses_at_its_stop_at_most_the_sum_of_its_risks(
    direction: Any, legs: Any, risk: Decimal, stop: Decimal, entries: list[Decimal], grids: Any, dearer: int
) -> None:
    """The stop is the one that the group asks the venue for. A leg that costs `dearer` ticks more may lose more."""
    listed = instrument(tick=grids[0], step=grids[1])
    asked = settings(*legs, risk_amount=str(risk), stop_loss_pct=stop, max_pyramids=4)
    owner, group, filled = spec.given(DECIDER), spec.given(GROUP), list[tuple[int, int]]()
    owner.when(CreateBot("dca", "main", "margin", "dca_signals", listed, asked))
    owner.when(StartBot("dca"))
    for number, entry in enumerate(entries):
        command = TakeEntry("dca", "signals", number, direction, entry, 1 if number else 0)
        sized, taken = entered(owner.when(command, groups=[group.state] if number else []))
        assert sized.capital * Fraction(stop) <= int(risk * 10**8) * 100 < (sized.capital + 1) * Fraction(stop)
        planned = pyramid_of(group, direction, entry, listed, taken, first=number == 0)
        for leg, share in zip(planned, asked.legs, strict=True):
            most = Fraction(sized.capital, 10**8) * Fraction(share.weight_pct) / 100
            assert cost(listed, leg, 0) <= most < cost(listed, leg, listed.step), "one step more is too much"
            price = max(listed.tick, leg.price + dearer * listed.tick)
            filled.append((price, leg.quantity))
            if leg.quantity:
                group.when(fill(leg, price))
    paid = sum(price * quantity for price, quantity in filled)
    guards = [event for event in group.when(ReviewGuards("dca", 1)) if isinstance(event, GuardSet)]
    assert [guard.quantity for guard in guards] == ([sum(quantity for _, quantity in filled)] if paid else [])
    for guard in guards:
        sign = 1 if direction == "long" else -1
        lost = sum(sign * (price - guard.price) * quantity for price, quantity in filled)
        assert lost <= paid * Fraction(stop) / 100
        assert dearer > 0 or lost <= len(entries) * Fraction(risk) * quanta(listed)


def pyramid_of(
    group: Story, direction: Any, entry: Decimal, listed: Instrument, taken: GroupSettings, *, first: bool
) -> tuple[Leg, ...]:
    if first:
        (event,) = group.when(OpenGroup("dca", 1, "main", direction, entry, listed, taken))
    else:
        (event,) = group.when(AddPyramid("dca", 1, entry, taken))
    assert isinstance(event, GroupOpened | PyramidAdded)
    return event.legs


def fill(leg: Leg, price: int) -> RecordFill:
    return RecordFill("dca", 1, leg.index, "entry", Price(price), leg.quantity, leg.quantity, Cash(0), Quantity(0))


def quanta(listed: Instrument) -> int:
    """How many products of a price and a size quantum are 1 of the quote currency."""
    return int(10 ** (listed.price_scale + listed.size_scale))


def cost(listed: Instrument, leg: Leg, more: int) -> Fraction:
    return Fraction(leg.price * (leg.quantity + more), quanta(listed))


# --- the settings ----------------------------------------------------------------------------------------------------

ONE_OF = "exactly one of capital, capital_pct_of_equity, risk_pct_of_equity, risk_amount"
LEG = (LegSettings(Decimal(0), Decimal(100), Decimal(1)),)


def form_with(size: dict[str, str]) -> GroupForm:
    return msgspec.convert({"legs": LEG, **size}, GroupForm)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ({}, f"group.capital is missing; allowed: {ONE_OF}"),
        ({"capital": "1", "risk_amount": "1"}, f"group.risk_amount is set beside capital; allowed: {ONE_OF}"),
        (
            {"capital_pct_of_equity": "1", "risk_pct_of_equity": "1"},
            f"group.risk_pct_of_equity is set beside capital_pct_of_equity; allowed: {ONE_OF}",
        ),
        ({"capital_pct_of_equity": "0"}, "group.capital_pct_of_equity is 0; allowed: above 0 and at most 10000"),
        ({"capital_pct_of_equity": "10000.1"}, "group.capital_pct_of_equity is 10000.1; allowed: above 0 and at most"),
        ({"capital_pct_of_equity": "NaN"}, "group.capital_pct_of_equity is NaN"),
        ({"risk_pct_of_equity": "100.1"}, "group.risk_pct_of_equity is 100.1; allowed: above 0 and at most 100"),
        ({"risk_amount": "-1"}, "group.risk_amount is -1; allowed: above 0, of at most 20 digits"),
        (
            {"risk_amount": "1"},
            "group.stop_loss_pct is missing; allowed: above 0 and below 100, with risk_amount",
        ),
        ({"risk_pct_of_equity": "100"}, "group.stop_loss_pct is missing"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_by_key(size: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as refused:
        settings_of(form_with(size))
    assert str(refused.value).startswith(said)


def test_settings_with_a_capital_and_a_sizing_are_what_an_entry_is_taken_with_and_no_configuration() -> None:
    both = GroupSettings(Decimal(1), LEG, sizing=Sizing("capital_pct_of_equity", Decimal(5)))
    with pytest.raises(InputError, match=r"group\.capital_pct_of_equity is set beside capital"):
        check_settings(both)


@pytest.mark.parametrize(
    "size",
    [
        {"capital": "1"},
        {"capital_pct_of_equity": "10000"},
        {"risk_pct_of_equity": "100", "stop_loss_pct": "3"},
        {"risk_amount": "0.5", "stop_loss_pct": "3"},
    ],
)
def test_a_form_and_its_settings_say_the_same_and_come_back_from_the_log(size: dict[str, str]) -> None:
    form = form_with(size)
    made = settings_of(form)
    assert form_of(made) == form
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=GroupSettings) == made
    assert msgspec.json.decode(msgspec.json.encode(made), type=GroupSettings) == made


def test_a_fixed_capital_is_stored_as_it_was_before_there_were_other_sizes() -> None:
    """Fourteen keys, one byte for their number: so old logs and new ones have the same bytes."""
    stored = msgspec.msgpack.encode(settings(ONE))
    assert stored[0] == 0x80 + 14
    assert "sizing" not in msgspec.msgpack.decode(stored)


def test_time_is_no_part_of_a_size() -> None:
    account = holding("10000", 2000)
    sizes = [take(bot(capital_pct_of_equity="5"), account=account, marks=AT, at=Time(at)) for at in (0, 10**15)]
    assert sizes[0] == sizes[1]
