"""Explanations: why something traded, or did not, as a tree from its first cause."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER, ViewsHere
from api.problems import responses
from api.reads import AsOfText, Name, Number, Point, parse_as_of, point
from domain.errors import MissingError
from replay.causal_tree import Node, Said
from replay.explain import DECISIONS, DECISIONS_MAX, Explainer, Explanation

router = APIRouter(prefix="/explain", tags=["explain"], dependencies=[VIEWER])


class SaidView(BaseModel):
    """An event and what it comes to in words; `minor` is bookkeeping that people can do without."""

    position: int = Field(examples=[4711])
    event: str = Field(examples=["account.order_denied.v1"])
    text: str = Field(examples=["risk denies order 5, NOTIONAL_BELOW_MINIMUM: notional=4.2, minimum=5; ..."])
    minor: bool
    data: dict[str, Any]


class DecisionView(BaseModel):
    """A decision, and what followed from it; `cause` is the position of the event that led to it, null for a fact.

    Where that event is not in the tree, `because` tells how it came about, the first thing first. What a group decides
    hangs at the group, whatever report it answers: `cause` names that. `cut`: more followed than is shown.
    """

    at: str
    stream: str = Field(examples=["account/main"])
    actor: str = Field(examples=["user:admin"])
    cause: int | None
    said: list[SaidView]
    because: list[SaidView]
    children: list["DecisionView"]
    cut: bool


class ExplanationAnswer(BaseModel):
    """A story as a tree from its first cause; `asked` is where it comes to what was asked about.

    Not `complete` where some of it was left out: ask with a higher `limit`, or about a part of it.
    """

    subject: str = Field(examples=["order 17 of account main"])
    run: int
    asked: int
    decisions: int
    complete: bool
    root: DecisionView
    as_of: Point


class _Asked:
    """The run that is asked about, and how far its log is to be known."""

    def __init__(
        self,
        views: ViewsHere,
        as_of: AsOfText = None,
        run: Annotated[
            Number | None, Query(description="A kept run, a backtest too; the one that trades without it.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=DECISIONS_MAX, description="Decisions at most.")] = DECISIONS,
    ) -> None:
        self.view = views.log(parse_as_of(as_of), run)
        self._views = views
        self._limit = limit

    def answer(self, ask: Callable[[Explainer], Explanation]) -> ExplanationAnswer:
        if self.view.run is None:
            raise MissingError("there is nothing on the log yet")
        found = ask(Explainer(self._views.database, self.view.run.run, self.view.position, self._limit))
        return ExplanationAnswer(
            subject=found.subject,
            run=found.run,
            asked=found.asked,
            decisions=found.decisions,
            complete=found.complete,
            root=_view(found.root),
            as_of=point(self.view),
        )


Asked = Annotated[_Asked, Depends()]


@router.get(
    "/orders/{account}/{order}", summary="What led to an order, and what became of it", responses=responses(404)
)
def explain_order(account: Name, order: Annotated[Number, Path()], asked: Asked) -> ExplanationAnswer:
    return asked.answer(lambda explainer: explainer.order(account, order))


@router.get("/signals/{source}/{number}", summary="What an alert came to, or why to nothing", responses=responses(404))
def explain_signal(source: Name, number: Annotated[Number, Path()], asked: Asked) -> ExplanationAnswer:
    return asked.answer(lambda explainer: explainer.signal(source, number))


@router.get(
    "/groups/{bot}/{group}", summary="What opened a position group, and all that it did", responses=responses(404)
)
def explain_group(bot: Name, group: Annotated[Number, Path()], asked: Asked) -> ExplanationAnswer:
    return asked.answer(lambda explainer: explainer.group(bot, group))


@router.get("/events/{position}", summary="What led to an event, and what followed from it", responses=responses(404))
def explain_event(position: Annotated[Number, Path()], asked: Asked) -> ExplanationAnswer:
    return asked.answer(lambda explainer: explainer.event(position))


def _view(node: Node) -> DecisionView:
    return DecisionView(
        at=node.at,
        stream=node.stream,
        actor=node.actor,
        cause=node.cause,
        said=[_said(each) for each in node.said],
        because=[_said(each) for each in node.because],
        children=[_view(child) for child in node.children],
        cut=node.cut,
    )


def _said(said: Said) -> SaidView:
    return SaidView(position=said.position, event=said.event, text=said.text, minor=said.minor, data=said.data)
