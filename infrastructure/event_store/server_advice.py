"""What Truetape advises a Postgres of one's own to be set to: nothing that is durable depends on it, only how fast it is."""

from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import select

_KEPT_MEGABYTES = 512
"""Of the server's log, to be written again: what it writes in a minute of the fastest appending."""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name IN ('wal_init_zero', 'min_wal_size')"


def advice(database: Database) -> list[str]:
    """What would be better set otherwise, and how; raises StoreError."""
    settings = dict(select(database, _SETTINGS, what="the server's settings"))
    if settings["wal_init_zero"] == "off" or int(settings["min_wal_size"]) >= _KEPT_MEGABYTES:
        return []
    said = (
        f"min_wal_size is {settings['min_wal_size']} MB, so an append now and then waits until a new file of the server's log is "
        f"filled with zeros; run `ALTER SYSTEM SET min_wal_size = '{_KEPT_MEGABYTES}MB'` and `SELECT pg_reload_conf()` "
        "as its superuser"
    )
    return [said]
