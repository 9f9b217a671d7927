"""A log as lines of JSON, for people and other programs."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from domain.message import Event, Record
from infrastructure.event_store.readable import Reader
from replay.result import replacing


def write_events(path: Path, records: Iterable[Record[Event]]) -> None:
    """One event per line, readable, in the order of the log."""
    reader, encoder = Reader(), msgspec.json.Encoder()
    with replacing(path) as file:
        for record in records:
            for line in reader.lines(record):
                file.write(encoder.encode(line).decode() + "\n")
