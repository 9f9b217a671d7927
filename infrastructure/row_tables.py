"""Row types as tables: what each is asked in SQL, and the rows of one run read and written through it."""

import struct
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import TupleRow

from domain.errors import StoreError
from domain.values import LARGEST
from infrastructure.event_store.arrays import PackedArray, packed
from infrastructure.key_filter import KeyFilter
from projections.rows import Key, Row, key_getter

SCHEMA = "public"
SHADOWS = "pg_temp"
"""Where the tables of a rebuild are, under the same names."""
KEPT_ROWS = 5000
"""Rows of one table that a run keeps in memory from batch to batch."""
READS = 50
"""Rows of one table that are read one by one before it is read whole: a live event asks for a few, a long log for most."""

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
    measure_shadow: sql.Composed
    delete_extra: sql.Composed
    take_over: sql.Composed
    compare: sql.Composed


Statement = bytes | sql.Composed
"""To compose a statement anew each time costs more than to bind what it is given: what is asked often is bytes."""


class Access(Struct, frozen=True):
    """How the rows of one run are read from a table in one schema, and written to it."""

    select_one: Statement
    select_some: Statement
    upsert: Statement


def columns_of(row_type: type[Row]) -> tuple[Column, ...]:
    """The columns of a row type's fields; raises TypeError for a field that has no column type."""
    return tuple(_column(row_type, field) for field in msgspec.structs.fields(row_type))


@cache
def table_of(row_type: type[Row]) -> Table:
    columns = ("run", *(column.name for column in columns_of(row_type)))
    key_width = 1 + len(row_type.key)
    table, shadow = sql.Identifier(SCHEMA, row_type.table), sql.Identifier(SHADOWS, row_type.table)
    names, key = names_of(columns), names_of(columns[:key_width])
    same_key = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier("stored", name), sql.Identifier("folded", name))
        for name in columns[:key_width]
    )
    return Table(
        name=row_type.table,
        columns=columns,
        key_width=key_width,
        select_ordered=sql.SQL("SELECT {} FROM {} WHERE run = %s ORDER BY {}").format(
            names_of(columns[1:]), table, key
        ),
        make_shadow=sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING INDEXES) ON COMMIT DROP").format(
            sql.Identifier(row_type.table), table
        ),
        drop_shadow=sql.SQL("DROP TABLE {}").format(shadow),
        measure_shadow=sql.SQL("ANALYZE {}").format(shadow),
        delete_extra=sql.SQL("DELETE FROM {} AS stored WHERE NOT EXISTS (SELECT FROM {} AS folded WHERE {})").format(
            table, shadow, same_key
        ),
        take_over=sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {folded} FROM {shadow} AS folded LEFT JOIN {table} AS stored"
            " ON {same_key} WHERE ({stored}) IS DISTINCT FROM ({folded})"
            " ON CONFLICT ({key}) DO UPDATE SET {changes}"
        ).format(
            table=table,
            shadow=shadow,
            names=names,
            stored=names_of(columns, "stored"),
            folded=names_of(columns, "folded"),
            same_key=same_key,
            key=key,
            changes=_changes(columns[key_width:]),
        ),
        compare=sql.SQL(
            "SELECT {stored}, {folded} FROM {table} AS stored FULL JOIN {shadow} AS folded ON {same_key}"
            " WHERE ({stored}) IS DISTINCT FROM ({folded}) ORDER BY {key}"
        ).format(
            stored=names_of(columns, "stored"),
            folded=names_of(columns, "folded"),
            table=table,
            shadow=shadow,
            same_key=same_key,
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
        select_one=sql.SQL("SELECT {} FROM {} WHERE run = %s AND {}")
        .format(
            names_of(names),
            table,
            sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in row_type.key),
        )
        .as_bytes(None),
        select_some=sql.SQL("SELECT {} FROM {} WHERE run = %s LIMIT %s").format(names_of(names), table).as_bytes(None),
        upsert=sql.SQL("INSERT INTO {} (run, {}) SELECT %s, * FROM unnest({}) ON CONFLICT (run, {}) DO UPDATE SET {}")
        .format(
            table,
            names_of(names),
            sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(column.type)) for column in columns),
            names_of(row_type.key),
            _changes(rest),
        )
        .as_bytes(None),
    )


def _changes(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in names)


def column_values(rows: Iterable[Row]) -> list[PackedArray]:
    """The values of some rows of one type, at least one, an array for each of their columns."""
    values = list(rows)
    columns = zip(*map(msgspec.structs.astuple, values), strict=True)
    return [
        packed(kind, [_storable(value) for value in column] if kind == "text" else column)
        for kind, column in zip(_types_of(type(values[0])), columns, strict=True)
    ]


