"""Which group is closed and who pays, as rules: configured, watched, evaluated, chosen."""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from msgspec import structs

from domain.account.events import OrderCanceled, OrderDenied, OrderFilled, OrderRejected
from domain.bot.events import EntryTaken, PyramidTaken
from domain.execution_pool.events import QueuedSignalReplaced
from domain.policies import POLICIES, offset_losers
from domain.portfolio_risk import commands as c
from domain.portfolio_risk import events as e
from domain.portfolio_risk.decider import DECIDER
from domain.portfolio_risk.settings import OffsetSettings
from domain.position_group.commands import ExitGroup, RecordFill, ReduceGroup
from domain.position_group.events import GroupClosed, Leg, PyramidAdded
from domain.position_group.state import LegState
from domain.values import Cash, Price, Quantity
from tests.domain.portfolio_risk.desk import CENT, DOLLAR, MINUTE, START, Desk, listed, loser_of, only, parts, verdicts
from tests.spec import instrument, kinds, settings

WORKING = (LegState(Leg(0, "limit", Price(1), Quantity(1), None), 1),)


def losing(**options: Any) -> Desk:
    """LOSS has lost 10 of 100 dollars; nobody pays for it yet. Its wait has just begun."""
    desk = Desk(**options)
    desk.opens("LOSS", 1000, 10000, 9000)
    return desk


def payable(**options: Any) -> Desk:
    """The same, and WIN has won 20 on 200 dollars."""
    desk = losing(**options)
    desk.opens("WIN", 2000, 10000, 11000)
    return desk


# --- configuration ----------------------------------------------------------------------------------------------------


def test_an_offset_is_off_until_it_is_configured() -> None:
    desk = Desk(configured=False)
    assert DECIDER.rounds is not None
    assert DECIDER.rounds(desk.state) is None
    assert desk.when(c.WatchGroup("main", "LOSS", 1, 1)) == ()
    assert desk.when(c.ForgetGroup("main", "LOSS", 1)) == ()
    assert desk.when(c.RestartTimer("main", "LOSS", 1)) == ()
    assert c.ConfigureOffset in DECIDER.opens
    assert DECIDER.opens.isdisjoint({c.WatchGroup, c.ForgetGroup, c.NoteClose, c.NoteCloseEnd, c.RestartTimer})
    assert not DECIDER.closed(desk.state)
    assert DECIDER.key(c.RunOffset("main")) == "main"


@pytest.mark.parametrize("command", [c.RunOffset("main"), c.SkipOffset("main")])
def test_what_is_not_configured_says_so(command: Any) -> None:
    (refused,) = Desk(configured=False).when(command)
    name = "run" if isinstance(command, c.RunOffset) else "skip"
    assert refused == e.OffsetCommandRefused("main", name, "NOT_CONFIGURED", "settings=0")


def test_the_settings_stand_as_they_are_asked_for() -> None:
    assert OffsetSettings() == OffsetSettings(
        True, Decimal(-5), True, 60, "last_pyramid", False, None, 60, Decimal("0.2")
    )  # fmt: skip


def test_configured_it_looks_at_every_full_period() -> None:
    desk = Desk(configured=False)
    settings = OffsetSettings(evaluate_seconds=30)
    assert desk.when(c.ConfigureOffset("main", settings)) == (e.OffsetConfigured("main", 1, settings),)
    assert DECIDER.rounds is not None
    assert DECIDER.rounds(desk.state) == (30_000_000, c.EvaluateOffset("main"))
    assert desk.when(c.ConfigureOffset("main", settings)) == ()
    off = OffsetSettings(enabled=False)
    assert desk.when(c.ConfigureOffset("main", off)) == (e.OffsetConfigured("main", 2, off),)
    assert DECIDER.rounds(desk.state) is None


