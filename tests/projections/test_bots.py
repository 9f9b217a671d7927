from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from msgspec import structs

from domain.account.events import AccountOpened, TradingHalted, TradingResumed
from domain.bot.events import (
    BotConfigured,
    BotCreated,
    BotDeleted,
    BotPaused,
    BotResumed,
    BotStarted,
    BotStopped,
    CommandRefused,
    EntryTaken,
    GroupReleased,
)
from domain.bot.settings import GroupSettings, LegSettings
from domain.errors import MissingError
from domain.message import Event
from domain.signal.events import SourceMapped, SourceOpened
from projections.bots import BOTS, AccountRow, BotRow, HaltRow, SourceRow, settings_of
from projections.rows import MemoryRows, fold_records
from tests.domain.test_laws import Play, plays
from tests.projections.story import BTC, HOUR, START, Story

SETTINGS = GroupSettings(Decimal("1000.50"), (LegSettings(Decimal(0), Decimal(100), Decimal("1.0")),))
OTHER = structs.replace(SETTINGS, capital=Decimal("1E+3"), entry="limit")
CREATED = BotCreated("dca", "main", "spot", "dca_signals", BTC, SETTINGS)
ENTERED = EntryTaken("dca", 1, "main", "tv", 1, "long", Decimal(100), BTC, SETTINGS)


def after(*events: Event) -> MemoryRows:
    """Rows after the events, each an hour after the one before."""
    story, rows = Story(), MemoryRows()
    for event in events:
        story.tell(2, event)
        story.at += HOUR
    fold_records([BOTS], rows, story.records)
    return rows


def bot_after(*events: Event) -> BotRow:
    [row] = after(CREATED, *events).all(BotRow)
    return row


def test_a_bot_as_it_was_created() -> None:
    row = bot_after()
    assert structs.replace(row, settings="") == BotRow(
        "dca", "main", "spot", "dca_signals", "BTC/USDT", "", created_at=START, updated_at=START
    )
    assert settings_of(row) == SETTINGS


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), "created"),
        ((BotStarted("dca"),), "running"),
        ((BotStarted("dca"), BotPaused("dca")), "paused"),
        ((BotStarted("dca"), BotPaused("dca"), BotResumed("dca")), "running"),
        ((BotStarted("dca"), BotStopped("dca")), "stopped"),
        ((BotStarted("dca"), BotStopped("dca"), BotDeleted("dca")), "deleted"),
        ((BotStarted("dca"), CommandRefused("dca", "delete", "STATUS_WRONG", "status=running")), "running"),
    ],
)
def test_status_is_the_last_change(events: tuple[Event, ...], status: str) -> None:
    row = bot_after(*events)
    assert row.status == status
    changes = [event for event in events if not isinstance(event, CommandRefused)]
    assert row.updated_at == START + len(changes) * HOUR
    assert row.created_at == START


def test_settings_in_force_are_the_last_ones_exactly() -> None:
    row = bot_after(BotConfigured("dca", OTHER))
    assert settings_of(row) == OTHER
    assert str(settings_of(row).capital) == str(OTHER.capital) == "1E+3"


def test_live_group_is_the_one_not_released() -> None:
    second = structs.replace(ENTERED, group=2)
    assert [bot_after(*events).live for events in ((), (ENTERED,), (ENTERED, GroupReleased("dca", 1)))] == [0, 1, 0]
    row = bot_after(ENTERED, GroupReleased("dca", 1), second)
    assert (row.live, row.groups) == (2, 2)


def test_a_name_used_again_is_a_new_bot_that_counts_its_groups_on() -> None:
    again = structs.replace(CREATED, account="other", settings=OTHER)
    row = bot_after(ENTERED, GroupReleased("dca", 1), BotDeleted("dca"), again)
    assert (row.account, row.status, row.groups, row.created_at) == ("other", "created", 1, START + 4 * HOUR)


def test_halts_of_account_and_bot_stand_apart() -> None:
    rows = after(
        AccountOpened("main", "margin"),
        TradingHalted("main", "", "kill"),
        TradingHalted("main", "dca", "drawdown"),
        TradingResumed("main", ""),
    )
    assert rows.all(AccountRow) == [AccountRow("main", "margin", START)]
    assert rows.get(HaltRow, "main", "") == HaltRow(
        "main", "", halted=False, changed_at=START + 3 * HOUR, reason="kill"
    )
    assert rows.get(HaltRow, "main", "dca") == HaltRow(
        "main", "dca", halted=True, changed_at=START + 2 * HOUR, reason="drawdown"
    )


def test_a_source_goes_to_its_bot() -> None:
    [row] = after(SourceOpened("tv", "dca", BTC.id, 5_000_000)).all(SourceRow)
    assert row == SourceRow("tv", "dca", "BTC/USDT", START, 5_000_000, mapped_at=START)


def test_a_source_has_the_mapping_that_was_set_last_and_since_when() -> None:
    first, second = {"symbol": "$.s", "action": "$.a"}, {"symbol": "BTCUSDT", "action": "$.b"}
    opened = SourceOpened("tv", "dca", BTC.id, None, first, "position")
    [row] = after(opened).all(SourceRow)
    assert (row.mapping, row.follow, row.mapped_at) == ('{"symbol":"$.s","action":"$.a"}', "position", START)
    [row] = after(opened, SourceMapped("tv", second)).all(SourceRow)
    assert (row.mapping, row.opened_at) == ('{"symbol":"BTCUSDT","action":"$.b"}', START)
    assert row.mapped_at == START + HOUR


@pytest.mark.parametrize("event", [BotStarted("dca"), BotConfigured("dca", SETTINGS), ENTERED, GroupReleased("dca", 1)])
def test_a_bot_nobody_created_cannot_be_folded(event: Event) -> None:
    with pytest.raises(MissingError, match="bots has no row for bot dca"):
        after(event)


@given(plays())
def test_bots_stand_as_the_engine_has_them(play: Play) -> None:
    rows = MemoryRows()
    fold_records([BOTS], rows, play.ledger.records)
    for row in rows.all(BotRow):
        state: Any = play.core.state("bot", row.bot)
        known = (state.status, state.groups, state.live, state.settings)
        assert (row.status, row.groups, row.live, settings_of(row)) == known
