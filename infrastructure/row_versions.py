"""The history of rows in tables: every row as it stood at the boundaries of segments, in versions that end where the next begin."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import TupleRow

from domain.values import LARGEST
from infrastructure.row_tables import KEPT_ROWS, SCHEMA, Access, PostgresRows, column_values, columns_of, names_of
from projections.rows import Key, Row, key_getter

STANDING = LARGEST
"""The `until` of a version that no other has followed."""

Cursor = psycopg.Cursor[TupleRow]


class VersionTable(Struct, frozen=True):
    """The statements on a row type's history. `access` reads the versions that still stand; they are not written by it."""

    access: Access
    end: sql.Composed
    insert: sql.Composed
    clear: sql.Composed


def history_table(row_type: type[Row]) -> str:
    return f"{row_type.table}_history"


@cache
def versions_of(row_type: type[Row]) -> VersionTable:
    table = sql.Identifier(SCHEMA, history_table(row_type))
    columns = columns_of(row_type)
    names, width = [column.name for column in columns], len(row_type.key)
    # The value itself, not a parameter: so that the index of the standing versions serves every plan.
    standing = sql.SQL("until = {}").format(sql.Literal(STANDING))
    types = sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(column.type)) for column in columns)
    same_key = _and(sql.SQL("kept.{0} = ended.{0}").format(sql.Identifier(name)) for name in row_type.key)
    return VersionTable(
        access=Access(
            select_one=sql.SQL("SELECT {} FROM {} WHERE run = %s AND {} AND {}").format(
                names_of(names),
                table,
                _and(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in row_type.key),
                standing,
            ),
            select_some=sql.SQL("SELECT {} FROM {} WHERE run = %s AND {} LIMIT %s").format(
                names_of(names), table, standing
            ),
            upsert=sql.Composed([]),
        ),
        end=sql.SQL(
            "UPDATE {} AS kept SET until = ended.until FROM unnest({}, %s::bigint[]) AS ended ({}, until)"
            " WHERE kept.run = %s AND kept.{} AND {}"
        ).format(
            table,
            sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(column.type)) for column in columns[:width]),
            names_of(row_type.key),
            standing,
            same_key,
        ),
        insert=sql.SQL(
            "INSERT INTO {} (run, {}, since, until) SELECT %s, * FROM unnest({}, %s::bigint[], %s::bigint[])"
        ).format(table, names_of(names), types),
        clear=sql.SQL("DELETE FROM {}").format(table),
    )


class VersionedRows(PostgresRows):
    """The rows of one run as of the last boundary that was marked and what has come since; `flush` writes versions.

    What a boundary finds as it was at the one before it gets no new version. What has come behind the last boundary
    is not written: mark one before each flush.
    """

    def __init__(self, cursor: Cursor, run: int, kept_rows: int = KEPT_ROWS) -> None:
        super().__init__(cursor, run, kept_rows=kept_rows)
        self._fresh: dict[type[Row], dict[Key, Row]] = {}
        self._marked: dict[type[Row], list[tuple[int, dict[Key, Row]]]] = {}
        self._first: dict[type[Row], set[Key]] = {}

    def put(self, row: Row) -> None:
        row_type, key = type(row), key_getter(type(row))(row)
        known = self._known.get(row_type, {})
        if key in known:
            before = known[key]
            if before == row:
                return
            if before is None:
                self._first.setdefault(row_type, set()).add(key)
        super().put(row)
        self._fresh.setdefault(row_type, {})[key] = row

    def mark(self, boundary: int) -> None:
        """What has changed since the boundary before stands so from this one on."""
        for row_type, rows in self._fresh.items():
            self._marked.setdefault(row_type, []).append((boundary, rows))
        self._fresh = {}

    def flush(self) -> None:
        super().flush()
        self._marked, self._first = {}, {}

    def _access(self, row_type: type[Row]) -> Access:
        return versions_of(row_type).access

    def _write(self, row_type: type[Row], rows: Mapping[Key, Row]) -> None:
        marked = self._marked.get(row_type, [])
        table = versions_of(row_type)
        first = self._first.get(row_type, set())
        ends = {key: boundary for boundary, made in reversed(marked) for key in made}
        ended = [(*key, boundary) for key, boundary in ends.items() if key not in first]
        if ended:
            self._cursor.execute(table.end, [*map(list, zip(*ended, strict=True)), self._run])
        made, since, until = _spans(marked)
        self._cursor.execute(table.insert, [self._run, *column_values(made), since, until])


def _spans(marked: Sequence[tuple[int, Mapping[Key, Row]]]) -> tuple[list[Row], list[int], list[int]]:
    """Every version that was marked, the boundary from which it stood, and that of the next version of its key."""
    rows: list[Row] = []
    since: list[int] = []
    until: list[int] = []
    following: dict[Key, int] = {}
    for boundary, made in reversed(marked):
        for key, row in made.items():
            rows.append(row)
            since.append(boundary)
            until.append(following.get(key, STANDING))
            following[key] = boundary
    return rows, since, until


def _and(conditions: Iterable[sql.Composed]) -> sql.Composed:
    return sql.SQL(" AND ").join(conditions)