def test_configured_off_is_configured_too() -> None:
    off = OffsetSettings(enabled=False)
    assert Desk(configured=False).when(c.ConfigureOffset("main", off)) == (e.OffsetConfigured("main", 1, off),)


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"loss_threshold_pct": Decimal(0)}, "above -100 and below 0"),
        ({"loss_threshold_pct": Decimal(-100)}, "above -100 and below 0"),
        ({"loss_threshold_pct": Decimal("NaN")}, "above -100 and below 0"),
        ({"loss_threshold_pct": Decimal("-1e-20")}, "above -100 and below 0"),
        ({"loss_threshold_pct": Decimal("-1.00000000000000000000")}, "above -100 and below 0"),
        ({"cost_margin_pct": Decimal("-0.1")}, "0 to below 100"),
        ({"cost_margin_pct": Decimal(100)}, "0 to below 100"),
        ({"cost_margin_pct": Decimal("Infinity")}, "0 to below 100"),
        ({"post_full_wait_minutes": -1}, "0 to 525600"),
        ({"post_full_wait_minutes": 525_601}, "0 to 525600"),
        ({"minimum_age_minutes": 0}, "1 to 525600"),
        ({"minimum_age_minutes": 525_601}, "1 to 525600"),
        ({"evaluate_seconds": 0}, "1 to 86400"),
        ({"evaluate_seconds": 86_401}, "1 to 86400"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], allowed: str) -> None:
    desk = Desk()
    (refused,) = desk.when(c.ConfigureOffset("main", OffsetSettings(**changes)))
    (key,) = changes
    reason = f"offset.{key} is {changes[key]}; allowed: {allowed}"
    assert refused == e.OffsetCommandRefused("main", "configure", "SETTINGS_INVALID", reason)
    assert desk.state.settings_version == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_threshold_pct": Decimal("-99.9"), "cost_margin_pct": Decimal("99.9")},
        {"loss_threshold_pct": Decimal("-1.0000000000000000000"), "cost_margin_pct": Decimal(0)},
        {"loss_threshold_pct": Decimal("-1e-19")},
        {"post_full_wait_minutes": 0, "minimum_age_minutes": 1, "evaluate_seconds": 1},
        {"post_full_wait_minutes": 525_600, "minimum_age_minutes": 525_600, "evaluate_seconds": 86_400},
    ],
)
def test_settings_at_their_bounds_are_taken(changes: dict[str, Any]) -> None:
    assert kinds(Desk().when(c.ConfigureOffset("main", OffsetSettings(**changes)))) == ["OffsetConfigured"]


def test_groups_from_before_count_from_the_configuration_and_as_full() -> None:
    desk = Desk(configured=False)
    desk.opens("LOSS", 1000, 10000, 9000, pyramids=2)
    assert desk.past == []
    happened = desk.when(c.ConfigureOffset("main", OffsetSettings()))
    assert happened[1:] == (e.GroupWatched("main", "LOSS", 1, START, START, 2),)  # type: ignore[arg-type]
    assert kinds(desk.when(c.ConfigureOffset("main", OffsetSettings(evaluate_seconds=1)))) == ["OffsetConfigured"]


# --- what is known of groups ------------------------------------------------------------------------------------------


def told(event: Any) -> list[Any]:
    return [command for policy in offset_losers.REACTIONS[type(event)] for command in policy(event)]


def test_bots_and_groups_say_what_must_be_known_of_them() -> None:
    most = settings(max_pyramids=3)
    entry = EntryTaken("dca", 7, "main", "tv", 1, "long", Decimal(1), instrument(), most)
    assert told(entry) == [c.WatchGroup("main", "dca", 7, 3)]
    assert told(PyramidTaken("dca", 7, "main", "tv", 1, Decimal(1), most)) == [c.WatchGroup("main", "dca", 7, 3)]
    added = PyramidAdded("dca", 7, "main", 2, "long", Decimal(1), instrument().id, ())
    assert told(added) == [c.WatchGroup("main", "dca", 7, 0)]
    assert told(GroupClosed("dca", 7, "targets", "main")) == [c.ForgetGroup("main", "dca", 7)]


@pytest.mark.parametrize(("group", "commands"), [(7, [c.RestartTimer("main", "dca", 7)]), (0, [])])
def test_a_replaced_signal_concerns_the_group_that_it_would_have_added_to(group: int, commands: list[Any]) -> None:
    fields: Any = (
        "main", "dca", "tv", 2, instrument().id, "5m", "long", Decimal(1), 2, group, 1, 0, 1, "dca", "tv", 1, None, 1,
    )  # fmt: skip
    assert told(QueuedSignalReplaced(*fields)) == commands


def fill_in(role: str, bot: str) -> OrderFilled:
    fields: Any = ("main", 3, bot, 7, 0, role, instrument().id, "sell", 100, 5, 500, 6, 1, "USDT", "taker", "t", 0, 4)
    return OrderFilled(*fields)


