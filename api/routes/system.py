"""The system itself: how far the read models are behind the log."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.dependencies import VIEWER, database_of
from api.problems import responses
from infrastructure.projection_lag import watch

router = APIRouter(prefix="/system", tags=["system"], dependencies=[VIEWER])


class ProjectionView(BaseModel):
    """A projection: its rows have every event up to `position`; `stopped` names the event that it cannot take."""

    name: str = Field(examples=["orders"])
    position: int = Field(examples=[1543])
    events_behind: int = Field(examples=[0])
    seconds_behind: float = Field(examples=[0.0])
    stopped: str | None


class ProjectionsView(BaseModel):
    """All projections at one moment, beside the log's last event."""

    log_position: int = Field(examples=[1543])
    projections: list[ProjectionView]


@router.get("/projections", summary="How far each read model is behind the log", responses=responses())
def list_projections(request: Request) -> ProjectionsView:
    found = watch(database_of(request))
    return ProjectionsView(
        log_position=found.head,
        projections=[
            ProjectionView(
                name=lag.projection,
                position=lag.position,
                events_behind=lag.events,
                seconds_behind=lag.seconds,
                stopped=lag.reason,
            )
            for lag in found.lags
        ],
    )
