"""What the rows say of a pool is what the pool knows."""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import structs

from domain.execution_pool import commands as c
from domain.execution_pool import events as e
from domain.execution_pool.settings import PoolSettings
from domain.message import Event
from projections.queue import QUEUE, ExecutionPoolRow, QueuedSignalRow, SlotRow
from projections.rows import MemoryRows, fold_records
from tests.domain.test_execution_pool import ETH, SOL, Desk, Pool
from tests.projections.story import HOUR, START, Story
from tests.spec import BTC


def after(*events: Event) -> MemoryRows:
    """Rows after the events, each an hour after the one before."""
    story, rows = Story(), MemoryRows()
    for event in events:
        story.tell(2, event)
        story.at += HOUR
    fold_records([QUEUE], rows, story.records)
    return rows


def test_every_event_that_changes_the_pool_is_folded() -> None:
    changing = {each for each in vars(e).values() if isinstance(each, type) and issubclass(each, Event)}
    assert changing - set(QUEUE.folds) == {Event, e.PoolCommandRefused, e.SlotExempted}


def test_a_pool_with_its_settings_and_since_when() -> None:
    rows = after(e.PoolOpened("main", 1, PoolSettings()), e.PoolConfigured("main", 2, PoolSettings(3, True, 60)))
    assert rows.all(ExecutionPoolRow) == [ExecutionPoolRow("main", 2, 3, True, 60, START, START + HOUR)]


def test_a_slot_from_its_signal_to_its_end() -> None:
    desk = Desk()
    desk.wants(1, price=Decimal("1E+2"))
    slot = SlotRow("main", "dca", "tv", 1, BTC, "5m", "long", "100", 0, START + 2 * HOUR)
    assert after(*desk.past).all(SlotRow) == [slot]
    desk.opened(1, 7)
    rows = after(*desk.past)
    assert rows.all(SlotRow) == [structs.replace(slot, group=7)]
    assert rows.all(ExecutionPoolRow)[0].reserved == 1
    desk.when(c.ReleaseGroupSlots("main", "dca", 7, "group closed"))
    rows = after(*desk.past)
    assert rows.all(SlotRow) == [
        structs.replace(slot, group=7, held=False, released_at=START + 4 * HOUR, reason="group closed")
    ]
    assert rows.all(ExecutionPoolRow)[0].reserved == 0


def test_each_way_out_of_the_queue() -> None:
    desk = Desk(expiry=90)
    desk.wants(1)
    for number, name in enumerate((BTC, ETH, SOL, SOL), 2):
        desk.wants(number, name)
    desk.promotes(5)
    desk.when(c.RemoveSignal("main", "dca", "tv", 2, "news"))
    desk.when(c.ExpireSignal("main", "dca", "tv", 3))
    desk.drops(1)
    rows = after(*desk.past)
    hour = {number: START + place * HOUR for number, place in ((2, 3), (3, 4), (4, 5), (5, 6))}

    def signal(number: int, name: str, place: int, **changes: Any) -> QueuedSignalRow:
        fields: dict[str, Any] = {"replacements": 0, "preferred": 0, **changes}
        at = hour[number]
        return QueuedSignalRow(
            "main", "dca", "tv", number, name, "5m", "long", "100", 0, place, queued_at=at, expires_at=at + 90 * 60_000_000,
            **fields,
        )  # fmt: skip

    found = {row.number: row for row in rows.all(QueuedSignalRow)}
    assert found[2] == signal(2, BTC, 1, status="removed", ended_at=START + 8 * HOUR, reason="news")
    assert found[3] == signal(3, ETH, 2, status="expired", ended_at=START + 9 * HOUR)
    assert found[4] == signal(
        4, SOL, 3, status="replaced", ended_at=hour[5], replaced_by_bot="dca", replaced_by_source="tv",
        replaced_by_number=5,
    )  # fmt: skip
    promoted = found[5]
    assert (promoted.status, promoted.candidates, promoted.preferred, promoted.replacements) == ("promoted", 1, 1, 1)
    [candidate] = msgspec.json.decode(promoted.ranking or "")
    assert (candidate["number"], candidate["price"], candidate["mark"]) == (5, "100", None)
    assert rows.all(ExecutionPoolRow)[0].waiting == 0


class Rows(Pool):
    """The same machine, with the rows beside it."""

    def teardown(self) -> None:
        rows = after(*self.desk.past)
        state = self.desk.state
        [pool] = rows.all(ExecutionPoolRow)
        assert (pool.reserved, pool.waiting) == (len(state.slots), len(state.waiting))
        assert (pool.settings_version, pool.max_open_groups) == (state.settings_version, state.settings.max_open_groups)
        held = {(row.bot, row.source, row.number): row.group for row in rows.all(SlotRow) if row.held}
        assert held == {key: slot.group for key, slot in state.slots.items()}
        waiting = {row.number: row for row in rows.all(QueuedSignalRow) if row.status == "waiting"}
        assert set(waiting) == self.desk.numbers
        for signal in state.waiting.values():
            row = waiting[signal.number]
            known = (signal.place, signal.replacements, signal.preferred)
            assert (row.place, row.replacements, row.preferred) == known


TestRows = Rows.TestCase
TestRows.settings = Pool.TestCase.settings
