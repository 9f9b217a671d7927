"""Decider: three pure values make an aggregate."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from domain.message import Command, Event

Rule = Callable[[Any, Any], tuple[Event, ...]]
"""(state, command) -> events; an empty tuple where nothing has changed."""
Fold = Callable[[Any, Any], Any]
"""(state, event) -> state; never validates, never raises: history has happened."""
Policy = Callable[[Any], tuple[Command, ...]]
"""event -> commands: the reaction of one aggregate to another; it sees the event only."""
Reactions = Mapping[type[Event], tuple[Policy, ...]]


class Decider(Struct, frozen=True):
    """An aggregate: its kind, the key that its commands and events name it by, its first state, its rules and its folds.

    Only the commands in `opens` can bring one into being. `closed` says of a state that it is over, so that the engine
    forgets it; what still addresses it then finds nobody.
    """

    kind: str
    key: Callable[[Any], object]
    initial: Callable[[], Any]
    rules: Mapping[type[Command], Rule]
    folds: Mapping[type[Event], Fold]
    opens: frozenset[type[Command]]
    closed: Callable[[Any], bool]
