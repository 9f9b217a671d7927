"""A tree of decisions, made of records that were found: each below what led to it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from domain.message import EventId
from infrastructure.causes import Kept
from replay.subjects import Scope

_GROUPS = "position_group/"


class Said(Struct, frozen=True):
    """An event: where it stands on the log, its name and fields, and what it comes to in words.

    `minor` is bookkeeping that people can do without.
    """

    position: int
    event: str
    text: str
    minor: bool
    data: dict[str, Any]


class Node(Struct, frozen=True):
    """A decision: its events, when and by whom, and what followed.

    `cause` is the position of the event that led to it, None for what came from outside. Where that event is not in the
    tree above, `because` tells how it came about, the first thing first. `cut`: more followed than is shown.
    """

    at: str
    stream: str
    actor: str
    cause: int | None
    said: tuple[Said, ...]
    because: tuple[Said, ...]
    children: tuple["Node", ...]
    cut: bool


class Found(Struct):
    """Records of one story by position.

    `home` is where a record hangs whose cause is not among them; `cut` are those of which not all that followed was taken.
    """

    scope: Scope
    records: dict[int, Kept]
    home: dict[int, int]
    cut: set[int]


class Step(Struct, frozen=True):
    """A decision on the way from the first cause to what is asked about, and the event of it that led on."""

    kept: Kept
    event: EventId


class Told(Struct, frozen=True):
    """Records in words: the envelope's fields by name, and each event's."""

    line: Mapping[str, Any]
    said: Sequence[Said]


Tell = Callable[[Kept], Told]
Because = Callable[[Kept], tuple[tuple[Said, ...], int | None]]
"""(record) -> how it came about, where its cause is not shown, and the position of its cause."""


def grow(found: Found, tell: Tell, because: Because, root: int) -> Node:
    """The tree below a record."""
    parents = _parents(found, tell)
    children: dict[int, list[int]] = {}
    for position, parent in sorted(parents.items()):
        if position != root:
            children.setdefault(parent, []).append(position)

    def node(position: int) -> Node:
        kept = found.records[position]
        below = tuple(node(each) for each in children.get(position, ()))
        reasons, cause = because(kept)
        told = tell(kept)
        return make_node(told, _shown(found.scope, kept, told), cause, reasons, below, cut=position in found.cut)

    return node(root)


def make_node(
    told: Told,
    said: Sequence[Said],
    cause: int | None,
    because: tuple[Said, ...],
    children: tuple[Node, ...],
    *,
    cut: bool,
) -> Node:
    line = told.line
    return Node(line["at"], line["stream"], line["actor"], cause, tuple(said), because, children, cut)


def _parents(found: Found, tell: Tell) -> dict[int, int]:
    """Where each record hangs.

    What a group decides hangs at its first decision here, not below the report that it answers: so a group's life is
    one list in the order of time, with its orders, and not a stair. Everything else hangs below its cause.
    """
    holders = {identity: position for position, kept in found.records.items() for identity, _ in kept.ids()}
    first: dict[int, int] = {}
    for position, kept in sorted(found.records.items()):
        group = tell(kept).line["stream"].startswith(_GROUPS)
        if group and any(found.scope.has(event) for event in kept.record.events):
            first.setdefault(kept.record.stream, position)
    parents = {}
    for position, kept in found.records.items():
        cause = kept.record.cause
        home = first.get(kept.record.stream, position)
        if home != position:
            parents[position] = home
        elif cause in holders:
            parents[position] = holders[cause]
        else:
            parents[position] = found.home.get(position, position)
    return parents


def _shown(scope: Scope, kept: Kept, told: Told) -> list[Said]:
    """What of a decision belongs here: of many orders that one decision cancels, those of the story."""
    pairs = list(zip(kept.record.events, told.said, strict=True))
    return [said for event, said in pairs if scope.shows(event)] or [said for _, said in pairs]


def decisions(nodes: Iterable[Node]) -> int:
    """How many decisions there are in trees."""
    return sum(1 + decisions(node.children) for node in nodes)
