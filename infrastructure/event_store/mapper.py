"""To the eventsourcing library, a Record of one run is the domain event: one row, one range of versions, one topic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventsourcing.persistence import Mapper, Notification, StoredEvent, Transcoder

from domain.message import Event, Record
from infrastructure.event_store import codec
from infrastructure.event_store.batch import COLUMNS, Batch


@dataclass(frozen=True, init=False)
class StoredRecord(StoredEvent):
    """A record as it is stored: the library's four fields and the envelope's columns."""

    run: int
    stream: int
    events: int
    at: int
    observed_at: int | None
    venue_at: int | None
    clock_offset: int
    actor: str
    cause_stream: int | None
    cause_version: int | None
    key: str | None
    leaf: bytes

    def __init__(self, **fields: Any) -> None:
        # A frozen dataclass sets its fields one by one, around its own lock: 4 us for these sixteen.
        object.__setattr__(self, "__dict__", fields)

    @property
    def last_version(self) -> int:
        return self.originator_version + self.events - 1


@dataclass(frozen=True)
class RecordNotification(Notification):
    """A record as a reader of the log gets it; `id` is the global position of its first event."""

    events: int
    leaf: bytes


def batch_of(records: Sequence[StoredRecord]) -> Batch:
    """Stored records, as they are appended."""
    fields = [vars(record) for record in records]
    return Batch.of({name: [field[name] for field in fields] for name in COLUMNS})


def originator_id(run: int, stream: int) -> str:
    return f"{run}/{stream}"


def parse_originator_id(text: str) -> tuple[int, int]:
    """The run and the stream."""
    run, _, stream = text.partition("/")
    return int(run), int(stream)


class RecordTranscoder(Transcoder):
    """The codec, as the library's transcoder."""

    def encode(self, obj: Record[Event]) -> bytes:
        return codec.encode(obj)

    def decode(self, data: bytes) -> Record[Event]:
        return codec.decode(data)


class RecordMapper(Mapper[str]):
    """Turns the records of one run into stored ones, and stored ones of any run into records."""

    def __init__(self, run: int) -> None:
        super().__init__(RecordTranscoder())
        self.run = run

    def to_stored_event(self, domain_event: Any) -> StoredRecord:
        """Encode a Record and copy its envelope out; `Any`, because a Record is not of the library's making."""
        record: Record[Event] = domain_event
        state = self.transcoder.encode(record)
        cause_stream, cause_version = record.cause or (None, None)
        return StoredRecord(
            originator_id=originator_id(self.run, record.stream),
            originator_version=record.version,
            topic=codec.TOPIC,
            state=state,
            run=self.run,
            stream=record.stream,
            events=len(record.events),
            at=record.at,
            observed_at=record.observed_at,
            venue_at=record.venue_at,
            clock_offset=record.clock_offset,
            actor=record.actor,
            cause_stream=cause_stream,
            cause_version=cause_version,
            key=record.key,
            leaf=codec.leaf_of(state),
        )

    def to_batch(self, records: Sequence[Record[Event]]) -> Batch:
        """The records as they are appended, a column at a time: a third of what a stored record of each costs."""
        states = list(map(codec.encode, records))
        causes = [record.cause or (None, None) for record in records]
        return Batch.of({
            "run": [self.run] * len(records),
            "stream": [record.stream for record in records],
            "originator_version": [record.version for record in records],
            "events": [len(record.events) for record in records],
            "at": [record.at for record in records],
            "observed_at": [record.observed_at for record in records],
            "venue_at": [record.venue_at for record in records],
            "clock_offset": [record.clock_offset for record in records],
            "actor": [record.actor for record in records],
            "cause_stream": [stream for stream, _ in causes],
            "cause_version": [version for _, version in causes],
            "key": [record.key for record in records],
            "topic": [codec.TOPIC] * len(records),
            "leaf": list(map(codec.leaf_of, states)),
            "state": states,
        })  # fmt: skip

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Decode the Record; raises StoreError with its run and position."""
        run, _ = parse_originator_id(str(stored_event.originator_id))
        position = stored_event.id if isinstance(stored_event, Notification) else 0
        return codec.decode(stored_event.state, run, position)
