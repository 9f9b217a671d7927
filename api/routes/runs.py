"""Runs: which histories are kept, under which code, and how they ended."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, Listing, Order, Point, make_cursor, read_cursor, time_or_none
from infrastructure.event_store.runs import Run
from infrastructure.row_views import current_run
from infrastructure.run_list import runs_as_of

router = APIRouter(tags=["runs"], dependencies=[VIEWER])
_ORDER = Order("runs", None, ("run",), descending=True)


class RunEndView(BaseModel):
    """What a run came to: how many records and events, with which digest."""

    records: int
    events: int
    log_sha256: str
    ended_at: str


class RunView(BaseModel):
    """A run; without an end it is going on, or was interrupted. The other reads are of the `current` one."""

    run: int = Field(examples=[3])
    label: str
    mode: str = Field(examples=["paper"])
    current: bool
    engine_version: str
    rules_hash: str
    tape_name: str | None
    tape_digest: str | None
    settings: dict[str, Any]
    created_at: str
    end: RunEndView | None


@router.get("/runs", summary="List runs, newest first", responses=responses())
def list_runs(asked: AskedList) -> Listing[RunView]:
    database = asked.views.database
    before = None if asked.cursor is None else int(read_cursor(_ORDER, asked.cursor)[0])
    known = runs_as_of(database, asked.as_of)
    current = current_run(database)
    found = [run for run in known.runs if before is None or run.run < before]
    return Listing(
        items=[_view(run, current) for run in found[: asked.limit]],
        next=make_cursor(_ORDER, (found[asked.limit - 1].run,)) if len(found) > asked.limit else None,
        as_of=Point(position=known.position, at=time_or_none(known.at)),
    )


def _view(run: Run, current: Run | None) -> RunView:
    end = run.end
    return RunView(
        run=run.run,
        label=run.label,
        mode=run.mode,
        current=current is not None and run.run == current.run,
        engine_version=run.engine_version,
        rules_hash=run.rules_hash,
        tape_name=run.tape_name,
        tape_digest=run.tape_digest,
        settings=run.settings,
        created_at=_moment_text(run.created_at),
        end=None
        if end is None
        else RunEndView(
            records=end.records, events=end.events, log_sha256=end.log_sha256, ended_at=_moment_text(end.ended_at)
        ),
    )


def _moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
