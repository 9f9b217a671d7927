"""Which database: the embedded one in the data folder, or one's own."""

from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, check_environment, connect
from infrastructure.settings import Settings


def open_database(settings: Settings) -> Database:
    """Open the database that the settings name; the embedded one is started and migrated first.

    Raises StoreError, with the mend, where it cannot be reached, is not safe, or has another schema.
    """
    check_environment()
    if settings.database_url:
        return connect(settings.database_url.get_secret_value())
    server = EmbeddedPostgres(settings.home).start()
    try:
        migrations.migrate(server.owner_url)
        return connect(server.url, on_close=server.close)
    except BaseException:
        server.close()
        raise


def migrate_database(settings: Settings) -> list[str]:
    """Bring the schema up to date; returns the names of what was applied."""
    if settings.database_url:
        return migrations.migrate(settings.database_url.get_secret_value())
    with EmbeddedPostgres(settings.home) as server:
        return migrations.migrate(server.owner_url)
