"""How anything is read from the database: through a binary cursor of tuples, its troubles said as StoreErrors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eventsourcing.persistence import PersistenceError
from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row

from domain.errors import StoreError
from infrastructure.event_store.database import Database


@contextmanager
def reading(database: Database, what: str = "the database") -> Iterator[Cursor[TupleRow]]:
    """A cursor to read with; the StoreError says what cannot be read."""
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            yield cursor
    except PersistenceError as error:
        raise StoreError(f"{what} cannot be read: {error}") from error


def select(
    database: Database, statement: str, parameters: Sequence[Any] = (), what: str = "the log"
) -> list[tuple[Any, ...]]:
    """All rows of one question."""
    with reading(database, what) as cursor:
        return cursor.execute(statement.encode(), list(parameters)).fetchall()
