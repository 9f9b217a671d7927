"""Causes and effects as they are looked up are those that reading the whole log finds, wherever windows begin and end."""

import pytest

from domain.account.events import OrderIntended
from infrastructure import causes
from infrastructure.causes import CausalLog, needle_of
from infrastructure.event_store.codec import encode
from infrastructure.event_store.database import Database
from tests.api.reading import keep, log_of, records


@pytest.fixture
def run(database: Database) -> int:
    """A run behind another, so that its positions are not its own count."""
    keep(database, records(6))
    return keep(database, records(5))


def test_effects_are_the_records_that_name_a_cause(database: Database, run: int) -> None:
    log, whole = CausalLog(database, run), log_of(database, run)
    caused = [(first, record) for first, _, record in whole if record.cause is not None]
    ids = [(record.stream, record.version + offset) for _, _, record in whole for offset in range(len(record.events))]
    assert [(kept.position, kept.record) for kept in log.effects(ids, 10**6)] == caused
    assert [kept.position for kept in log.effects(ids, 7)] == [first for first, _ in caused[:7]]
    assert log.effects([], 10) == []
    for first, record in caused[::20]:
        assert record.cause is not None
        assert first in {kept.position for kept in log.effects([record.cause], 100)}
        holder = log.holding(record.cause)
        assert holder is not None
        assert record.cause in dict(holder.ids())


@pytest.mark.parametrize("window", [1, 2, 7, 1_000])
def test_what_names_a_thing_is_found_in_windows_of_any_size(
    window: int, database: Database, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "WINDOW", window)
    log, needle = CausalLog(database, run), needle_of(("main", 2))
    (stream,) = log.streams("account/main")
    mine = [(first, record) for first, _, record in log_of(database, run) if record.stream == stream]
    naming = [(first, record) for first, record in mine if needle in encode(record)]
    assert len(naming) > 2
    for edge in (0, naming[0][1].version - 1, naming[1][1].version, naming[-1][1].version):
        after = [(kept.position, kept.record) for kept in log.naming(stream, edge, ("main", 2))]
        assert after == [(first, record) for first, record in naming if record.version > edge]
        before = [kept.position for kept in log.named_before(stream, edge, ("main", 2))]
        assert before == [first for first, record in reversed(naming) if record.version < edge]
    assert len(list(log.naming(stream, 0, ()))) == len(mine), "no values are in every record"


def test_a_number_is_found_wherever_it_stands(database: Database, run: int) -> None:
    log = CausalLog(database, run)
    orders = [
        (event.order, first)
        for first, _, record in log_of(database, run)
        for event in record.events
        if isinstance(event, OrderIntended)
    ]
    assert len(orders) > 20
    for order, position in orders:
        kept = log.numbered("account/main", OrderIntended, lambda event: int(event.order), order)
        assert kept is not None
        assert kept.position == position
        known = CausalLog(database, run, position - 1)
        assert known.numbered("account/main", OrderIntended, lambda event: int(event.order), order) is None
    for none in (0, orders[-1][0] + 1):
        assert log.numbered("account/main", OrderIntended, lambda event: int(event.order), none) is None


def test_a_record_is_known_up_to_a_position(database: Database, run: int) -> None:
    first, last, record = next(each for each in log_of(database, run) if len(each[2].events) > 1)
    for position in range(first, last + 1):
        kept = CausalLog(database, run, position).at(position)
        assert kept is not None
        assert (kept.position, kept.record.events) == (first, record.events[: position - first + 1])
    assert CausalLog(database, run, first - 1).at(first) is None
    assert CausalLog(database, run).at(1) is None, "it is another run's"
