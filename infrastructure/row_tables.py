"""Row types as tables: what each is asked in SQL, and the rows of one run read and written through it."""

import types
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import TupleRow

from domain.errors import StoreError
from domain.values import LARGEST
from projections.rows import Key, Row, key_getter

SCHEMA = "public"
SHADOWS = "pg_temp"
"""Where the tables of a rebuild are, under the same names."""
KEPT_ROWS = 5000
"""Rows of one table that a run keeps in memory from batch to batch."""

R = TypeVar("R", bound=Row)
Cursor = psycopg.Cursor[TupleRow]


class Column(Struct, frozen=True):
    """A column of a row's table."""

    name: str
    type: Literal["bigint", "boolean", "text"]
    nullable: bool


class Table(Struct, frozen=True):
    """A row type's table: its columns, the run first, then the key, then the rest; and its statements."""

    name: str
    columns: tuple[str, ...]
    key_width: int
    select_ordered: sql.Composed
    make_shadow: sql.Composed
    drop_shadow: sql.Composed
    clear: sql.Composed
    fill_from_shadow: sql.Composed
    compare: sql.Composed


class Access(Struct, frozen=True):
    """How the rows of one run are read from a table in one schema, and written to it."""

    select_one: sql.Composed
    select_some: sql.Composed
    upsert: sql.Composed


def columns_of(row_type: type[Row]) -> tuple[Column, ...]:
    """The columns of a row type's fields; raises TypeError for a field that has no column type."""
    return tuple(_column(row_type, field) for field in msgspec.structs.fields(row_type))


@cache
def table_of(row_type: type[Row]) -> Table:
    columns = ("run", *(column.name for column in columns_of(row_type)))
    key_width = 1 + len(row_type.key)
    table, shadow = sql.Identifier(SCHEMA, row_type.table), sql.Identifier(SHADOWS, row_type.table)
    names, key = _names(columns), _names(columns[:key_width])
    return Table(
        name=row_type.table,
        columns=columns,
        key_width=key_width,
        select_ordered=sql.SQL("SELECT {} FROM {} WHERE run = %s ORDER BY {}").format(_names(columns[1:]), table, key),
        make_shadow=sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING INDEXES) ON COMMIT DROP").format(
            sql.Identifier(row_type.table), table
        ),
        drop_shadow=sql.SQL("DROP TABLE {}").format(shadow),
        clear=sql.SQL("DELETE FROM {}").format(table),
        fill_from_shadow=sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(table, names, names, shadow),
        compare=sql.SQL(
            "SELECT {stored}, {folded} FROM {table} AS stored FULL JOIN {shadow} AS folded ON {same_key}"
            " WHERE ({stored}) IS DISTINCT FROM ({folded}) ORDER BY {key}"
        ).format(
            stored=_names(columns, "stored"),
            folded=_names(columns, "folded"),
            table=table,
            shadow=shadow,
            same_key=sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(sql.Identifier("stored", name), sql.Identifier("folded", name))
                for name in columns[:key_width]
            ),
            key=sql.SQL(", ").join(
                sql.SQL("coalesce({}, {})").format(sql.Identifier("stored", name), sql.Identifier("folded", name))
                for name in columns[:key_width]
            ),
        ),
    )


@cache
def _access_to(row_type: type[Row], schema: str) -> Access:
    table = sql.Identifier(schema, row_type.table)
    columns = columns_of(row_type)
    names = [column.name for column in columns]
    rest = names[len(row_type.key) :]
    return Access(
        select_one=sql.SQL("SELECT {} FROM {} WHERE run = %s AND {}").format(
            _names(names),
            table,
            sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in row_type.key),
        ),
        select_some=sql.SQL("SELECT {} FROM {} WHERE run = %s LIMIT %s").format(_names(names), table),
        upsert=sql.SQL(
            "INSERT INTO {} (run, {}) SELECT %s, * FROM unnest({}) ON CONFLICT (run, {}) DO UPDATE SET {}"
        ).format(
            table,
            _names(names),
            sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(column.type)) for column in columns),
            _names(row_type.key),
            sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in rest),
        ),
    )


def _storable(value: Any) -> Any:
    """Postgres's text has no NUL; the log keeps it, a row shows that something was there."""
    return value.replace("\x00", "\ufffd") if isinstance(value, str) and "\x00" in value else value