@pytest.mark.parametrize(
    ("role", "bot", "concerns"), [("close", "dca", True), ("target", "dca", False), ("close", "", False)]
)
def test_closing_orders_are_told_and_no_others(role: Any, bot: str, concerns: bool) -> None:
    name: Any = instrument().id
    filled = fill_in(role, bot)
    assert told(filled) == ([c.NoteClose("main", bot, 7, name, 100, 5, 500, 6, 1, "USDT", 4)] if concerns else [])  # type: ignore[arg-type]
    ends: tuple[Any, ...] = (
        OrderDenied("main", 3, bot, 7, 0, role, name, Quantity(4), "NO", "why"),
        OrderRejected("main", 3, bot, 7, 0, role, name, Quantity(4), "NO", "why"),
        OrderCanceled("main", 3, bot, 7, 0, role, name, Quantity(4), "why"),
    )
    for event, reason in zip(ends, ("NO: why", "why", "why"), strict=True):
        assert told(event) == ([c.NoteCloseEnd("main", bot, 7, Quantity(4), reason)] if concerns else [])


def test_a_closing_fill_is_noted_before_its_group_knows_of_it() -> None:
    commands = [type(command) for policy in POLICIES[OrderFilled] for command in policy(fill_in("close", "dca"))]
    assert commands == [c.NoteClose, RecordFill]


def test_what_is_decided_is_asked_of_the_groups() -> None:
    desk = payable()
    chosen = only(desk.waits(), e.OffsetChosen)
    assert told(chosen) == [ReduceGroup("WIN", 1, Quantity(1000), "offset", Price(11000))]
    exits = e.LoserExitDecided("main", 1, "LOSS", 1, 0, 0, Price(9000))  # type: ignore[arg-type]
    assert told(exits) == [ExitGroup("LOSS", 1, Price(9000), "offset")]
    assert told(e.OffsetOrderEnded("main", 1, "WIN", 1, Quantity(1), "refused")) == [c.ReviewOffset("main")]


@pytest.mark.parametrize(("remaining", "commands"), [(1, []), (0, [c.ReviewOffset("main")])])
def test_an_order_of_the_offset_that_is_filled_is_looked_at_once_it_is_whole(
    remaining: int, commands: list[Any]
) -> None:
    fields: Any = ("main", 1, "winner", "WIN", 1, "WIN/USDT", 11000, 1000, remaining, 0, 0, "USDT")
    assert told(e.OffsetFilled(*fields)) == commands


def test_a_group_is_watched_from_its_opening_and_its_wait_starts_anew_with_each_pyramid() -> None:
    desk = losing()
    assert desk.past[-1] == e.GroupWatched("main", "LOSS", 1, START, START, 1)  # type: ignore[arg-type]
    desk.passes(5)
    (second,) = desk.when(c.WatchGroup("main", "LOSS", 1, 3))
    assert second == e.GroupWatched("main", "LOSS", 1, START, START + 5 * MINUTE, 3)  # type: ignore[arg-type]
    assert desk.when(c.WatchGroup("main", "LOSS", 1, 0)) == ()  # the group says the same as its bot
    (more,) = desk.when(c.WatchGroup("main", "LOSS", 1, 4))
    assert more.max_pyramids == 4
    desk.passes(5)
    assert desk.when(c.WatchGroup("main", "LOSS", 1, 0))[0].max_pyramids == 4


def test_a_group_of_which_only_a_pyramid_is_heard_is_full() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, most=0)
    assert desk.past[-1].max_pyramids == 1  # type: ignore[attr-defined]


def test_what_is_added_to_a_group_that_has_closed_is_not_watched() -> None:
    desk = losing()
    assert desk.closes("LOSS") == (e.GroupForgotten("main", "LOSS", 1),)
    assert desk.when(c.WatchGroup("main", "LOSS", 1, 2)) == ()
    assert desk.when(c.ForgetGroup("main", "LOSS", 1)) == ()
    assert desk.state.watched == {}


# --- who is a loser ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "at", "beyond"), [("long", 9500, 9499), ("short", 10500, 10501)])
def test_a_loss_is_beyond_the_threshold_below_it_not_at_it(direction: Any, at: int, beyond: int) -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, at, direction=direction)
    assert verdicts(desk.waits()) == {}
    desk.moves("LOSS", beyond)
    assert kinds(desk.looks()) == ["OffsetEvaluated"]
    assert desk.past[-1].outcome == "not_enough_profit"  # type: ignore[attr-defined]
    assert verdicts(tuple(desk.past[-1:])) == {"LOSS": "qualified"}


