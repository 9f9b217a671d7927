"""What the rows say of a risk offset is what it knows."""

from decimal import Decimal
from typing import Any

import msgspec

from domain.message import Event
from domain.portfolio_risk import commands as c
from domain.portfolio_risk import events as e
from domain.portfolio_risk.settings import OffsetSettings
from projections.offsets import OFFSETS, EvaluationRow, OffsetEngineRow, OffsetRow, WatchedGroupRow
from projections.rows import MemoryRows, fold_records
from tests.domain.portfolio_risk.desk import DOLLAR, MINUTE, START, Desk
from tests.domain.portfolio_risk.test_laws import Offsets
from tests.projections.story import HOUR, Story
from tests.projections.story import START as LOG_START


def after(*events: Event) -> MemoryRows:
    """Rows after the events, each an hour after the one before."""
    story, rows = Story(), MemoryRows()
    for event in events:
        story.tell(2, event)
        story.at += HOUR
    fold_records([OFFSETS], rows, story.records)
    return rows


def one(desk: Desk, row_type: type[Any]) -> Any:
    (row,) = after(*desk.past).all(row_type)
    return row


def payable() -> Desk:
    desk = Desk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.opens("WIN", 2000, 10000, 11000)
    return desk


def test_every_event_that_changes_something_is_folded() -> None:
    changing = {each for each in vars(e).values() if isinstance(each, type) and issubclass(each, Event)}
    assert changing - set(OFFSETS.folds) == {Event, e.OffsetCommandRefused, e.OffsetOrderEnded, e.WinnerDropped}


def test_the_settings_in_force_and_since_when() -> None:
    desk = Desk(cost_margin_pct=Decimal("1E+1"))
    desk.when(c.SkipOffset("main"))
    row = one(desk, OffsetEngineRow)
    assert row == OffsetEngineRow(
        "main", 1, True, "-5", True, 60, "last_pyramid", False, None, 60, "10", LOG_START, skip=True
    )  # fmt: skip
    desk.when(c.ConfigureOffset("main", OffsetSettings(minimum_age_minutes=5)))
    row = one(desk, OffsetEngineRow)
    assert (row.settings_version, row.minimum_age_minutes, row.skip) == (2, 5, True)
    assert row.configured_at == LOG_START + 2 * HOUR


def test_a_group_that_is_watched() -> None:
    desk = Desk(timer_start="legs_filled", reset_on_replacement=True)
    desk.opens("LOSS", 1000, 10000, 9000)
    known = WatchedGroupRow("main", "LOSS", 1, START, START, 1)
    assert one(desk, WatchedGroupRow) == known
    desk.passes(1)
    desk.looks()
    desk.when(c.BlockGroup("main", "LOSS", 1))
    desk.when(c.RestartTimer("main", "LOSS", 1))
    row = one(desk, WatchedGroupRow)
    assert (row.finished_at, row.restarted_at, row.blocked) == (START + MINUTE, START + MINUTE, True)
    desk.passes(1)
    desk.when(c.WatchGroup("main", "LOSS", 1, 2))
    desk.when(c.UnblockGroup("main", "LOSS", 1))
    desk.closes("LOSS")
    row = one(desk, WatchedGroupRow)
    assert (row.entered_at, row.max_pyramids, row.finished_at) == (START + 2 * MINUTE, 2, None)
    assert (row.blocked, row.live) == (False, False)


def test_what_an_evaluation_said() -> None:
    desk = payable()
    desk.looks()
    row = one(desk, EvaluationRow)
    assert (row.number, row.outcome, row.needed, row.losers_count, row.winners) == (1, "no_loser", 0, 1, "[]")
    (loser,) = msgspec.json.decode(row.losers)
    assert (loser["bot"], loser["verdict"], loser["loss_pct"], loser["loss"]) == (
        "LOSS",
        "waiting",
        "-10.0000",
        10 * DOLLAR,
    )
    assert row.at == LOG_START + 3 * HOUR
    assert one(desk, OffsetEngineRow).evaluation == 1


def test_an_offset_from_its_choice_to_its_result() -> None:
    desk = payable()
    desk.waits()
    row = one(desk, OffsetRow)
    assert (row.number, row.bot, row.instrument, row.status, row.needed) == (
        1,
        "LOSS",
        "LOSS/USDT",
        "paying",
        10 * DOLLAR,
    )
    assert one(desk, OffsetEngineRow).under_way == 1
    desk.fills("WIN", 1000, 10900)
    row = one(desk, OffsetRow)
    assert (row.step, row.paid) == (2, 9 * DOLLAR)
    assert [part["quantity"] for part in msgspec.json.decode(row.parts)] == [1000, 100]
    desk.fills("WIN", 100, 11000)
    assert one(desk, OffsetRow).status == "closing"
    desk.fills("LOSS", 1000, 8900)
    desk.closes("LOSS")
    row = one(desk, OffsetRow)
    assert (row.status, row.paid, row.lost, row.code) == ("completed", 10 * DOLLAR, -11 * DOLLAR, None)
    assert row.ended_at == LOG_START + (len(desk.past) - 1) * HOUR
    engine = one(desk, OffsetEngineRow)
    assert (engine.offset, engine.under_way) == (1, 0)


def test_an_offset_that_came_to_nothing_and_a_loser_that_was_passed_over() -> None:
    desk = payable()
    desk.waits()
    desk.fails("WIN", 1000)
    row = one(desk, OffsetRow)
    assert (row.status, row.code, row.reason) == (
        "abandoned",
        "WINNERS_FAILED",
        "needed=1000000000, missing=1000000000",
    )
    watched = {row.bot: row.restarted_at for row in after(*desk.past).all(WatchedGroupRow)}
    assert watched == {"LOSS": desk.at, "WIN": None}
    desk.when(c.SkipOffset("main"))
    desk.waits()
    assert {row.bot: row.restarted_at for row in after(*desk.past).all(WatchedGroupRow)}["LOSS"] == desk.at
    assert one(desk, OffsetEngineRow).skip is False


class Rows(Offsets):
    """The same machine, with the rows beside it."""

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        rows, state = after(*self.desk.past), self.desk.state
        (engine,) = rows.all(OffsetEngineRow)
        assert (engine.settings_version, engine.skip) == (state.settings_version, state.skip)
        assert (engine.offset, engine.evaluation) == (state.offsets, state.evaluations)
        assert engine.under_way == (state.plan.number if state.plan else 0)
        live = {(row.bot, row.group): row for row in rows.all(WatchedGroupRow) if row.live}
        assert set(live) == set(state.watched)
        for key, known in state.watched.items():
            row = live[key]
            assert (row.opened_at, row.entered_at, row.finished_at) == (
                known.opened_at,
                known.entered_at,
                known.finished_at,
            )
            assert (row.restarted_at or 0, row.blocked) == (known.restarted_at, known.blocked)
        for event in self.desk.events(e.OffsetCompleted):
            (offset,) = (each for each in rows.all(OffsetRow) if each.number == event.number)
            assert (offset.paid, offset.lost, offset.status) == (event.paid, event.lost, "completed")


TestRows = Rows.TestCase
TestRows.settings = Offsets.TestCase.settings
