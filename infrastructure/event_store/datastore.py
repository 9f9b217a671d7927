"""The pool of connections to the database, every one of them acting as the writer role."""

from collections.abc import Callable
from typing import Any

import psycopg
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from psycopg.rows import DictRow, dict_row

from infrastructure.event_store import arrays

ACT_AS_WRITER = "SET ROLE truetape_writer"
_CONNECT_SECONDS = 10.0
_IDLE_IN_TRANSACTION_SECONDS = 10.0
_CONNECTIONS_MAX = 10


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
            url,
            connection_class=psycopg.Connection[DictRow],
            kwargs={"row_factory": dict_row},
            min_size=1,
            max_size=_CONNECTIONS_MAX,
            open=False,
            configure=self.after_connect_func(),
            timeout=_CONNECT_SECONDS,
        )

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        after_connect = super().after_connect_func()

        def act_as_writer(connection: psycopg.Connection[Any]) -> None:
            after_connect(connection)
            # Under the append lock each statement must see what was committed before it, whatever the server's default.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.execute(ACT_AS_WRITER)
            arrays.register(connection)

        return act_as_writer
