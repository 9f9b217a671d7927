"""The course of an offset: winners pay, the loser closes; what comes in between; and what hands do."""

from decimal import Decimal
from typing import Any

import pytest

from domain.portfolio_risk import commands as c
from domain.portfolio_risk import events as e
from domain.portfolio_risk.decider import DECIDER
from domain.portfolio_risk.settings import OffsetSettings
from tests.domain.portfolio_risk.desk import CENT, DOLLAR, MINUTE, START, Desk, only, parts, verdicts
from tests.spec import kinds

WINNERS = {"FIVE": 10500, "FOUR": 10400, "THREE": 10300, "TWO": 10200}


def under_way(loss: int = 9000, **settings: Any) -> Desk:
    """LOSS has lost 10 dollars, and 1.000 of WIN's 2.000 is being closed to pay for it."""
    desk = Desk(**settings)
    desk.opens("LOSS", 1000, 10000, loss)
    desk.opens("WIN", 2000, 10000, 11000)
    ((winner, _),) = parts(desk.waits())
    assert winner == "WIN"
    return desk


def paid() -> Desk:
    """WIN has paid, and LOSS is being closed."""
    desk = under_way()
    desk.fills("WIN", 1000, 11000)
    assert desk.groups["LOSS"].closing
    return desk


def several(loss: int = 8850) -> Desk:
    """LOSS needs 11.50 dollars: FIVE and FOUR give all they have, THREE a part; TWO is left."""
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, loss)
    for name, mark in WINNERS.items():
        desk.opens(name, 1000, 10000, mark)
    assert parts(desk.waits()) == [("FIVE", 1000), ("FOUR", 1000), ("THREE", 834)]
    return desk


# --- as planned -------------------------------------------------------------------------------------------------------


def test_when_the_winner_has_paid_the_loser_is_closed() -> None:
    desk = under_way()
    first, second = desk.fills("WIN", 1000, 11000)
    assert first == e.OffsetFilled(
        "main", 1, "winner", "WIN", 1, "WIN/USDT", 11000, 1000, 0, 10 * DOLLAR, 0, "USDT"  # type: ignore[arg-type]
    )  # fmt: skip
    assert second == e.LoserExitDecided("main", 1, "LOSS", 1, 10 * DOLLAR, 10 * DOLLAR, 9000)  # type: ignore[arg-type]


