from decimal import Decimal

import pytest

from domain.catalogue import EVENTS
from domain.errors import MissingError
from domain.values import Time
from projections.catalogue import PROJECTIONS
from projections.orders import OrderRow
from projections.rows import (
    Context,
    MemoryRows,
    Projection,
    Row,
    Rows,
    day_text,
    decimal_or_none,
    fold_records,
    key_getter,
    need,
)
from tests.projections.story import BTC, START, Story, fill_of, intended, opened

ROW_TYPES: list[type[Row]] = [row_type for projection in PROJECTIONS for row_type in projection.tables]


def test_every_table_belongs_to_one_projection() -> None:
    names = [row_type.table for row_type in ROW_TYPES]
    assert sorted(names) == sorted(set(names))
    assert len({projection.name for projection in PROJECTIONS}) == len(PROJECTIONS)
    assert set(ROW_TYPES) == set(Row.__subclasses__())


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_key_is_the_first_fields(row_type: type[Row]) -> None:
    assert row_type.key
    assert row_type.__struct_fields__[: len(row_type.key)] == row_type.key


def test_folds_are_of_known_events() -> None:
    folded = {event for projection in PROJECTIONS for event in projection.folds}
    assert folded <= set(EVENTS)


def test_rows_are_got_by_key_and_replaced_by_put() -> None:
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, _bought().records)
    order = need(rows, OrderRow, "main", 1)
    assert key_getter(OrderRow)(order) == ("main", 1)
    assert order.status == "FILLED"
    assert rows.all(OrderRow) == [order]
    assert rows.get(OrderRow, "main", 2) is None
    assert MemoryRows().get(OrderRow, "main", 1) is None


def test_missing_row_is_named() -> None:
    with pytest.raises(MissingError, match="orders has no row for account main, order 2"):
        need(MemoryRows(), OrderRow, "main", 2)


def test_each_event_is_folded_at_its_own_version() -> None:
    seen: list[tuple[int, int, Time]] = []

    def see(rows: Rows, context: Context, event: object) -> None:
        seen.append((context.stream, context.version, context.at))

    projection = Projection("seen", 1, (), dict.fromkeys(EVENTS, see))
    fold_records([projection], MemoryRows(), _bought().records)
    assert seen == [(1, version, START) for version in range(1, 5)]


def test_day_is_utc() -> None:
    assert day_text(START) == "2022-01-01"
    assert day_text(START - 1) == "2021-12-31"
    assert day_text(-1) == "1969-12-31"


def test_decimal_has_no_exponent() -> None:
    assert decimal_or_none(Decimal("1E+5")) == "100000"
    assert decimal_or_none(Decimal("1E-9")) == "0.000000001"
    assert decimal_or_none(None) is None


def _bought() -> Story:
    story = opened(BTC)
    order = intended(1)
    story.tell(1, order, fill_of(order))
    return story
