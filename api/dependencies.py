"""What routes are given: the database, its views, and that whoever asks may look."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from anyio import to_thread
from fastapi import Depends
from starlette.requests import HTTPConnection

from api.security import permitted, principal_of
from infrastructure.event_store.database import Database
from infrastructure.row_views import Views


def database_of(connection: HTTPConnection) -> Database:
    """The application's database, which `create_app` puts into its state."""
    database = connection.app.state.database
    assert isinstance(database, Database)
    return database


def views_of(connection: HTTPConnection) -> Views:
    """The application's views; made when first asked for."""
    state = connection.app.state
    views = getattr(state, "views", None)
    if not isinstance(views, Views):
        views = state.views = Views(database_of(connection))
    return views


TokenCheck = Callable[[str], Awaitable[bool]]
"""Whether this access token is good, now, for reading."""


def tokens_of(connection: HTTPConnection) -> TokenCheck:
    """How a websocket's client is known: browsers cannot give it a header."""

    async def check(token: str) -> bool:
        principal = await to_thread.run_sync(principal_of, connection.app, token)
        return principal is not None and principal.may("read")

    return check


ViewsHere = Annotated[Views, Depends(views_of)]
TokensHere = Annotated[TokenCheck, Depends(tokens_of)]

VIEWER = Depends(permitted("read"))
"""Routers of reads: whoever asks may look."""
