"""Event, Command, Fact, Record: what goes in, what comes out, and the envelope that it is kept in."""

from typing import Generic, TypeVar

from msgspec import Struct

from domain.values import Time

EventId = tuple[int, int]
"""(stream, version): streams are numbered in the order in which a run opens them, from 1."""


class Event(Struct, frozen=True, array_like=True, tag_field="tag", gc=False):
    """Something that happened; stored under its explicit tag, for ever."""


class Command(Struct, frozen=True, array_like=True, gc=False):
    """A request to one aggregate, from a person, a policy or the engine; it may be refused."""


class Fact(Command, frozen=True, array_like=True):
    """A report from outside to one aggregate: it has happened, so it can be doubted but not refused."""


E = TypeVar("E")


class Record(Struct, Generic[E], frozen=True, array_like=True, gc=False):
    """One decision: the events that one `decide` made, with one envelope; event k has version + k.

    `at` is when it was decided, `observed_at` when its input was seen, `venue_at` the venue's own time; the last two
    only where they differ or are known. `cause` names the event that led here, None for an external fact. `key` names
    the stream and stands in its first record only. The run, the global position and the wall clock are no part of it:
    the same input gives the same bytes.
    """

    stream: int
    version: int
    at: Time
    actor: str
    cause: EventId | None
    events: tuple[E, ...]
    key: str | None = None
    observed_at: Time | None = None
    venue_at: Time | None = None
    clock_offset: int = 0
