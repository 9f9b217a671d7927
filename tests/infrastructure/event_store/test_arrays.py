"""What is packed as an array is what Postgres reads; what no array holds is refused before it is sent."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.event_store.arrays import packed
from infrastructure.event_store.database import Database

LARGEST = 2**63 - 1
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-LARGEST - 1, LARGEST),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "text": st.text(st.characters(blacklist_characters="\0", exclude_categories=["Cs"]), max_size=5),
    "bytea": st.binary(max_size=5),
}


@given(kind=st.sampled_from(sorted(VALUES)), data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_array_comes_back_as_it_was(database: Database, kind: str, data: st.DataObject) -> None:
    element = VALUES[kind]
    values = data.draw(st.lists(st.one_of(element, st.none()), min_size=1, max_size=6) | st.lists(element, min_size=1))
    with database.datastore.get_connection() as connection, connection.cursor(binary=True) as cursor:
        row = cursor.execute(f"SELECT %s::{kind}[] AS came".encode(), [packed(kind, values)]).fetchone()
    assert row is not None
    assert [bytes(each) if isinstance(each, memoryview) else each for each in row["came"]] == values


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 2**70])
@pytest.mark.parametrize("others", [(), (1,), (1, None), (2**63,), (-5, 7)])
def test_a_number_that_is_too_large_is_refused(number: int, others: Sequence[int | None]) -> None:
    for values in ([number, *others], [*others, number]):
        with pytest.raises((OverflowError, struct.error)):
            packed("bigint", values)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        packed("text", ["a", "\ud800"])