def test_the_threshold_is_held_against_the_exact_average() -> None:
    """Bought 3.000 for 100.00, 100.00 and 100.01: 5 % below the average is 95.00316..."""
    desk = Desk()
    desk.opens("LOSS", 3000, 0, 9501, worth=30001 * 1000)
    assert verdicts(desk.waits()) == {}
    desk.moves("LOSS", 9500)
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}


def test_the_threshold_is_a_setting() -> None:
    desk = losing(loss_threshold_pct=Decimal("-10.5"))
    assert verdicts(desk.waits()) == {}
    desk.moves("LOSS", 8949)
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}


def test_what_holds_nothing_or_has_no_price_is_no_loser() -> None:
    desk = Desk()
    desk.opens("EMPTY", 0, 10000, 9000, worth=0)
    desk.opens("UNPRICED", 1000, 10000)
    assert verdicts(desk.waits()) == {}
    desk.change("EMPTY", average=(10000 * 1000, 1000))  # what it held has been sold
    assert desk.looks() == ()


def test_its_pyramids_must_be_full() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000, most=2)
    assert verdicts(desk.waits()) == {"LOSS": "pyramids_missing"}
    desk.change("LOSS", pyramids=2)
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}
    desk.change("LOSS", pyramids=3)
    assert verdicts(desk.runs()) == {"LOSS": "qualified"}


def test_unless_that_is_not_asked() -> None:
    desk = Desk(require_full_pyramids=False)
    desk.opens("LOSS", 1000, 10000, 9000, most=2)
    assert verdicts(desk.waits()) == {"LOSS": "qualified"}


@pytest.mark.parametrize("start", ["last_pyramid", "legs_submitted"])
def test_the_wait_runs_from_the_last_pyramid(start: Any) -> None:
    desk = losing(timer_start=start)
    desk.passes(50)
    desk.when(c.WatchGroup("main", "LOSS", 1, 1))
    desk.passes(59, 59_999_999)
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}
    desk.passes(0, 1)
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}


def test_the_wait_runs_from_the_last_entry_that_works() -> None:
    desk = losing(timer_start="legs_filled")
    desk.change("LOSS", legs=WORKING)
    assert verdicts(desk.waits()) == {"LOSS": "waiting"}
    desk.change("LOSS", legs=())
    desk.passes(1)
    assert desk.looks() == (e.EntriesFinished("main", "LOSS", 1, START + 61 * MINUTE),)  # type: ignore[arg-type]
    desk.passes(59)
    assert desk.looks() == ()
    desk.passes(1)
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}
    desk.when(c.WatchGroup("main", "LOSS", 1, 1))  # a further pyramid, and its entries are done
    assert kinds(desk.looks()) == ["EntriesFinished", "OffsetEvaluated"]
    assert verdicts(tuple(desk.past[-1:])) == {"LOSS": "waiting"}


def test_without_a_wait_it_qualifies_in_the_look_that_finds_its_entries_done() -> None:
    desk = losing(timer_start="legs_filled", post_full_wait_minutes=0)
    finished, *said = desk.looks()
    assert finished == e.EntriesFinished("main", "LOSS", 1, START)  # type: ignore[arg-type]
    assert verdicts(tuple(said)) == {"LOSS": "qualified"}


def test_what_never_entered_has_not_finished_entering() -> None:
    desk = losing(timer_start="legs_filled")
    desk.change("LOSS", entered=False)
    assert kinds(desk.looks()) == ["OffsetEvaluated"]


def test_entries_are_of_no_interest_where_the_wait_runs_from_the_pyramid() -> None:
    assert kinds(losing().looks()) == ["OffsetEvaluated"]


def test_no_wait_at_all() -> None:
    assert verdicts(losing(post_full_wait_minutes=0).looks()) == {"LOSS": "qualified"}


def test_a_replacement_starts_the_wait_anew_where_that_is_set() -> None:
    for resets, verdict in ((True, "waiting"), (False, "qualified")):
        desk = losing(reset_on_replacement=resets)
        desk.passes(1)
        happened = desk.when(c.RestartTimer("main", "LOSS", 1))
        assert happened == ((e.TimerRestarted("main", "LOSS", 1, desk.at),) if resets else ())  # type: ignore[arg-type]
        assert desk.when(c.RestartTimer("main", "OTHER", 1)) == ()
        desk.passes(59)
        assert verdicts(desk.looks()) == {"LOSS": verdict}
        desk.passes(1)
        desk.looks()
        assert verdicts(desk.runs()) == {"LOSS": "qualified"}