def test_and_the_result_is_known() -> None:
    desk = paid()
    (filled,) = desk.fills("LOSS", 1000, 8990, fee=DOLLAR // 100)
    assert (filled.role, filled.profit) == ("loser", -1011 * DOLLAR // 100)
    happened = desk.closes("LOSS")
    paid_, lost = 10 * DOLLAR, -1011 * DOLLAR // 100
    assert happened == (
        e.GroupForgotten("main", "LOSS", 1),
        e.OffsetCompleted("main", 1, "LOSS", 1, paid_, lost, paid_ + lost),  # type: ignore[arg-type]
    )
    assert desk.state.plan is None
    desk.opens("NEXT", 1000, 10000, 9000)
    assert only(desk.waits(), e.OffsetChosen).number == 2


def test_it_waits_for_every_part() -> None:
    desk = several()
    assert kinds(desk.fills("FIVE", 1000, 10500)) == ["OffsetFilled"]
    assert kinds(desk.fills("THREE", 834, 10300)) == ["OffsetFilled"]
    assert kinds(desk.fills("FOUR", 400, 10400, remaining=600)) == ["OffsetFilled"]
    assert kinds(desk.fills("FOUR", 600, 10400)) == ["OffsetFilled", "LoserExitDecided"]
    assert desk.state.plan is not None
    assert desk.state.plan.paid == 11502 * DOLLAR // 1000


def test_two_winners_that_fill_at_once_are_reviewed_twice_and_planned_once() -> None:
    desk = several()
    for name, quantity, mark in (("FIVE", 1000, 10500), ("FOUR", 1000, 10400), ("THREE", 834, 10300)):
        group = desk.groups[name]
        cash: Any = group.instrument.notional(mark, quantity)
        desk.when(c.NoteClose("main", name, 1, group.instrument.id, mark, quantity, cash, quantity, 0, "USDT", 0))  # type: ignore[arg-type]
    assert kinds(desk.when(c.ReviewOffset("main"))) == ["LoserExitDecided"]
    assert desk.when(c.ReviewOffset("main")) == ()


def test_fees_and_the_way_of_the_price_are_paid_for_by_the_margin() -> None:
    desk = under_way(cost_margin_pct=Decimal("0.2"))  # needs 10.18, so 1.041 of WIN are closed
    assert desk.groups["WIN"].reducing == 1041
    happened = desk.fills("WIN", 1041, 10990, fee=1041 * 10990 * CENT // 1000)  # a tenth of a cent less, and 0.1 % fee
    assert happened[0].profit == (1041 * 990 * CENT) - 1041 * 10990 * CENT // 1000
    assert kinds(happened) == ["OffsetFilled", "LoserExitDecided"]


def test_what_a_fill_brought_is_exact_and_never_rounded_up() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.opens("WIN", 3000, 0, 11000, worth=30001 * 1000)  # the average is 100.00333...
    assert parts(desk.waits()) == [("WIN", 1001)]
    profit = 1001 * 11000 * CENT - 1001 * 30001 * CENT // 3 - 1
    assert desk.fills("WIN", 1001, 11000)[0].profit == profit


@pytest.mark.parametrize(
    ("fee_asset", "base_fee", "profit"), [("BNB", 0, 10 * DOLLAR), ("WIN", 1, 10 * DOLLAR - 10000 * CENT)]
)
def test_a_fee_in_the_base_asset_is_in_what_was_received_and_one_in_a_third_asset_in_the_margin(
    fee_asset: str, base_fee: int, profit: int
) -> None:
    desk = under_way()
    fee = 0 if base_fee else 7
    assert desk.fills("WIN", 1000, 11000, fee=fee, fee_asset=fee_asset, base_fee=base_fee)[0].profit == profit


def test_a_short_pays_what_it_was_sold_for_less_what_it_cost() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.opens("WIN", 2000, 10000, 9000, direction="short")
    desk.waits()
    assert desk.fills("WIN", 1000, 9100)[0].profit == 9 * DOLLAR


# --- what comes in between --------------------------------------------------------------------------------------------


def test_where_the_winner_brought_less_the_rest_is_planned_anew() -> None:
    desk = under_way()
    filled, again = desk.fills("WIN", 1000, 10900)
    assert filled.profit == 9 * DOLLAR
    assert (again.number, again.step, again.needed, again.losers, again.losers_count) == (1, 2, DOLLAR, (), 0)
    assert parts((again,)) == [("WIN", 100)]
    assert kinds(desk.fills("WIN", 100, 11000)) == ["OffsetFilled", "LoserExitDecided"]
    assert desk.past[-1].needed == desk.past[-1].paid == 10 * DOLLAR  # type: ignore[attr-defined]


def test_each_time_it_is_planned_anew_is_a_step_of_its_own() -> None:
    desk = under_way()
    _, second = desk.fills("WIN", 1000, 10900)
    _, third = desk.fills("WIN", 100, 10900)
    assert (second.step, third.step) == (2, 3)
    assert (second.number, third.number) == (1, 1)


def test_winners_do_not_run_after_what_the_loser_goes_on_to_lose() -> None:
    desk = under_way()
    desk.moves("LOSS", 5000)
    _, exits = desk.fills("WIN", 1000, 11000)
    assert (exits.needed, exits.paid) == (10 * DOLLAR, 10 * DOLLAR)


def test_they_pay_no_more_than_it_still_loses() -> None:
    desk = under_way()
    desk.moves("LOSS", 9100)
    _, exits = desk.fills("WIN", 1000, 10900)
    assert (exits.needed, exits.paid) == (9 * DOLLAR, 9 * DOLLAR)


def test_a_quantum_too_little_is_not_enough() -> None:
    desk = under_way()
    _, again = desk.fills("WIN", 1000, 11000, fee=1)
    assert (again.needed, parts((again,))) == (1, [("WIN", 46)])


def test_the_least_part_is_worth_the_minimum_notional_here_too() -> None:
    desk = under_way()
    assert parts(desk.fills("WIN", 1000, 10999)) == [("WIN", 46)]  # one cent is missing


def test_where_a_winner_closes_in_between_the_rest_is_planned_anew() -> None:
    desk = several()
    desk.fills("FIVE", 1000, 10500)
    assert kinds(desk.closes("FOUR")) == ["GroupForgotten"]  # THREE is still to pay
    desk.moves("TWO", 10500)
    filled, again = desk.fills("THREE", 834, 10300)
    assert filled.profit == 2502 * DOLLAR // 1000
    assert again.needed == 3998 * DOLLAR // 1000
    assert parts((again,)) == [("TWO", 800)]  # FOUR paid nothing, so TWO is the third


def test_the_last_winner_closes_in_between() -> None:
    desk = under_way()
    desk.opens("ALSO", 1000, 10000, 11000)
    gone, again = desk.closes("WIN")
    assert gone == e.GroupForgotten("main", "WIN", 1)
    assert parts((again,)) == [("ALSO", 1000)]


def test_a_group_that_is_no_part_of_it_closes_in_between() -> None:
    desk = under_way()
    desk.opens("ALSO", 1000, 10000, 11000)
    assert kinds(desk.closes("ALSO")) == ["GroupForgotten"]


def test_three_pay_in_all() -> None:
    desk = several()
    desk.fills("FIVE", 1000, 10500)
    desk.fills("FOUR", 1000, 10400)
    desk.moves("TWO", 19000)
    filled, gave_up = desk.fills("THREE", 834, 10200)
    assert filled.profit == 1668 * DOLLAR // 1000
    # 0.832 dollars are missing, which the rest of THREE (0.166 x 3) does not have; TWO would be the fourth
    assert (gave_up.code, gave_up.reason) == ("NOT_ENOUGH_PROFIT", f"needed={83200000}, missing={33400000}")


def test_for_want_of_profit_it_is_given_up_and_what_was_paid_is_kept() -> None:
    desk = under_way()
    desk.moves("WIN", 10100)
    gave_up = desk.fills("WIN", 1000, 10500)[-1]
    assert (gave_up.code, gave_up.paid, gave_up.at) == ("NOT_ENOUGH_PROFIT", 5 * DOLLAR, START + 60 * MINUTE)
    assert gave_up.reason == "needed=500000000, missing=400000000"
    said = only(desk.looks(), e.OffsetEvaluated)  # it waits no more: there is only too little
    assert (said.outcome, said.needed, said.available) == ("not_enough_profit", 5 * DOLLAR, DOLLAR)
    desk.change("LOSS", held=500)  # and of half of it all is paid for already
    desk.moves("LOSS", 9020)
    chosen, exits = desk.looks()  # all is paid for already
    assert (chosen.number, chosen.needed, chosen.parts) == (2, 0, ())
    assert (exits.number, exits.needed, exits.paid) == (2, 0, 0)
    desk.fills("LOSS", 500, 9020)
    assert desk.closes("LOSS")[-1].paid == 0  # by this offset


def test_a_quantum_that_nobody_has_is_not_enough_to_go_on() -> None:
    desk = under_way()
    filled, gave_up = desk.fills("WIN", 1000, 11000, fee=10 * DOLLAR + 1)  # 10 dollars are left in WIN
    assert filled.profit == -1
    assert (gave_up.code, gave_up.reason) == ("NOT_ENOUGH_PROFIT", f"needed={10 * DOLLAR + 1}, missing=1")


def test_a_winner_whose_order_fails_is_not_asked_again() -> None:
    desk = several()
    desk.fills("FIVE", 1000, 10500)
    desk.fills("THREE", 834, 10300)
    ended, again = desk.fails("FOUR", 1000)
    assert ended == e.OffsetOrderEnded("main", 1, "FOUR", 1, 1000, "refused")  # type: ignore[arg-type]
    assert kinds((again,)) == ["OffsetAbandoned"]  # 3.998 dollars are needed; 0.498 and 2 are there
    assert again.code == "WINNERS_FAILED"
    assert again.reason == "needed=399800000, missing=150000000"


def test_and_after_a_failure_the_loser_waits_again() -> None:
    desk = under_way()
    (*_, gave_up) = desk.fails("WIN", 1000)
    assert gave_up.code == "WINNERS_FAILED"
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}
    desk.passes(59)
    assert desk.looks() == ()
    desk.passes(1)
    assert kinds(desk.looks()) == ["OffsetChosen"]


def test_a_part_that_filled_before_its_order_failed_counts() -> None:
    desk = under_way()
    desk.opens("ALSO", 1000, 10000, 11000)
    desk.fills("WIN", 400, 11000, remaining=600)
    _, again = desk.fails("WIN", 600)
    assert (again.step, again.needed) == (2, 6 * DOLLAR)
    assert parts((again,)) == [("ALSO", 600)]


def test_a_winner_of_which_nothing_is_being_closed_is_counted_on_no_longer() -> None:
    desk = under_way()
    desk.opens("ALSO", 1000, 10000, 11000)
    assert desk.looks() == ()
    desk.change("WIN", reducing=0)
    dropped, again = desk.looks()
    assert dropped == e.WinnerDropped("main", 1, "WIN", 1, "nothing of it is being closed")
    assert parts((again,)) == [("ALSO", 1000)]


@pytest.mark.parametrize("changes", [{"reducing": 5}, {"closing": True}, {"status": "exiting"}])
def test_a_winner_that_is_being_closed_is_waited_for(changes: dict[str, Any]) -> None:
    desk = under_way()
    desk.change("WIN", **{"reducing": 0, **changes})
    assert desk.looks() == ()


def test_a_winner_that_is_gone_is_not_waited_for() -> None:
    desk = under_way()
    del desk.groups["WIN"]
    assert kinds(desk.looks()) == ["WinnerDropped", "OffsetAbandoned"]


def test_a_late_fill_of_what_is_counted_on_no_longer_is_not_the_offsets() -> None:
    desk = under_way()
    desk.opens("ALSO", 1000, 10000, 11000)
    desk.change("WIN", reducing=0)
    desk.looks()
    assert desk.fills("WIN", 1000, 11000) == ()
    assert desk.fails("WIN", 1000) == ()


def test_a_fill_of_a_group_that_nobody_knows_is_not_the_offsets() -> None:
    desk = under_way()
    group = desk.groups.pop("WIN")
    noted: Any = c.NoteClose("main", "WIN", 1, group.instrument.id, 11000, 1, 1, 1, 0, "USDT", 0)  # type: ignore[arg-type]
    assert desk.when(noted) == ()


def test_orders_are_nobodys_where_no_offset_is_under_way() -> None:
    desk = Desk()
    desk.opens("WIN", 2000, 10000, 11000)
    assert desk.fills("WIN", 1000, 11000) == ()
    assert desk.fails("WIN", 1000) == ()
    assert desk.when(c.ReviewOffset("main")) == ()


def test_the_loser_closes_by_itself() -> None:
    desk = under_way()
    assert desk.fills("LOSS", 1000, 9000) == ()  # its own exit is not the offset's
    _, gave_up = happened = desk.closes("LOSS")
    assert kinds(happened) == ["GroupForgotten", "OffsetAbandoned"]
    reason = "it closed before it was paid for"
    assert gave_up == e.OffsetAbandoned("main", 1, "LOSS", 1, "LOSER_GONE", reason, 0, desk.at)  # type: ignore[arg-type]
    assert desk.state.plan is None


def test_the_loser_is_gone_before_anybody_has_told() -> None:
    desk = under_way()
    del desk.groups["LOSS"]
    assert kinds(desk.fills("WIN", 1000, 11000)) == ["OffsetFilled"]
    assert kinds(desk.when(c.ForgetGroup("main", "LOSS", 1))) == ["GroupForgotten", "OffsetAbandoned"]


@pytest.mark.parametrize(
    ("what", "code", "reason"),
    [
        ("busy", "LOSER_BUSY", "status=exiting"),
        ("blocked", "LOSER_BLOCKED", "blocked by hand"),
        ("recovered", "LOSER_RECOVERED", "gain=0"),
    ],
)
def test_a_loser_that_is_none_any_more_is_kept(what: str, code: str, reason: str) -> None:
    desk = under_way()
    if what == "busy":
        desk.change("LOSS", status="exiting")
    elif what == "blocked":
        desk.when(c.BlockGroup("main", "LOSS", 1))
    else:
        desk.moves("LOSS", 10000)
    _, gave_up = desk.fills("WIN", 1000, 11000)
    assert (gave_up.code, gave_up.reason, gave_up.paid) == (code, reason, 10 * DOLLAR)


def test_what_was_begun_is_brought_to_its_end_though_the_loss_is_within_the_threshold_again() -> None:
    desk = under_way()
    desk.moves("LOSS", 9999)
    assert kinds(desk.fills("WIN", 1000, 11000)) == ["OffsetFilled", "LoserExitDecided"]


def test_a_loser_whose_closing_order_fails_is_kept_and_waits_again() -> None:
    desk = paid()
    assert desk.looks() == ()
    ended, gave_up = desk.fails("LOSS", 1000)
    assert kinds((ended,)) == ["OffsetOrderEnded"]
    assert (gave_up.code, gave_up.reason) == ("LOSER_NOT_CLOSED", "its closing order came to nothing")
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}
    chosen, exits = desk.waits()
    assert (chosen.parts, chosen.needed, exits.needed) == ((), 0, 0)


def test_while_the_loser_closes_what_others_close_is_their_own() -> None:
    desk = paid()
    assert desk.fills("WIN", 1000, 11000) == ()
    assert desk.fails("WIN", 1) == ()


def test_a_loser_that_closed_in_part_needs_the_rest_only() -> None:
    desk = paid()
    desk.fills("LOSS", 400, 8900, remaining=600)  # 4.40 lost: 5.60 of what was paid are left for a loss of 6
    desk.fails("LOSS", 600)
    chosen = only(desk.waits(), e.OffsetChosen)
    assert (chosen.needed, parts((chosen,))) == (40 * DOLLAR // 100, [("WIN", 46)])


def test_dust_that_cannot_be_closed_does_not_keep_the_loser() -> None:
    desk = paid()
    noted = desk.when(c.NoteCloseEnd("main", "LOSS", 1, 3, "NOTIONAL_BELOW_MINIMUM"))  # type: ignore[arg-type]
    assert kinds(noted) == ["OffsetOrderEnded"]
    assert desk.when(c.ReviewOffset("main")) == ()  # its group is still on its way out
    assert kinds(desk.closes("LOSS")) == ["GroupForgotten", "OffsetCompleted"]


def test_an_exit_that_was_never_carried_out_is_noticed_at_the_next_look() -> None:
    desk = paid()
    desk.change("LOSS", status="open", closing=False)
    assert desk.when(c.ReviewOffset("main")) == ()  # it may not have been told yet
    assert desk.looks()[0].code == "LOSER_NOT_CLOSED"


def test_a_loser_that_is_gone_while_it_closes_is_waited_for() -> None:
    desk = paid()
    del desk.groups["LOSS"]
    assert desk.looks() == ()


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_run_now_evaluates_by_all_the_rules_and_says_what_came_of_it() -> None:
    desk = Desk(enabled=False)
    desk.opens("LOSS", 1000, 10000, 9000)
    assert verdicts(desk.runs()) == {"LOSS": "waiting"}
    assert verdicts(desk.runs()) == {"LOSS": "waiting"}
    desk.opens("WIN", 2000, 10000, 11000)
    desk.passes(60)
    assert kinds(desk.runs()) == ["OffsetChosen"]
    (refused,) = desk.runs()
    assert (refused.command, refused.code, refused.reason) == ("run", "OFFSET_UNDER_WAY", "offset=1")


def test_what_is_under_way_goes_on_though_the_offset_is_switched_off() -> None:
    desk = under_way()
    desk.when(c.ConfigureOffset("main", OffsetSettings(enabled=False, cost_margin_pct=Decimal(0))))
    assert DECIDER.rounds is not None
    assert DECIDER.rounds(desk.state) == (60_000_000, c.EvaluateOffset("main"))
    desk.fills("WIN", 1000, 11000)
    desk.closes("LOSS")
    assert DECIDER.rounds(desk.state) is None


def test_skip_passes_the_next_loser_over_once() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.opens("WIN", 2000, 10000, 11000)
    assert desk.when(c.SkipOffset("main")) == (e.SkipRequested("main"),)
    assert desk.when(c.SkipOffset("main")) == ()
    assert kinds(desk.looks()) == ["OffsetEvaluated"]  # nobody qualifies, so nobody is passed over
    desk.moves("WIN", 10000)
    assert kinds(desk.waits()) == ["OffsetEvaluated"]  # nobody pays, so nobody is passed over
    desk.moves("WIN", 11000)
    (skipped,) = desk.looks()
    assert (skipped.loser.bot, skipped.loser.verdict, skipped.settings_version) == ("LOSS", "qualified", 1)
    assert (skipped.at, desk.state.skip) == (desk.at, False)
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}
    assert kinds(desk.waits()) == ["OffsetChosen"]


def test_after_a_skip_what_was_said_before_it_is_said_again() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}
    desk.opens("WIN", 2000, 10000, 11000)
    desk.when(c.SkipOffset("main"))
    assert kinds(desk.waits()) == ["OffsetSkipped"]
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}, "it waits from the skip on"


