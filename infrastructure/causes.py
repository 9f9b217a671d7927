"""The records of one run by what led to them: causes, effects, and whatever else names the same thing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from domain.catalogue import tag_of
from domain.engine import stream_key
from domain.message import Event, EventId, Record
from domain.position_group.events import GroupOpened
from domain.strategy.events import StrategyConfigured, StrategyStarted
from domain.values import LARGEST
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import reading

WINDOW = 1_000
WINDOW_MAX = 64_000
"""Versions of a stream that are looked through at a time, at first and at most."""

_FIELDS = "position, state"
_AT = f"SELECT {_FIELDS} FROM records WHERE run = %s AND position <= %s ORDER BY position DESC LIMIT 1"  # noqa: S608
_HOLDING = (
    f"SELECT {_FIELDS} FROM records WHERE run = %s AND stream = %s AND version <= %s"  # noqa: S608  (names from above)
    " ORDER BY version DESC LIMIT 1"
)
# LATERAL: one look into the index for each cause, whatever the planner believes of a young table.
_EFFECTS = """
SELECT effect.position, effect.state FROM unnest(%s::integer[], %s::integer[]) AS cause (stream, version)
CROSS JOIN LATERAL (
    SELECT position, state FROM records
    WHERE run = %s AND cause_stream = cause.stream AND cause_version = cause.version AND position <= %s
) AS effect
ORDER BY position LIMIT %s
"""
_FROM = (
    f"SELECT {_FIELDS} FROM records WHERE run = %s AND stream = %s AND version >= %s"  # noqa: S608  (the same)
    " AND position(%s::bytea IN state) > 0 ORDER BY version LIMIT 1"
)
_WINDOW = (
    f"SELECT {_FIELDS} FROM records WHERE run = %s AND stream = %s AND version > %s AND version <= %s"  # noqa: S608
    " AND position(%s::bytea IN state) > 0 ORDER BY version"
)
_HEAD = "SELECT version + events - 1 FROM records WHERE run = %s AND stream = %s ORDER BY version DESC LIMIT 1"
_NUMBERS = "SELECT stream FROM records WHERE run = %s AND key = %s ORDER BY stream"
_FIRST = "SELECT state FROM records WHERE run = %s AND key = ANY(%s)"


class Kept(Struct, frozen=True):
    """A record and the position of its first event."""

    position: int
    record: Record[Event]

    def ids(self) -> Iterator[tuple[EventId, Event]]:
        """Its events, each under its id."""
        for offset, event in enumerate(self.record.events):
            yield (self.record.stream, self.record.version + offset), event

    def position_of(self, event: EventId) -> int:
        return self.position + event[1] - self.record.version


class CausalLog:
    """Reads a run as it was known at a position, through indexes; a stream that has none for it, a window at a time."""

    def __init__(self, database: Database, run: int, upto: int = LARGEST) -> None:
        self.run = run
        self._database = database
        self._upto = upto

    def at(self, position: int) -> Kept | None:
        """The record whose events stand at a position."""
        if position > self._upto:
            return None
        found = self._read(_AT, [self.run, position])
        return next((kept for kept in found if position < kept.position + len(kept.record.events)), None)

    def holding(self, event: EventId) -> Kept | None:
        """The record that an event is in."""
        found = self._read(_HOLDING, [self.run, *event])
        return next((kept for kept in found if event in dict(kept.ids())), None)

    def effects(self, causes: Sequence[EventId], limit: int) -> list[Kept]:
        """The decisions that name one of these events as their cause, in the order of the log."""
        streams, versions = [stream for stream, _ in causes], [version for _, version in causes]
        return self._read(_EFFECTS, [streams, versions, self.run, self._upto, limit])

    def streams(self, key: str) -> list[int]:
        """The streams of a name, oldest first: a name that was given up and used again has several."""
        with reading(self._database) as cursor:
            return [row[0] for row in cursor.execute(_NUMBERS, [self.run, key]).fetchall()]

    def numbered(self, key: str, kind: type[Event], number: Callable[[Any], int], wanted: int) -> Kept | None:
        """The record whose event of a kind has a number, where a stream's events of that kind are numbered upwards."""
        for stream in self.streams(key):
            found = self._searched(stream, kind, number, wanted)
            if found is not None and found.position <= self._upto:
                return self._known(found)
        return None

    def naming(self, stream: int, after: int, values: Iterable[str | int]) -> Iterator[Kept]:
        """The stream's records behind a version that hold these values in a row, in order; may hold them by chance."""
        needle, window, head = needle_of(values), WINDOW, self._head(stream)
        while after < head:
            yield from self._read(_WINDOW, [self.run, stream, after, after + window, needle])
            after, window = after + window, min(4 * window, WINDOW_MAX)

    def named_before(self, stream: int, before: int, values: Iterable[str | int]) -> Iterator[Kept]:
        """The same before a version, newest first."""
        needle, window = needle_of(values), WINDOW
        while before > 1:
            found = self._read(_WINDOW, [self.run, stream, before - 1 - window, before - 1, needle])
            yield from reversed(found)
            before, window = before - window, min(4 * window, WINDOW_MAX)

    def instruments_of(self, groups: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """What each of these groups trades."""
        keys = [stream_key("position_group", group) for group in groups]
        with reading(self._database) as cursor:
            states = [row[0] for row in cursor.execute(_FIRST, [self.run, keys]).fetchall()] if keys else []
        opened = (codec.decode(state, self.run, 0).events[0] for state in states)
        return {(event.bot, event.group): event.instrument.id for event in opened if isinstance(event, GroupOpened)}

    def features_of(self, stream: int, version: int) -> tuple[str, ...]:
        """The names of the features that a strategy's stream had in force at a version."""
        for kept in self.named_before(stream, version, (tag_of(StrategyConfigured),)):
            for _, event in reversed(list(kept.ids())):
                if isinstance(event, StrategyConfigured):
                    return event.features
        first = self.holding((stream, 1))
        started = first.record.events[0] if first else None
        return started.features if isinstance(started, StrategyStarted) else ()

    def _searched(self, stream: int, kind: type[Event], number: Callable[[Any], int], wanted: int) -> Kept | None:
        """Halves the stream until the number is found: some twenty looks at a million events."""
        low, high, tag = 1, self._head(stream), tag_of(kind).encode()
        while low <= high:
            middle = (low + high) // 2
            numbers: list[int] = []
            start = middle
            while not numbers:
                found = self._read(_FROM, [self.run, stream, start, tag], known=False)
                if not found:
                    break
                start = found[0].record.version + len(found[0].record.events)
                numbers = [number(event) for event in found[0].record.events if isinstance(event, kind)]
            if wanted in numbers:
                return found[0]
            if numbers and numbers[-1] < wanted:
                low = start
            else:
                high = middle - 1
        return None

    def _head(self, stream: int) -> int:
        with reading(self._database) as cursor:
            (head,) = cursor.execute(_HEAD, [self.run, stream]).fetchone() or (0,)
        return int(head)

    def _read(self, statement: str, parameters: list[Any], *, known: bool = True) -> list[Kept]:
        with reading(self._database) as cursor:
            rows = cursor.execute(statement.encode(), parameters).fetchall()
        found = [Kept(position, codec.decode(state, self.run, position)) for position, state in rows]
        return [self._known(kept) for kept in found if kept.position <= self._upto] if known else found

    def _known(self, kept: Kept) -> Kept:
        """Of the record at the last position that is asked for, the events up to there."""
        count = self._upto - kept.position + 1
        if len(kept.record.events) <= count:
            return kept
        return Kept(kept.position, structs.replace(kept.record, events=kept.record.events[:count]))


def needle_of(values: Iterable[str | int]) -> bytes:
    """The bytes of values that stand in a row in an event."""
    return b"".join(msgspec.msgpack.encode(value) for value in values)
