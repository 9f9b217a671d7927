"""Reports: what a run did, from its log alone, for auditors."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.dependencies import ViewsHere
from api.problems import responses
from api.reads import AsOfText, parse_as_of
from api.security import permitted
from domain.errors import MissingError
from domain.values import LARGEST, parse_time
from infrastructure.event_store.runs import find_run
from infrastructure.row_views import current_run, resolve
from replay.report import Report, Span, report_of

router = APIRouter(prefix="/reports", tags=["reports"], dependencies=[Depends(permitted("audit"))])

Name = Annotated[Literal["orders", "trades", "controls", "settings"], Path()]
TimeText = Annotated[str | None, Query(max_length=64, examples=["2026-01-31T00:00:00Z"])]


class EngineView(BaseModel):
    """The code that decided from a position on."""

    position: int
    engine_version: str
    rules_hash: str
    fill_rules: str


class ManifestView(BaseModel):
    """What a report is of, what was read for it, and the SHA-256 of its bytes."""

    report: str
    report_version: int
    run: int
    label: str
    mode: str
    start: str | None = Field(alias="from")
    end: str | None = Field(alias="to")
    as_of: int | None
    row_count: int
    record_count: int
    first_position: int | None
    last_position: int | None
    engines: list[EngineView]
    format: str
    bytes: int
    sha256: str


def _asked(
    name: Name,
    views: ViewsHere,
    form: Annotated[Literal["csv", "json"], Query(alias="format")] = "csv",
    run: Annotated[int | None, Query(ge=1, le=LARGEST, description="Any kept run; the current one without it.")] = None,
    start: Annotated[TimeText, Query(alias="from", description="Only what was decided from this time on.")] = None,
    end: Annotated[TimeText, Query(alias="to", description="Only what was decided before this time.")] = None,
    as_of: AsOfText = None,
) -> Report:
    database = views.database
    kept = current_run(database) if run is None else find_run(database, run)
    if kept is None:
        raise MissingError("there is no run yet")
    point = parse_as_of(as_of)
    span = Span(
        None if start is None else parse_time(start),
        None if end is None else parse_time(end),
        LARGEST if point is None else resolve(database, kept, point),
    )
    return report_of(database, kept, name, form, span)


Asked = Annotated[Report, Depends(_asked)]


@router.get(  # `name` is the report's, which both depend on
    "/{name}",  # noqa: FAST003
    summary="A report as CSV or JSON, row by row (auditor, admin)",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}, "application/json": {}}},
        **responses(404),
    },
)
def read_report(report: Asked) -> StreamingResponse:
    parts = iter(report)
    # What cannot be read at all is said as a problem, before an answer has begun.
    first = [next(parts), next(parts)]
    named = f'attachment; filename="{report.name}.{report.form}"'
    body: Iterator[bytes] = chain(first, parts)
    return StreamingResponse(body, media_type=report.media_type, headers={"Content-Disposition": named})


@router.get(
    "/{name}/manifest",  # noqa: FAST003
    summary="What a report is of, and its SHA-256 (auditor, admin)",
    responses=responses(404),
)
def read_manifest(report: Asked) -> ManifestView:
    for _ in report:
        pass  # it is read to the end, so that it can be hashed
    manifest: dict[str, Any] = report.manifest
    return ManifestView(**manifest)
