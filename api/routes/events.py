"""Events: the log of the current run as it is."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, AskedOne, Listing, Name, Number, Order, Point, point, read_cursor
from domain.errors import MissingError
from domain.values import LARGEST
from infrastructure.event_log import LogQuery, read_event, read_events

router = APIRouter(tags=["events"], dependencies=[VIEWER])
_OLDEST = Order("events", None, ("position",))
_NEWEST = Order("events/newest", None, ("position",), descending=True)


class EventView(BaseModel):
    """An event: `version` of its `stream`, decided `at`, `cause` names the event that led to it, null for a fact."""

    position: int = Field(examples=[4711])
    stream: str = Field(examples=["account/main"])
    version: int
    at: str
    actor: str = Field(examples=["user:admin"])
    cause: str | None = Field(examples=["bot/dca@7"])
    event: str = Field(examples=["account.order_filled.v1"])
    data: dict[str, Any]


class EventAnswer(EventView):
    """An event, and how far the log had come."""

    as_of: Point


@router.get("/events", summary="List events in the order of the log, or newest first", responses=responses())
def list_events(
    asked: AskedList,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="Only events behind this position.")] = 0,
    tag: Annotated[Name | None, Query(description="Only events whose name begins so, such as account.order.")] = None,
    stream: Annotated[Name | None, Query(description="Only events of this stream, such as account/main.")] = None,
    order: Annotated[Literal["oldest", "newest"], Query()] = "oldest",
) -> Listing[EventView]:
    listed = _NEWEST if order == "newest" else _OLDEST
    place = None if asked.cursor is None else int(read_cursor(listed, asked.cursor)[0])
    view = asked.views.log(asked.as_of)
    query = LogQuery(
        after=max(after, place or 0) if order == "oldest" else after,
        before=place if order == "newest" else None,
        upto=view.position,
        tag=tag,
        stream=stream,
        newest_first=order == "newest",
        limit=asked.limit + 1,
    )
    found = [] if view.run is None else read_events(asked.views.database, view.run.run, query)
    return asked.listing(view, listed, found, lambda line: EventView(**line), lambda line: (line["position"],))


@router.get("/events/{position}", summary="One event", responses=responses(404))
def read_one_event(position: Annotated[Number, Path()], asked: AskedOne) -> EventAnswer:
    view, line = asked.views.log(asked.as_of), None
    if view.run is not None and position <= view.position:
        line = read_event(asked.views.database, view.run.run, position)
    if line is None:
        raise MissingError(f"there is no event at position {position} of this run's log")
    return EventAnswer(**line, as_of=point(view))
