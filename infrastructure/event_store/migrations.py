"""Schema migrations: plain SQL files, applied in order of name, each once, all or none.

The runner is our own. yoyo-migrations 9 keeps its lock as a row that a killed process leaves behind, knows a migration
by its name alone, so that an altered file passes for the applied one, and takes SQL apart into statements by itself.
Here the lock is Postgres's own and ends with the transaction, a digest stands beside the name, and the server parses.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from msgspec import Struct

from domain.errors import StoreError

SCHEMA = Path(__file__).parent / "schema"
_LOCK = 0x7472_7565_0001
"""The advisory lock of whoever migrates a database."""

Connection = psycopg.Connection[Any]


class Migration(Struct, frozen=True):
    """One file of the schema."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = SCHEMA) -> list[Migration]:
    return [Migration(path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.sql"))]


def migrate(url: str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing as the user of `url`, who then owns it; returns the names applied."""
    known = read_migrations() if migrations is None else migrations
    try:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, digest text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())",
            )
            missing = _missing(connection, known)
            for migration in missing:
                connection.execute(migration.sql.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (name, digest) VALUES (%s, %s)", [migration.name, migration.digest]
                )
            return [migration.name for migration in missing]
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"this user may not migrate the database ({error.diag.message_primary}); it needs to own the database, and "
            "CREATEROLE or an existing role truetape_writer granted to it"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"the database cannot be migrated: {error}") from error


def check_schema(connection: Connection, migrations: Sequence[Migration] | None = None) -> None:
    """Raise StoreError unless exactly the schema that this code knows is applied."""
    known = read_migrations() if migrations is None else migrations
    found = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
    if not (found and found[0]):
        raise StoreError("the database has no Truetape schema; run `truetape migrate`")
    missing = _missing(connection, known)
    if missing:
        raise StoreError(
            f"the database's schema is older than this Truetape ({missing[0].name} is missing); run `truetape migrate`"
        )


def _missing(connection: Connection, known: Sequence[Migration]) -> list[Migration]:
    applied = dict(connection.execute("SELECT name, digest FROM schema_migrations ORDER BY name").fetchall())
    digests = {migration.name: migration.digest for migration in known}
    for name, digest in applied.items():
        if name not in digests:
            raise StoreError(f"the database's schema is newer than this Truetape ({name}); upgrade Truetape")
        if digests[name] != digest:
            raise StoreError(f"{name} was applied with other contents; restore the file, and put changes in a new one")
    return [migration for migration in known if migration.name not in applied]