def test_it_must_be_older_than_the_minimum_age_where_that_is_set() -> None:
    desk = losing(minimum_age_minutes=90)
    desk.passes(30)
    desk.when(c.WatchGroup("main", "LOSS", 1, 1))  # a pyramid makes it no younger
    assert verdicts(desk.waits()) == {"LOSS": "too_young"}
    desk.passes(0, 1)
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}


def test_what_is_blocked_or_on_its_way_out_is_no_loser() -> None:
    desk = losing()
    desk.passes(60)
    for changes in ({"status": "exiting"}, {"closing": True}, {"reducing": 5}):
        desk.change("LOSS", **{"status": "open", "closing": False, "reducing": 0, **changes})
        assert verdicts(desk.runs()) == {"LOSS": "busy"}
    desk.when(c.BlockGroup("main", "LOSS", 1))
    assert verdicts(desk.runs()) == {"LOSS": "blocked"}


def test_the_worst_by_percent_then_by_amount_then_by_age_is_closed() -> None:
    desk = Desk()
    desk.opens("WIN", 100_000, 10000, 20000)
    desk.opens("BIG", 9000, 10000, 9000)  # 10 %, 90 dollars
    desk.opens("OLD", 1000, 10000, 8000)  # 20 %, 20 dollars
    desk.opens("NEW", 1000, 10000, 8000)
    desk.opens("MORE", 2000, 5000, 4000)  # 20 %, 20 dollars as well
    desk.opens("MOST", 2000, 10000, 8000)  # 20 %, 40 dollars
    desk.opens("WAIT", 5000, 10000, 1000, most=2)
    chosen = only(desk.waits(), e.OffsetChosen)
    assert (chosen.bot, chosen.group) == ("MOST", 1)
    assert [loser.bot for loser in chosen.losers] == ["MOST", "OLD", "NEW", "MORE", "BIG", "WAIT"]
    assert chosen.losers_count == 6


def test_losses_in_different_currencies_are_ranked_by_their_figures() -> None:
    desk = Desk()
    for name, quote, held in (("RUPEE", "INR", 1000), ("DOLLAR", "USDT", 999)):
        desk.opens(name, held, 10000, 9000, instrument=listed(name, quote))
    desk.passes(60)
    assert [loser.bot for loser in only(desk.looks(), e.OffsetEvaluated).losers] == ["RUPEE", "DOLLAR"]


# --- who pays ---------------------------------------------------------------------------------------------------------


def test_a_winner_pays_with_the_smallest_part_that_covers_the_loss() -> None:
    desk = payable()
    desk.moves("LOSS", 8999)  # 10.01 dollars; a step of WIN pays one cent
    chosen = only(desk.waits(), e.OffsetChosen)
    assert (chosen.number, chosen.step, chosen.needed) == (1, 1, 1001 * 1000 * CENT)
    assert parts((chosen,)) == [("WIN", 1001)]
    assert desk.groups["WIN"].reducing == 1001


