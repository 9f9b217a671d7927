"""A bot's webhook as it stands: how old its alerts may be, and how they are read. Never its secrets."""

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedOne, Name, Point, point
from domain.errors import MissingError
from domain.signal.events import Follow
from domain.values import SECOND, time_text
from projections.bots import SourceRow

router = APIRouter(tags=["webhooks"], dependencies=[VIEWER])


class WebhookAnswer(BaseModel):
    """A webhook; `mapping` has been in force since `mapped_at`, and is empty where forms are told by their keys."""

    webhook: str = Field(examples=["wh_0123456789abcdef"])
    bot: str = Field(examples=["dca"])
    instrument: str = Field(examples=["BTC/USDT"])
    lag_seconds_max: int | None
    follow: Follow
    mapping: dict[str, str] = Field(examples=[{"symbol": "$.data.ticker", "action": "$.data.do"}])
    opened_at: str
    mapped_at: str
    as_of: Point


@router.get("/bots/{bot}/webhook", summary="A bot's webhook", responses=responses(404))
def read_webhook(bot: Name, asked: AskedOne) -> WebhookAnswer:
    with asked.view(SourceRow) as view:
        found = view.rows.some(SourceRow, {"bot": bot})
        if not found:
            raise MissingError(f"bot {bot!r} has no webhook")
        row = max(found, key=lambda each: each.opened_at)  # one that is deleted leaves its own behind
        return WebhookAnswer(
            webhook=row.source,
            bot=row.bot,
            instrument=row.instrument,
            lag_seconds_max=None if row.lag_us_max is None else row.lag_us_max // SECOND,
            follow=row.follow,
            mapping=msgspec.json.decode(row.mapping, type=dict[str, str]),
            opened_at=time_text(row.opened_at),
            mapped_at=time_text(row.mapped_at),
            as_of=point(view),
        )
