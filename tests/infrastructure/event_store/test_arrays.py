"""What is packed as an array is what Postgres reads; what no array holds is refused before it is sent."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.event_store.arrays import column, joined, packed, register

LARGEST = 2**63 - 1
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-LARGEST - 1, LARGEST),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    "bytea": st.binary(max_size=5),
}


@pytest.fixture
def connection(owner_url: str) -> Iterator[psycopg.Connection]:
    """Not one of a pool, whose threads use chance while Hypothesis draws."""
    with psycopg.connect(owner_url, autocommit=True) as opened:
        register(opened)
        yield opened


def arrays_of(kind: str) -> st.SearchStrategy[tuple[str, list[Any]]]:
    element = VALUES[kind]
    mixed = st.lists(element | st.none(), min_size=1, max_size=6)
    return st.tuples(st.just(kind), mixed | st.lists(element, min_size=1))


@given(array=st.sampled_from(sorted(VALUES)).flatmap(arrays_of))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_array_comes_back_as_it_was(connection: psycopg.Connection, array: tuple[str, list[Any]]) -> None:
    kind, values = array
    with connection.cursor(binary=True) as cursor:
        (came,) = cursor.execute(f"SELECT %s::{kind}[]".encode(), [packed(kind, values)]).fetchone() or ([],)
    assert came == values


@given(array=st.sampled_from(sorted(VALUES)).flatmap(arrays_of), cut=st.integers(1, 5))
def test_columns_joined_are_the_array_of_all_their_values(array: tuple[str, list[Any]], cut: int) -> None:
    kind, values = array
    parts = [values[start : start + cut] for start in range(0, len(values), cut)]
    assert joined([column(kind, part) for part in parts]).packed == packed(kind, values).packed


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 2**70])
@pytest.mark.parametrize("others", [(), (1,), (1, None), (2**63,), (-5, 7)])
def test_a_number_that_is_too_large_is_refused(number: int, others: Sequence[int | None]) -> None:
    for values in ([number, *others], [*others, number]):
        with pytest.raises((OverflowError, struct.error)):
            packed("bigint", values)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        packed("text", ["a", "\ud800"])