def test_the_numbers_of_every_candidate_are_in_the_choice() -> None:
    desk = payable(cost_margin_pct=Decimal("0.2"))
    desk.opens("ALSO", 1000, 10000, 10500)
    desk.opens("FLAT", 1000, 10000, 10000)
    chosen = only(desk.waits(), e.OffsetChosen)
    costs, needed = 18 * DOLLAR // 100, 1018 * DOLLAR // 100
    loser: Any = e.Loser(
        "LOSS", 1, "LOSS/USDT", "long", 1000, Decimal(100), 9000, Decimal(-10), 10 * DOLLAR, costs, 1, 1, START, START,  # type: ignore[arg-type]
        "qualified",
    )  # fmt: skip
    assert chosen.losers == (loser,)
    assert chosen.needed == needed
    # WIN brings 20 less 0.44 of costs for 2.000: 1.041 of it is the least that covers 10.18.
    profit, pays = 1956 * DOLLAR // 100, 1_018_098_000
    win: Any = e.Winner("WIN", 1, "WIN/USDT", "long", 2000, Decimal(100), 11000, profit, 1041, pays)  # type: ignore[arg-type]
    also: Any = e.Winner("ALSO", 1, "ALSO/USDT", "long", 1000, Decimal(100), 10500, 479 * DOLLAR // 100, 0, 0)  # type: ignore[arg-type]
    assert chosen.parts == (win,)
    assert chosen.winners == (structs.replace(win, quantity=Quantity(0), pays=Cash(0)), also)
    assert chosen.winners_count == 2


def test_percentages_and_averages_are_shown_rounded_and_decided_exactly() -> None:
    desk = Desk()
    desk.opens("LOSS", 3000, 0, 9000, worth=30001 * 1000)
    desk.passes(60)
    (loser,) = only(desk.looks(), e.OffsetEvaluated).losers
    assert loser.average == Decimal("100.0033333333")
    assert loser.loss_pct == Decimal("-10.0029")  # 10.00299997 %, cut off
    assert loser.loss == 3001 * 1000 * CENT


def test_the_winners_with_the_most_profit_pay_first_and_three_at_most() -> None:
    desk = losing()
    for name, mark in (("TWO", 10200), ("FIVE", 10500), ("FOUR", 10400), ("THREE", 10300)):
        desk.opens(name, 1000, 10000, mark)
    desk.moves("LOSS", 8850)  # 11.50 dollars
    chosen = only(desk.waits(), e.OffsetChosen)
    assert parts((chosen,)) == [("FIVE", 1000), ("FOUR", 1000), ("THREE", 834)]
    assert [winner.bot for winner in chosen.winners] == ["FIVE", "FOUR", "THREE", "TWO"]


def test_of_winners_with_the_same_profit_the_oldest_pays() -> None:
    desk = losing()
    desk.opens("OLD", 2000, 10000, 11000)
    desk.opens("NEW", 2000, 10000, 11000)
    assert parts(desk.waits()) == [("OLD", 1000)]


def test_a_short_wins_where_the_price_falls() -> None:
    desk = losing()
    desk.opens("WIN", 2000, 10000, 9000, direction="short")
    assert parts(desk.waits()) == [("WIN", 1000)]


def test_a_short_loses_where_the_price_rises() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 11000, direction="short")
    desk.opens("WIN", 2000, 10000, 11000)
    happened = desk.waits()
    assert (loser_of(happened), parts(happened)) == ("LOSS", [("WIN", 1000)])


