"""Records that say nothing in particular, for tests of what stores them."""

from domain.message import Event, EventId, Record
from domain.position_group.events import GroupClosed
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening

OPENING = RunOpening("test", "backtest", {"seed": 7})


def record(stream: int, version: int, events: int = 1, cause: EventId | None = None, at: int = 5) -> Record[Event]:
    closed: tuple[Event, ...] = tuple(GroupClosed("b", number, f"{stream}.{version}") for number in range(events))
    return Record(stream, version, Time(at), "test", cause, closed, f"s{stream}" if version == 1 else None)


def begin(database: Database, group_size: int = 1000) -> PostgresLedger:
    return PostgresLedger.begin(database, OPENING, Time(1), group_size)