def _unstorable(rows: Iterable[Row]) -> str | None:
    """Name the first number that is too large for its column: money is unbounded on the way, a column is not."""
    for row in rows:
        for name, value in msgspec.structs.asdict(row).items():
            if isinstance(value, int) and abs(value) > LARGEST:
                key = ", ".join(map(str, key_getter(type(row))(row)))
                return f"{row.table} ({key}): {name} is {value}; a row holds at most {LARGEST}"
    return None


class PostgresRows:
    """The rows of one run in Postgres: read when first asked for, written once by `flush`.

    Between flushes it keeps what it has read and changed; past a flush a table of at most `kept_rows` rows whole, and
    of a larger one what was changed last.
    """

    def __init__(self, cursor: Cursor, run: int, schema: str = SCHEMA, kept_rows: int = KEPT_ROWS) -> None:
        self._cursor = cursor
        self._run = run
        self._schema = schema
        self._kept_rows = kept_rows
        self._known: dict[type[Row], dict[Key, Row | None]] = {}
        self._changed: dict[type[Row], dict[Key, Row]] = {}
        self._whole: dict[type[Row], bool] = {}

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        known = self._known.setdefault(row_type, {})
        if key not in known:
            if row_type not in self._whole:
                self._read_whole(row_type, known)
            if key not in known:
                known[key] = None if self._whole[row_type] else self._read_one(row_type, key)
        return known[key]  # type: ignore[return-value]  # what is kept for a row type is of that type

    def put(self, row: Row) -> None:
        row_type = type(row)
        key = key_getter(row_type)(row)
        self._known.setdefault(row_type, {})[key] = row
        self._changed.setdefault(row_type, {})[key] = row

    def flush(self) -> None:
        """Write every changed row, each table in one statement; raises StoreError for what no column holds."""
        for row_type, rows in self._changed.items():
            columns = [
                [_storable(value) for value in column]
                for column in zip(*map(msgspec.structs.astuple, rows.values()), strict=True)
            ]
            try:
                self._cursor.execute(_access_to(row_type, self._schema).upsert, [self._run, *columns])
            except psycopg.DataError as error:
                raise StoreError(_unstorable(rows.values()) or f"{row_type.table}: {error}") from error
        for row_type, known in self._known.items():
            if len(known) > self._kept_rows:
                self._whole[row_type] = False
            if not self._whole.get(row_type):
                self._known[row_type] = dict(self._changed.get(row_type, {}))
        self._changed = {}

    def _read_whole(self, row_type: type[R], known: dict[Key, Row | None]) -> None:
        """Read a table at once if it is small; what has been put meanwhile is newer."""
        rows = self._cursor.execute(
            _access_to(row_type, self._schema).select_some, [self._run, self._kept_rows + 1]
        ).fetchall()
        self._whole[row_type] = len(rows) <= self._kept_rows
        if self._whole[row_type]:
            key_of = key_getter(row_type)
            for row in map(row_type, *zip(*rows, strict=True)) if rows else ():
                known.setdefault(key_of(row), row)

    def _read_one(self, row_type: type[R], key: Key) -> R | None:
        statement = _access_to(row_type, self._schema).select_one
        row = self._cursor.execute(statement, [self._run, *key], prepare=True).fetchone()
        return None if row is None else row_type(*row)


def _names(names: tuple[str, ...] | list[str], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table, name) if table else sql.Identifier(name) for name in names)


def _column(row_type: type[Row], field: msgspec.structs.FieldInfo) -> Column:
    kinds = set(_plain(field.type))
    nullable = type(None) in kinds
    kinds.discard(type(None))
    if kinds == {int}:
        return Column(field.name, "bigint", nullable)
    if kinds == {bool}:
        return Column(field.name, "boolean", nullable)
    if kinds == {str}:
        return Column(field.name, "text", nullable)
    raise TypeError(f"{row_type.__name__}.{field.name} is {field.type}; a row holds int, str, bool or None")


def _plain(annotation: Any) -> list[type]:
    """The plain types of an annotation: a literal counts as the types of its values."""
    origin = get_origin(annotation)
    if origin is Literal:
        return [type(value) for value in get_args(annotation)]
    if origin in {Union, types.UnionType}:
        return [plain for argument in get_args(annotation) for plain in _plain(argument)]
    return [annotation]