def test_not_enough_profit_and_nothing_happens_but_a_word() -> None:
    desk = losing()
    for name in ("ONE", "TWO", "THREE", "FOUR"):
        desk.opens(name, 1000, 10000, 10333)
    (said,) = desk.waits()
    assert (said.number, said.settings_version, said.outcome) == (1, 1, "not_enough_profit")
    assert (said.needed, said.available) == (10 * DOLLAR, 999 * DOLLAR // 100)
    assert (said.losers_count, said.winners_count) == (1, 4)
    assert desk.state.plan is None
    desk.moves("ONE", 10334)
    assert kinds(desk.looks()) == ["OffsetChosen"]


def test_no_loser_and_nothing_happens_but_a_word() -> None:
    desk = Desk()
    desk.opens("WIN", 1000, 10000, 11000)
    (said,) = desk.waits()
    assert (said.outcome, said.losers_count, said.losers, said.winners_count, said.winners) == (
        "no_loser",
        0,
        (),
        0,
        (),
    )
    assert (said.needed, said.available) == (0, 0)


def test_what_has_been_said_is_not_said_again() -> None:
    desk = losing()
    assert kinds(desk.looks()) == ["OffsetEvaluated"]
    desk.moves("LOSS", 8000)
    desk.opens("WIN", 1000, 10000, 10100)
    assert desk.looks() == ()  # other numbers are no news
    assert verdicts(desk.waits()) == {"LOSS": "qualified"}
    desk.moves("WIN", 10200)
    assert desk.looks() == ()
    desk.opens("OTHER", 1000, 10000, 9000)
    assert verdicts(desk.looks()) == {"LOSS": "qualified", "OTHER": "waiting"}
    assert desk.state.evaluations == 3
    desk.when(c.ConfigureOffset("main", OffsetSettings()))
    assert desk.looks()[0].settings_version == 2


def test_another_loser_for_which_there_is_not_enough_is_news() -> None:
    desk = losing()
    desk.opens("OTHER", 1000, 10000, 8900)
    desk.passes(60)
    assert only(desk.looks(), e.OffsetEvaluated).losers[0].bot == "OTHER"
    desk.moves("LOSS", 8800)
    assert only(desk.looks(), e.OffsetEvaluated).losers[0].bot == "LOSS"


@pytest.mark.parametrize("why", ["blocked", "busy", "empty", "unpriced", "foreign", "costs"])
def test_who_cannot_pay(why: str) -> None:
    desk = losing(cost_margin_pct=Decimal("0.01"))
    held, mark = (0 if why == "empty" else 2000), (10001 if why == "costs" else None if why == "unpriced" else 11000)
    desk.opens("WIN", held, 10000, mark, instrument=listed("WIN", "INR" if why == "foreign" else "USDT"))
    if why == "empty":
        desk.change("WIN", average=(10000, 1))
    if why == "blocked":
        desk.when(c.BlockGroup("main", "WIN", 1))
    if why == "busy":
        desk.change("WIN", closing=True)
    said = only(desk.waits(), e.OffsetEvaluated)
    assert (said.outcome, said.winners, said.available) == ("not_enough_profit", (), 0)


def test_a_part_is_worth_the_minimum_notional_at_least() -> None:
    desk = Desk()
    desk.opens("LOSS", 100, 10000, 9000)  # one dollar lost
    desk.opens("WIN", 2000, 10000, 11000)
    assert parts(desk.waits()) == [("WIN", 100)]
    for minimum, part in (("11.01", 101), ("11", 100), ("220", 2000), ("220.01", None)):
        desk = Desk()
        desk.opens("LOSS", 100, 10000, 9000)
        desk.opens("WIN", 2000, 10000, 11000, instrument=listed("WIN", minimum=minimum))
        happened = desk.waits()
        assert (parts(happened) if part else kinds(happened)) == ([("WIN", part)] if part else ["OffsetEvaluated"])


def test_parts_are_on_the_step_grid() -> None:
    desk = losing()
    desk.opens("WIN", 2550, 10000, 10600, instrument=coarse("WIN"))
    desk.opens("MORE", 2550, 10000, 10300, instrument=coarse("MORE"))
    desk.moves("LOSS", 8300)  # 17 dollars: 15 from all that is tradable of WIN, 2 from the next
    assert parts(desk.waits()) == [("WIN", 2500), ("MORE", 700)]


def coarse(name: str) -> Any:
    return structs.replace(listed(name), step=Quantity(100))


def test_less_than_a_step_pays_nothing() -> None:
    desk = losing()
    desk.opens("WIN", 99, 10000, 50000, instrument=coarse("WIN"))
    assert only(desk.waits(), e.OffsetEvaluated).winners == ()


def test_without_a_minimum_a_step_is_the_least() -> None:
    desk = Desk()
    desk.opens("LOSS", 1, 10000, 9000)
    desk.opens("WIN", 2000, 10000, 11000, instrument=listed("WIN", minimum="0"))
    assert parts(desk.waits()) == [("WIN", 1)]


def test_twenty_losers_and_winners_are_shown_and_all_are_counted() -> None:
    desk = Desk()
    for number in range(22):
        desk.opens(f"LOSS{number}", 1000, 10000, 9000)
        desk.opens(f"WIN{number}", 1000, 10000, 10100)
    said = only(desk.waits(), e.OffsetEvaluated)
    assert (said.losers_count, len(said.losers), said.winners_count, len(said.winners)) == (22, 20, 22, 20)
    desk.moves("WIN0", 12000)
    chosen = only(desk.looks(), e.OffsetChosen)
    assert (chosen.losers_count, len(chosen.losers), chosen.winners_count, len(chosen.winners)) == (22, 20, 22, 20)
    assert chosen.losers[0].bot == "LOSS0"


def test_an_amount_beyond_64_bits_is_cut_off_and_can_be_written() -> None:
    desk = Desk()
    desk.opens("LOSS", 10**18, 10**6, 10)
    said = only(desk.waits(), e.OffsetEvaluated)
    assert said.losers[0].loss == said.needed == 2**63 - 1


def test_a_penny_short_is_not_enough_and_the_penny_is_told() -> None:
    """A loss of 10 dollars at an average with thirds of a quantum: amounts needed round up, amounts to pay round down."""
    desk = Desk()
    desk.opens("LOSS", 3000, 0, 9000, worth=30000 * 1000 + 7, instrument=fine("LOSS"))
    desk.opens("WIN", 3000, 0, 10500, worth=30000 * 1000 + 7, instrument=fine("WIN"))
    desk.change("LOSS", average=(30000 * 1000 + 7, 3001))
    desk.change("WIN", average=(30000 * 1000 + 7, 3001))
    said = only(desk.waits(), e.OffsetEvaluated)
    average = Fraction(30_000_007, 3001)
    loss, profit = (average - 9000) * 3000, (10500 - average) * 3000
    (loser,), (winner,) = said.losers, said.winners
    assert (loser.loss, said.needed) == (ceil(loss), ceil(loss))
    assert (winner.profit, said.available, winner.pays) == (floor(profit), floor(profit), 0)
    assert loss.denominator > 1 < profit.denominator


def test_costs_are_told_rounded_up_and_what_a_part_pays_rounded_down() -> None:
    desk = Desk(cost_margin_pct=Decimal("0.0333"))
    desk.opens("LOSS", 7, 10000, 9001, instrument=fine("LOSS"))
    desk.opens("WIN", 3001, 10000, 11001, instrument=fine("WIN"))
    chosen = only(desk.waits(), e.OffsetChosen)
    costs = Fraction(333, 10**6) * 9001 * 7
    assert (chosen.losers[0].costs, chosen.needed) == (ceil(costs), ceil(999 * 7 + costs))
    each = 1001 - Fraction(333, 10**6) * 11001
    (part,) = chosen.parts
    assert part.quantity == ceil((999 * 7 + costs) / each)
    assert part.pays == floor(part.quantity * each)
    assert part.profit == floor(3001 * each)


def fine(name: str) -> Any:
    """An instrument whose cash quantum is a price quantum times a size quantum, without a minimum, of any step."""
    return structs.replace(listed(name, minimum="0"), quote_scale=5, step=Quantity(1))


def test_half_a_quantum_is_still_needed_and_is_a_profit() -> None:
    desk = Desk()
    desk.opens("LOSS", 10, 10000, 9000, instrument=fine("LOSS"))
    desk.opens("WIN", 100_000, 0, 10100, worth=1_000_000_050, instrument=fine("WIN"))
    desk.change("WIN", average=(1_000_000_050, 100_000))  # each brings 99.9995: 100 of them half a tenth too little
    assert parts(desk.waits()) == [("WIN", 101)]
    desk = Desk()
    desk.opens("LOSS", 1, 10000, 9000, instrument=fine("LOSS"))
    desk.opens("WIN", 10, 10000, 10000, instrument=fine("WIN"))
    desk.change("WIN", average=(99_999_5, 100), held=1)
    assert only(desk.waits(), e.OffsetEvaluated).available == 0
    assert desk.past[-1].winners_count == 1  # type: ignore[attr-defined]


def test_who_is_not_watched_is_no_candidate() -> None:
    desk = losing()
    desk.groups["OTHER"] = structs.replace(desk.groups["LOSS"], bot="OTHER")
    desk.groups["PAYS"] = structs.replace(desk.groups["LOSS"], bot="PAYS", direction="short", held=9000)
    said = only(desk.waits(), e.OffsetEvaluated)
    assert ([loser.bot for loser in said.losers], said.winners_count) == (["LOSS"], 0)


def test_a_fraction_of_a_quantum_too_little_is_not_enough() -> None:
    desk = Desk()
    desk.opens("LOSS", 10, 10000, 9000, instrument=fine("LOSS"))
    desk.opens("WIN", 100, 10000, 10100, instrument=fine("WIN"))
    desk.change("WIN", average=(1_000_000_1, 1000))  # 9,999.99 of 10,000
    assert only(desk.waits(), e.OffsetEvaluated).available == 9999


def test_for_a_fraction_of_a_quantum_the_next_winner_is_asked() -> None:
    desk = Desk()
    desk.opens("LOSS", 10, 10000, 9000, instrument=fine("LOSS"))
    desk.opens("WIN", 100, 10000, 10100, instrument=fine("WIN"))
    desk.change("WIN", average=(1_000_000_1, 1000))  # 9,999.99 of 10,000
    desk.opens("MORE", 5, 10000, 10100, instrument=fine("MORE"))
    assert parts(desk.waits()) == [("WIN", 100), ("MORE", 1)]
