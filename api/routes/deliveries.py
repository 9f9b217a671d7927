"""Deliveries of alerts: what came, and what became of it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, AskedOne, Listing, Name, NameFilter, Number, Order, Point, filters, point, time_or_none
from domain.errors import MissingError
from domain.signal.events import Action
from domain.values import time_text
from projections.alerts import AlertRow, Verdict

router = APIRouter(tags=["deliveries"], dependencies=[VIEWER])
_ORDER = Order("deliveries", AlertRow, ("at", "source", "number"), descending=True)


class DeliveryView(BaseModel):
    """A delivery of a source; where it was not acted on, `code` and `reason` say why.

    `group` is the one that it opened or told to close.
    """

    source: str = Field(examples=["tv"])
    number: int = Field(examples=[42])
    at: str
    verdict: Verdict
    code: str | None = Field(examples=["GROUP_LIVE"])
    reason: str | None
    alert_id: str | None
    alert_at: str | None
    instrument: str | None
    timeframe: str | None
    action: Action | None
    price: str | None
    quantity: str | None
    target: str | None = Field(description="The signed size to hold, with the action target.", examples=["-0.5"])
    bot: str | None
    group: int | None


class DeliveryAnswer(DeliveryView):
    """A delivery with its body, secrets redacted, and what position that is true at."""

    body: str
    as_of: Point


@router.get("/deliveries", summary="List deliveries of alerts, newest first", responses=responses())
def list_deliveries(
    asked: AskedList,
    source: NameFilter = None,
    bot: NameFilter = None,
    verdict: Annotated[Verdict | None, Query()] = None,
) -> Listing[DeliveryView]:
    where = filters(source=source, bot=bot, verdict=verdict)
    return asked.rows(_ORDER, AlertRow, where, lambda *_: _view)


@router.get("/deliveries/{source}/{number}", summary="One delivery with its body", responses=responses(404))
def read_delivery(source: Name, number: Annotated[Number, Path()], asked: AskedOne) -> DeliveryAnswer:
    with asked.view(AlertRow) as view:
        row = view.rows.one(AlertRow, source, number)
        if row is None:
            raise MissingError(f"there is no delivery {number} of source {source!r}")
        return DeliveryAnswer(**_view(row).model_dump(), body=row.body, as_of=point(view))


def _view(row: AlertRow) -> DeliveryView:
    return DeliveryView(
        source=row.source,
        number=row.number,
        at=time_text(row.at),
        verdict=row.verdict,
        code=row.code,
        reason=row.reason,
        alert_id=row.alert_id,
        alert_at=time_or_none(row.alert_at),
        instrument=row.instrument,
        timeframe=row.timeframe,
        action=row.action,
        price=row.price,
        quantity=row.quantity,
        target=row.target,
        bot=row.bot,
        group=row.group,
    )
