"""Records on their way into the log: column by column, packed as the statement that appends takes them.

Whoever appends makes its batch, so that the sequencer's thread has nothing to do but to send.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from infrastructure.event_store.arrays import Column, column

Stream = tuple[int, int]
"""(run, stream)."""
COLUMNS = {
    "run": "bigint", "stream": "integer", "originator_version": "integer", "events": "integer", "at": "bigint",
    "observed_at": "bigint", "venue_at": "bigint", "clock_offset": "bigint", "actor": "text",
    "cause_stream": "integer", "cause_version": "integer", "key": "text", "topic": "text", "leaf": "bytea",
    "state": "bytea",
}  # fmt: skip
"""The columns behind the position, by the stored record's field."""


class Gap(Struct, frozen=True, gc=False):
    """A record for `version` that does not follow the one before it in its batch, with which its stream is at `head`."""

    stream: Stream
    head: int
    version: int


class Batch(Struct, frozen=True):
    """Records to append together, of one run or several; by stream, the version it begins with here and the last it gets."""

    streams: list[Stream]
    versions: Sequence[int]
    counts: Sequence[int]
    leaves: Sequence[bytes]
    states: Sequence[bytes]
    columns: tuple[Column, ...]
    begins: dict[Stream, int]
    ends: dict[Stream, int]
    gap: Gap | None

    @classmethod
    def of(cls, values: Mapping[str, Sequence[Any]]) -> "Batch":
        """The values of each of COLUMNS. Raises OverflowError, struct.error or UnicodeEncodeError for what none can hold."""
        streams = list(zip(values["run"], values["stream"], strict=True))
        versions, counts = values["originator_version"], values["events"]
        columns = tuple(column(kind, values[name]) for name, kind in COLUMNS.items()) if streams else ()
        return cls(
            streams, versions, counts, values["leaf"], values["state"], columns, *_spans(streams, versions, counts)
        )

    def __len__(self) -> int:
        return len(self.streams)

    @property
    def runs(self) -> set[int]:
        return {run for run, _ in self.begins}


def _spans(
    streams: Sequence[Stream], versions: Sequence[int], counts: Sequence[int]
) -> tuple[dict[Stream, int], dict[Stream, int], Gap | None]:
    """Of each stream the first version and the last, and the first gap."""
    begins: dict[Stream, int] = {}
    ends: dict[Stream, int] = {}
    gap: Gap | None = None
    for stream, version, count in zip(streams, versions, counts, strict=True):
        head = ends.get(stream)
        if head is None:
            begins[stream] = version
        elif version != head + 1 and gap is None:
            gap = Gap(stream, head, version)
        ends[stream] = version + count - 1
    return begins, ends, gap
