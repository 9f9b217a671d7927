"""Audit: the signed checkpoints of the log, and the proof of any of its events."""

from datetime import UTC
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from api.dependencies import VIEWER, database_of
from api.problems import responses
from api.reads import LIMIT, LIMIT_MAX, Number
from domain.errors import MissingError
from domain.values import LARGEST
from infrastructure.proof.checkpoints import Checkpoints, KeptCheckpoint, open_checkpoints
from infrastructure.proof.evidence import make_pack

router = APIRouter(prefix="/audit", tags=["audit"], dependencies=[VIEWER])


class CheckpointView(BaseModel):
    """A checkpoint: the first `size` records, up to event `position`, have this root; `note` is what was signed."""

    size: int = Field(examples=[1107])
    position: int = Field(examples=[1543])
    root: str
    note: str
    made_at: str


class CheckpointList(BaseModel):
    """Checkpoints, newest first; `next` is the `below` of the page behind this one, null at the end."""

    items: list[CheckpointView]
    next: int | None


class EvidenceView(BaseModel):
    """An evidence pack: what it says and how to check it without Truetape is in docs/proof.md."""

    format: str
    key: str
    checkpoint: str
    records: list[dict[str, Any]]
    older: dict[str, Any] | None


@router.get("/checkpoints", summary="List checkpoints, newest first", responses=responses())
def list_checkpoints(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
    below: Annotated[int, Query(ge=1, le=LARGEST, description="Only checkpoints of fewer records.")] = LARGEST,
) -> CheckpointList:
    found = _checkpoints(request).listed(limit + 1, below)
    return CheckpointList(
        items=[_view(each) for each in found[:limit]], next=found[limit - 1].size if len(found) > limit else None
    )


@router.get(
    "/checkpoints/latest",
    summary="The newest exported checkpoint, as it was signed",
    response_class=PlainTextResponse,
    responses=responses(404),
)
def latest_checkpoint(request: Request) -> str:
    newest = _checkpoints(request).newest()
    if newest is None:
        raise MissingError("there is no checkpoint yet")
    return newest.note


@router.get(
    "/key",
    summary="The public key that checkpoints are signed with",
    response_class=PlainTextResponse,
    responses=responses(),
)
def public_key(request: Request) -> str:
    return _checkpoints(request).key.verifier.text + "\n"


@router.get("/proof/{position}", summary="The proof of an event under the newest checkpoint", responses=responses(404))
def prove(
    request: Request,
    position: Annotated[Number, Path()],
    older: Annotated[
        int | None, Query(ge=1, le=LARGEST, description="Prove too that the log continues the checkpoint of this size.")
    ] = None,
) -> EvidenceView:
    checkpoints = _checkpoints(request)
    if older is not None and older not in checkpoints.folder.sizes():
        raise MissingError(f"there is no checkpoint of {older} records")
    before = None if older is None else checkpoints.exported(older)
    return EvidenceView(**make_pack(database_of(request), checkpoints, [position], older=before))


def _checkpoints(request: Request) -> Checkpoints:
    return open_checkpoints(database_of(request), request.app.state.settings)


def _view(found: KeptCheckpoint) -> CheckpointView:
    return CheckpointView(
        size=found.size,
        position=found.position,
        root=found.root.hex(),
        note=found.note,
        made_at=found.made_at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z",
    )
