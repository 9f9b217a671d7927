"""A database, open: checked before anything is written to it, acting as the writer role."""

import os
from collections.abc import Callable
from typing import Self

import psycopg
from eventsourcing.utils import strtobool

from domain.errors import StoreError
from infrastructure.event_store import migrations
from infrastructure.event_store.datastore import ACT_AS_WRITER, WriterDatastore
from infrastructure.event_store.recorder import RecordRecorder

_CONNECT_SECONDS = 10
_DB_FUNCTIONS = "POSTGRES_ENABLE_DB_FUNCTIONS"
_SAFE: dict[str, tuple[str, ...]] = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_write", "remote_apply"),
}
_SETTING = """
SELECT current_setting(name), source, quote_ident(session_user), quote_ident(current_database())
FROM pg_settings WHERE name = %s
"""
_MENDS = {
    "database": "run `ALTER DATABASE {database} RESET {name}` as its owner",
    "user": "run `ALTER ROLE {user} RESET {name}` as its superuser",
    "database user": "run `ALTER ROLE {user} IN DATABASE {database} RESET {name}` as its superuser",
    "global": "run `ALTER ROLE ALL RESET {name}` as its superuser",
    "client": "take it out of the options of TRUETAPE_DATABASE_URL and of PGOPTIONS",
    "command line": "take it off the command line that starts the server",
}
"""By where a setting comes from, if not from the server's own, than which these are all stronger."""
_MEND = "run `ALTER SYSTEM SET {name} = on` and `SELECT pg_reload_conf()` as its superuser"


class Database:
    """An open database: its schema is the code's, its server is safe, its connections act as the writer role."""

    def __init__(self, url: str, on_close: Callable[[], None] | None = None) -> None:
        self._on_close = on_close
        self.url = url
        self.datastore = WriterDatastore(url)
        self.recorder = RecordRecorder(self.datastore)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.recorder.sequencer.close()
        self.datastore.close()
        if self._on_close:
            self._on_close()


def connect(url: str, on_close: Callable[[], None] | None = None) -> Database:
    """Open a migrated database by its URL; `on_close` is called when it is closed."""
    check_environment()
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, autocommit=True) as connection:
            migrations.check_schema(connection)
            connection.execute(ACT_AS_WRITER)
            check_server(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"this user may not use Truetape's tables ({error.diag.message_primary}); "
            "let the owner run `GRANT truetape_writer TO` that user"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"the database cannot be opened: {str(error).strip()}; see TRUETAPE_DATABASE_URL") from None
    return Database(url, on_close)


def check_server(connection: migrations.Connection) -> None:
    """Refuse a server that may lose what it has acknowledged."""
    for name, allowed in _SAFE.items():
        row = connection.execute(_SETTING, [name]).fetchone()
        assert row is not None, f"every Postgres has the setting {name}"
        value, source, user, database = row
        if value not in allowed:
            mend = _MENDS.get(source, _MEND).format(name=name, user=user, database=database)
            raise StoreError(f"{name} is {value} on this Postgres, so a crash may lose recorded events; {mend}")


def check_environment() -> None:
    """Refuse the library's database functions: with them a tailing reader misses events for good."""
    value = os.environ.get(_DB_FUNCTIONS, "")
    try:
        harmful = bool(value) and strtobool(value)
    except ValueError:
        harmful = True
    if harmful:
        raise StoreError(f"{_DB_FUNCTIONS}={value} lets readers of the log miss events; unset {_DB_FUNCTIONS}")
