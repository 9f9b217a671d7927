"""The pool of connections to the database, every one of them acting as the writer role."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from infrastructure.event_store import arrays
from infrastructure.event_store.watchful import WatchfulConnection

ACT_AS_WRITER = "SET ROLE truetape_writer"
_CONNECT_SECONDS = 10.0
_IDLE_IN_TRANSACTION_SECONDS = 10.0
_CONNECTIONS_MAX = 10
_RECONNECT_SECONDS = 4.0
"""The pool waits twice as long after each attempt that failed; after so long it begins anew, when it is asked next."""
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""How long a network that carries nothing any more is believed in: by default it would be hours."""


def patient(url: str) -> str:
    """The URL with the limits above, where it sets none itself."""
    return make_conninfo(url, **{name: value for name, value in _PATIENCE.items() if name not in conninfo_to_dict(url)})


class WriterDatastore(PostgresDatastore):
    """The library's datastore on a whole connection URL, which it cannot take itself."""

    def __init__(self, url: str) -> None:
        super().__init__(
            dbname="",
            host="",
            port="",
            user="",
            password="",
            idle_in_transaction_session_timeout=_IDLE_IN_TRANSACTION_SECONDS,
            originator_id_type="text",
        )
        self.url = url
        self.pool = ConnectionPool(
            patient(url),
            connection_class=WatchfulConnection,
            kwargs={"row_factory": dict_row},
            min_size=1,
            max_size=_CONNECTIONS_MAX,
            open=False,
            configure=self.after_connect_func(),
            timeout=_CONNECT_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
        )

    @contextmanager
    def get_connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        connection: psycopg.Connection[DictRow] | None = None
        try:
            with super().get_connection() as connection:
                yield connection
        finally:
            # What brought one down (a restart) will have brought down those that wait in the pool: without this each of them
            # is an error to whoever gets it.
            if connection is not None and connection.broken:
                if isinstance(connection, WatchfulConnection) and connection.gave_up:
                    self.pool.drain()  # to ask each of them would take as long as it took this one to give up
                else:
                    self.pool.check()

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        after_connect = super().after_connect_func()

        def act_as_writer(connection: psycopg.Connection[Any]) -> None:
            after_connect(connection)
            # Under the append lock each statement must see what was committed before it, whatever the server's default.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.execute(ACT_AS_WRITER)
            arrays.register(connection)

        return act_as_writer