@cache
def _types_of(row_type: type[Row]) -> tuple[str, ...]:
    return tuple(column.type for column in columns_of(row_type))


def _storable(value: str | None) -> str | None:
    """Postgres's text has no NUL; the log keeps it, a row shows that something was there."""
    return value.replace("\x00", "\ufffd") if value is not None and "\x00" in value else value


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

    It keeps what it has read and changed: a table of at most `kept_rows` rows whole, once it has been asked for many, and of
    a larger one what was changed last. What is kept is true as long as nobody else writes the rows. `empty` says that
    there are none yet.
    """

    def __init__(
        self, cursor: Cursor, run: int, schema: str = SCHEMA, kept_rows: int = KEPT_ROWS, *, empty: bool = False
    ) -> None:
        self._cursor = cursor
        self._run = run
        self._schema = schema
        self._kept_rows = kept_rows
        self._empty = empty
        self._known: dict[type[Row], dict[Key, Row | None]] = {}
        self._changed: dict[type[Row], dict[Key, Row]] = {}
        self._whole: dict[type[Row], bool] = {}
        self._reads: dict[type[Row], int] = {}
        self._written: dict[type[Row], KeyFilter] = {}

    def use(self, cursor: Cursor) -> None:
        """Read and write through this cursor from now on."""
        self._cursor = cursor

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to flush."""
        return bool(self._changed)

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        known = self._known.get(row_type)
        if known is None:
            known = self._known[row_type] = {}
        if key not in known:
            known[key] = self._find(row_type, key, known)
        return known[key]  # type: ignore[return-value]  # what is kept for a row type is of that type

    def put(self, row: Row) -> None:
        row_type = type(row)
        key = key_getter(row_type)(row)
        known, changed = self._known.get(row_type), self._changed.get(row_type)
        if known is None:
            known = self._known[row_type] = {}
        if changed is None:
            changed = self._changed[row_type] = {}
        known[key] = changed[key] = row

    def flush(self) -> None:
        """Write every changed row, each table in one statement; raises StoreError for what no column holds."""
        for row_type, rows in self._changed.items():
            try:
                self._write(row_type, rows)
            except (psycopg.DataError, OverflowError, struct.error, UnicodeEncodeError) as error:
                raise StoreError(_unstorable(rows.values()) or f"{row_type.table}: {error}") from error
        for row_type, known in self._known.items():
            changed = self._changed.get(row_type, {})
            if len(known) > self._kept_rows:
                if self._whole.get(row_type, self._empty):
                    self._written[row_type] = KeyFilter(key for key, row in known.items() if row is not None)
                self._whole[row_type] = False
                self._known[row_type] = dict(changed)
            if row_type in self._written:
                self._written[row_type].add(changed)
        self._changed = {}

    def _find(self, row_type: type[R], key: Key, known: dict[Key, Row | None]) -> Row | None:
        """A row that is not kept; it is read only where it may be in the table."""
        whole = self._whole.get(row_type, True if self._empty else None)
        if whole is None:
            reads = self._reads[row_type] = self._reads.get(row_type, 0) + 1
            if reads <= min(READS, self._kept_rows):
                return self._read_one(row_type, key)
            self._read_whole(row_type, known)
            whole = self._whole[row_type]
            if key in known:
                return known[key]
        if whole or (row_type in self._written and key not in self._written[row_type]):
            return None
        return self._read_one(row_type, key)

    def _access(self, row_type: type[Row]) -> Access:
        return _access_to(row_type, self._schema)

    def _write(self, row_type: type[Row], rows: Mapping[Key, Row]) -> None:
        self._cursor.execute(self._access(row_type).upsert, [self._run, *column_values(rows.values())])

    def _read_whole(self, row_type: type[R], known: dict[Key, Row | None]) -> None:
        """Read a table at once if it is small; what has been put meanwhile is newer."""
        rows = self._cursor.execute(self._access(row_type).select_some, [self._run, self._kept_rows + 1]).fetchall()
        self._whole[row_type] = len(rows) <= self._kept_rows
        if self._whole[row_type]:
            key_of = key_getter(row_type)
            for row in map(row_type, *zip(*rows, strict=True)) if rows else ():
                known.setdefault(key_of(row), row)

    def _read_one(self, row_type: type[R], key: Key) -> R | None:
        statement = self._access(row_type).select_one
        row = self._cursor.execute(statement, [self._run, *key], prepare=True).fetchone()
        return None if row is None else row_type(*row)


def names_of(names: Sequence[str], table: str | None = None) -> sql.Composed:
    """Names as identifiers, with commas between them."""
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
