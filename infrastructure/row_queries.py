"""Rows of one run asked for: filtered, in an order of their own, a page at a time; from Postgres or from memory."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from infrastructure.row_tables import Column, columns_of
from infrastructure.row_versions import history_table
from projections.rows import MemoryRows, Row

R = TypeVar("R", bound=Row)
Value = str | int | bool
Values = tuple[Value, ...]


class Unequal(Struct, frozen=True):
    """A filter: the field is not this."""

    value: Value


Filters = Mapping[str, Value | Values | Unequal]
"""Fields and what they must be: a value, one of several, or not a value."""


class Page(Struct, frozen=True):
    """A part of a list: at most `limit` rows in the order of these fields, from behind the row with these values."""

    order: tuple[str, ...]
    descending: bool = False
    after: Values | None = None
    limit: int | None = None


class RowSource(Protocol):
    """The rows of one run at one position."""

    def one(self, row_type: type[R], *key: str | int) -> R | None:
        """Return the row with this key, None where there is none."""

    def some(self, row_type: type[R], where: Filters, page: Page | None = None) -> list[R]:
        """Return the rows that pass the filters; without a page all of them, in the order of their keys."""

    def sums(self, row_type: type[Row], fields: Sequence[str], where: Filters, page: Page) -> list[tuple[Any, ...]]:
        """Add the fields up by those of the page's order; return the values of both."""


class StoredRows:
    """Rows of a run in Postgres, seen through one cursor; text is ordered by code point, as in memory.

    They are those of now, or, from their history, those as of a boundary that this goes to.
    """

    def __init__(self, cursor: Cursor[TupleRow], run: int, boundary: int | None = None) -> None:
        self._cursor = cursor
        self._run = run
        self._boundary = boundary

    def one(self, row_type: type[R], *key: str | int) -> R | None:
        found = self.some(row_type, dict(zip(row_type.key, key, strict=True)))
        return found[0] if found else None

    def some(self, row_type: type[R], where: Filters, page: Page | None = None) -> list[R]:
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns_of(row_type))
        rows = self._select(row_type, names, where, page or Page(row_type.key), sql.SQL(""))
        return [row_type(*row) for row in rows]

    def sums(
        self, row_type: type[Row], fields: Sequence[str], where: Filters, page: Page, *, counted: bool = False
    ) -> list[tuple[Any, ...]]:
        """Add the fields up; `counted` puts the number of rows behind them."""
        by = sql.SQL(", ").join(_ordered(row_type, page.order))  # so that an index in this order is of use
        added = [sql.SQL("sum({})").format(sql.Identifier(name)) for name in fields]
        if counted:
            added.append(sql.SQL("count(*)").format())
        names = sql.SQL(", ").join([by, *added])
        width = len(page.order)
        rows = self._select(row_type, names, where, page, sql.SQL(" GROUP BY {}").format(by))
        return [(*row[:width], *map(int, row[width:])) for row in rows]

    def _select(
        self, row_type: type[Row], names: sql.Composable, where: Filters, page: Page, grouping: sql.Composable
    ) -> list[TupleRow]:
        conditions, parameters = _conditions(where)
        table = row_type.table
        if self._boundary is not None:
            table = history_table(row_type)
            conditions += [sql.SQL("since <= %s"), sql.SQL("until > %s")]
            parameters += [self._boundary, self._boundary]
        order = _ordered(row_type, page.order)
        if page.after is not None:
            marks = sql.SQL(", ").join(sql.Placeholder() for _ in page.after)
            conditions.append(
                sql.SQL("({}) {} ({})").format(
                    sql.SQL(", ").join(order), sql.SQL("<" if page.descending else ">"), marks
                )
            )
            parameters += page.after
        direction = sql.SQL(" DESC" if page.descending else "")
        statement = sql.SQL("SELECT {} FROM {} WHERE {}{} ORDER BY {} LIMIT %s").format(
            names,
            sql.Identifier(table),
            sql.SQL(" AND ").join([sql.SQL("run = %s"), *conditions]),
            grouping,
            sql.SQL(", ").join(name + direction for name in order),
        )
        return self._cursor.execute(statement, [self._run, *parameters, page.limit]).fetchall()


class FoldedRows:
    """Rows of a run in memory."""

    def __init__(self, rows: MemoryRows) -> None:
        self._rows = rows

    def one(self, row_type: type[R], *key: str | int) -> R | None:
        return self._rows.get(row_type, *key)

    def some(self, row_type: type[R], where: Filters, page: Page | None = None) -> list[R]:
        page = page or Page(row_type.key)
        fields = [attrgetter(name) for name in page.order]

        def place(row: R) -> Values:
            return tuple(field(row) for field in fields)

        found = [(place(row), row) for row in self._rows.all(row_type) if passes(row, where)]
        return [row for _, row in cut(found, page)]

    def sums(self, row_type: type[Row], fields: Sequence[str], where: Filters, page: Page) -> list[tuple[Any, ...]]:
        totals: dict[Values, list[int]] = {}
        for row in self._rows.all(row_type):
            if passes(row, where):
                total = totals.setdefault(tuple(getattr(row, name) for name in page.order), [0] * len(fields))
                for index, name in enumerate(fields):
                    total[index] += getattr(row, name)
        return [(*by, *total) for by, total in cut(totals.items(), page)]


T = TypeVar("T")


def cut(placed: Iterable[tuple[Values, T]], page: Page) -> list[tuple[Values, T]]:
    """What belongs on the page of things at their places."""
    after = page.after
    if after is not None:
        placed = [pair for pair in placed if (pair[0] < after if page.descending else pair[0] > after)]
    ordered = sorted(placed, key=lambda pair: pair[0], reverse=page.descending)
    return ordered[: page.limit]


def passes(row: Row, where: Filters) -> bool:
    """Whether a row is one of those asked for."""
    for name, wanted in where.items():
        value = getattr(row, name)
        if isinstance(wanted, Unequal):
            if value == wanted.value:
                return False
        elif isinstance(wanted, tuple):
            if value not in wanted:
                return False
        elif value != wanted:
            return False
    return True


def _conditions(where: Filters) -> tuple[list[sql.Composable], list[Any]]:
    conditions: list[sql.Composable] = []
    parameters: list[Any] = []
    for name, wanted in where.items():
        field = sql.Identifier(name)
        if isinstance(wanted, Unequal):
            conditions.append(sql.SQL("{} <> %s").format(field))
            parameters.append(wanted.value)
        elif isinstance(wanted, tuple):
            conditions.append(sql.SQL("{} = ANY(%s)").format(field))
            parameters.append(list(wanted))
        else:
            conditions.append(sql.SQL("{} = %s").format(field))
            parameters.append(wanted)
    return conditions, parameters


def _ordered(row_type: type[Row], order: tuple[str, ...]) -> list[sql.Composable]:
    columns: dict[str, Column] = {column.name: column for column in columns_of(row_type)}
    return [
        sql.SQL('{} COLLATE "C"' if columns[name].type == "text" else "{}").format(sql.Identifier(name))
        for name in order
    ]
