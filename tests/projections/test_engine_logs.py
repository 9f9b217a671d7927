"""What the folds say of the engine's own logs is what its aggregates know."""

from typing import Any, TypeVar

from hypothesis import given

from domain.account.events import AccountValued
from domain.bot.events import ReverseDropped
from projections.alerts import AlertRow
from projections.catalogue import PROJECTIONS
from projections.orders import ENDED, OrderRow
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.position_groups import GroupRow, LegRow
from projections.rows import MemoryRows, Row, fold_records
from tests.domain.test_laws import Play, plays

R = TypeVar("R", bound=Row)


def rows_of(play: Play, row_type: type[R]) -> tuple[MemoryRows, list[R]]:
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, play.ledger.records)
    return rows, rows.all(row_type)


@given(plays())
def test_equity_is_what_the_account_was_valued_at(play: Play) -> None:
    rows = MemoryRows()
    for record in play.ledger.records:
        fold_records([PORTFOLIO], rows, [record])
        for event in record.events:
            if isinstance(event, AccountValued):
                books = {row.asset: row.equity for row in rows.all(BalanceRow)}
                assert books == dict(event.equity)


@given(plays())
def test_orders_stand_as_the_account_has_them(play: Play) -> None:
    _, orders = rows_of(play, OrderRow)
    assert len(orders) == play.account.orders_placed
    for row in orders:
        order = play.account.orders.get(row.order)
        if order is None:
            assert row.status in ENDED
            assert not row.missing
        else:
            assert (row.status, row.filled) == (order.status, order.filled)
            assert row.cancel_wanted == order.cancel_wanted


@given(plays())
def test_groups_stand_as_they_know_themselves(play: Play) -> None:
    rows, groups = rows_of(play, GroupRow)
    for group in groups:
        state: Any = play.core.state("position_group", (group.bot, group.group))
        legs = [leg for leg in rows.all(LegRow) if leg.group == group.group]
        assert len(legs) == group.legs
        assert sum(leg.held for leg in legs) == group.held
        if state is None:
            assert (group.status, group.held, group.cost) == ("closed", 0, 0)
            assert not any(leg.target_working for leg in legs)
            assert {leg.status for leg in legs} <= {"filled", "ended"}
        else:
            assert (group.status, group.held) == (state.status, state.held)
            for leg, known in zip(legs, state.legs, strict=True):
                assert (leg.status == "working") == known.working
                assert bool(leg.target_working) == bool(known.targets)


@given(plays())
def test_every_alert_has_a_verdict(play: Play) -> None:
    _, alerts = rows_of(play, AlertRow)
    events = (event for record in play.ledger.records for event in record.events)
    lost = {(event.source, event.number): event for event in events if isinstance(event, ReverseDropped)}
    for alert in alerts:
        assert alert.verdict != "received"
        turn = lost.get((alert.source, alert.number))
        if turn is not None:  # it has closed a group, and opened none
            assert alert.group is not None
            assert (alert.verdict, alert.code) == ("replaced" if turn.code == "REPLACED" else "refused", turn.code)
        else:
            assert (alert.verdict == "accepted") == (alert.group is not None)
            assert bool(alert.code) == (alert.verdict in {"refused", "malformed"})