def test_a_group_is_blocked_and_unblocked() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    block, unblock = c.BlockGroup("main", "LOSS", 1), c.UnblockGroup("main", "LOSS", 1)
    assert desk.when(unblock) == ()
    before = desk.state.watched
    assert desk.when(block) == (e.GroupBlocked("main", "LOSS", 1),)
    assert desk.when(block) == ()
    assert verdicts(desk.waits()) == {"LOSS": "blocked"}
    assert desk.when(unblock) == (e.GroupUnblocked("main", "LOSS", 1),)
    assert desk.state.watched == before
    assert verdicts(desk.looks()) == {"LOSS": "qualified"}


def test_a_group_that_is_blocked_stays_so_when_it_grows() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.when(c.BlockGroup("main", "LOSS", 1))
    desk.passes(1)
    assert kinds(desk.when(c.WatchGroup("main", "LOSS", 1, 1))) == ["GroupWatched"]
    assert verdicts(desk.waits()) == {"LOSS": "blocked"}


def test_after_an_offset_what_was_said_before_it_is_said_again() -> None:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}
    desk.opens("WIN", 2000, 10000, 11000)
    assert kinds(desk.waits()) == ["OffsetChosen"]
    assert kinds(desk.fails("WIN", 1000)) == ["OffsetOrderEnded", "OffsetAbandoned"]
    assert verdicts(desk.looks()) == {"LOSS": "waiting"}


@pytest.mark.parametrize(("command", "name"), [(c.BlockGroup, "block"), (c.UnblockGroup, "unblock")])
def test_a_group_that_is_not_live_cannot_be_blocked(command: Any, name: str) -> None:
    (refused,) = Desk().when(command("main", "dca", 7))
    reason = "group 7 of bot dca is not live, or the offset is not configured"
    assert refused == e.OffsetCommandRefused("main", name, "GROUP_UNKNOWN", reason)
