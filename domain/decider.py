"""Decider: three pure values make an aggregate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from domain.message import Command, Event
from domain.values import InstrumentId, Price, Time


class Now(Struct):
    """The moment in which a rule decides: its time, the last price seen of every instrument, an account's live groups.

    `account` gives an account's state, None where there is none.
    What a rule takes from here it writes into its events.
    """

    at: Time
    marks: dict[InstrumentId, Price]
    groups: Callable[[str], Sequence[Any]] = lambda _account: ()
    account: Callable[[str], Any] = lambda _account: None


class Quiet(Struct, frozen=True):
    """Rounds have nothing to say before `until` (None: ever), while each price stays above one bound and below the other."""

    until: Time | None
    inside: Mapping[InstrumentId, tuple[int, int]]


Rule = Callable[[Any, Any], tuple[Event, ...]]
"""(state, command) -> events; an empty tuple where nothing has changed."""
TimedRule = Callable[[Any, Any, Now], tuple[Event, ...]]
"""(state, command, now) -> events, for what depends on the time or the market; folds see neither."""
Fold = Callable[[Any, Any], Any]
"""(state, event) -> state; never validates, never raises: history has happened."""
Policy = Callable[[Any], tuple[Command, ...]]
"""event -> commands: the reaction of one aggregate to another; it sees the event only."""
Reactions = Mapping[type[Event], tuple[Policy, ...]]
Deadline = Callable[[Any, Time], Iterable[tuple[Time, Command]]]
"""(event, when it happened) -> commands, each with the time at which it is due. It is never taken back: a command that
comes when it no longer matters changes nothing."""


class Decider(Struct, frozen=True):
    """An aggregate: its kind, the key that its commands and events name it by, its first state, its rules and its folds.

    Only the commands in `opens` can bring one into being. `closed` says of a state that it is over, so that the engine
    forgets it; what still addresses it then finds nobody. A command is in `rules` or in `timed`.
    `rounds` says of a state that a command is to come at every full period, in microseconds, for as long as it says so.
    `quiet` says, after a round, for how long further ones would come to nothing while the state and its account's groups
    stay as they are; None where the next may say something. A log is the same without it.
    Only the events in `settles` can close it or change its rounds, None: any of them.
    """

    kind: str
    key: Callable[[Any], object]
    initial: Callable[[], Any]
    rules: Mapping[type[Command], Rule]
    folds: Mapping[type[Event], Fold]
    opens: frozenset[type[Command]]
    closed: Callable[[Any], bool]
    timed: Mapping[type[Command], TimedRule] = field(default_factory=dict)
    rounds: Callable[[Any], tuple[int, Command] | None] | None = None
    quiet: Callable[[Any, Now], Quiet | None] | None = None
    settles: frozenset[type[Event]] | None = None
