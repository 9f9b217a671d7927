"""What the stream says of a record: messages on channels, each event's at its position, in one order for everybody."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from api.row_text import balance_fields, position_fields
from domain.account.events import TradingHalted, TradingResumed
from domain.catalogue import EVENTS
from domain.message import Event, Record
from infrastructure.event_log import BATCH, LogReader, record_start
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import records_of
from infrastructure.row_queries import Unequal
from infrastructure.row_views import View
from projections.alerts import ALERTS
from projections.fills import FILLS
from projections.instruments import InstrumentRow, instrument_of
from projections.orders import ORDERS
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow, PositionRow
from projections.rows import Context, Key, Row, key_getter

Channel = Literal["orders", "fills", "groups", "portfolio", "bots", "deliveries", "events"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
"""In the order in which the messages of one position come."""

_BY_FOLDS: Mapping[Channel, Mapping[type[Event], Any]] = {
    "orders": ORDERS.folds,
    "fills": FILLS.folds,
    "portfolio": PORTFOLIO.folds,
    "deliveries": ALERTS.folds,
}
_BY_MODULE: Mapping[Channel, str] = {"groups": "domain.position_group.events", "bots": "domain.bot.events"}


def _channels_of(event: type[Event]) -> tuple[Channel, ...]:
    found = {channel for channel, folds in _BY_FOLDS.items() if event in folds}
    found |= {channel for channel, module in _BY_MODULE.items() if event.__module__ == module}
    if event in {TradingHalted, TradingResumed}:
        found.add("bots")
    return tuple(channel for channel in CHANNELS if channel in found or channel == "events")


CHANNELS_OF: Mapping[type[Event], tuple[Channel, ...]] = {event: _channels_of(event) for event in EVENTS}

Place = tuple[int, int]
"""(position, which of CHANNELS): where a message stands among all messages."""
R = TypeVar("R", bound=Row)
_ENCODER = msgspec.json.Encoder()


def end_of(position: int) -> Place:
    """The place behind every message of a position."""
    return position, len(CHANNELS)


class Message(Struct, frozen=True):
    """One message as it is sent."""

    place: Place
    channel: Channel
    text: str


class Entry(Struct, frozen=True):
    """The messages of one record, whose last event stands at `last`."""

    last: int
    messages: tuple[Message, ...]


class OpenRows:
    """The rows that the portfolio's fold needs to go on: what is held, not what was. `changed` are the last ones put.

    Profit per day and closed pools are left out: no amount of a balance or a position comes from them.
    """

    def __init__(self) -> None:
        self.changed: dict[type[Row], dict[Key, Row]] = {}
        self._tables: dict[type[Row], dict[Key, Row]] = {
            InstrumentRow: {},
            PositionRow: {},
            BalanceRow: {},
            PoolRow: {},
        }

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        return self._tables.get(row_type, {}).get(key)  # type: ignore[return-value]

    def put(self, row: Row) -> None:
        table, key = self._tables.get(type(row)), key_getter(type(row))(row)
        if table is None:
            return
        if isinstance(row, PoolRow) and not row.quantity:
            table.pop(key, None)
        else:
            table[key] = row
        self.changed.setdefault(type(row), {})[key] = row


class Narrator:
    """Makes entries of a run's records, which it is given in order; with the portfolio from where its rows stand."""

    def __init__(self, database: Database, run: int, rows: OpenRows | None) -> None:
        self.run = run
        self._reader = LogReader(database, run)
        self._rows = rows

    def entry(self, position: int, record: Record[Event]) -> Entry:
        """What there is to say of the record at a position."""
        messages: list[Message] = []
        for offset, line in enumerate(self._reader.lines(position, record)):
            event = record.events[offset]
            rows = self._fold(record, offset)
            for channel in CHANNELS_OF[type(event)]:
                data = rows if channel == "portfolio" else line
                if data is not None:
                    messages.append(_message(channel, position + offset, data))
        return Entry(position + len(record.events) - 1, tuple(messages))

    def pass_over(self, record: Record[Event]) -> None:
        """Take a record in without saying anything of it."""
        for offset in range(len(record.events)):
            self._fold(record, offset)

    def _fold(self, record: Record[Event], offset: int) -> dict[str, Any] | None:
        """The account's balances and positions that an event changed, None where it changed none."""
        event = record.events[offset]
        fold = None if self._rows is None else PORTFOLIO.folds.get(type(event))
        if self._rows is None or fold is None:
            return None
        self._rows.changed = {}
        fold(self._rows, Context(record.stream, record.version + offset, record.at), event)
        balances = [balance_fields(row) for row in _of(self._rows, BalanceRow)]
        positions = [self._position(row) for row in _of(self._rows, PositionRow)]
        if not (balances or positions):
            return None
        return {"account": event.account, "balances": balances, "positions": positions}  # type: ignore[attr-defined]

    def _position(self, row: PositionRow) -> dict[str, Any]:
        listed = None if self._rows is None else self._rows.get(InstrumentRow, row.account, row.instrument)
        assert listed is not None, "the portfolio's fold has seen it listed"
        return position_fields(row, instrument_of(listed))


def narrator_from_rows(database: Database, view: View) -> Narrator:
    """A narrator that goes on behind a view's position, from the rows stored there."""
    assert view.run is not None
    rows = OpenRows()
    kept: Sequence[Row] = [
        *view.rows.some(InstrumentRow, {}),
        *view.rows.some(PositionRow, {}),
        *view.rows.some(BalanceRow, {}),
        *view.rows.some(PoolRow, {"quantity": Unequal(0)}),
    ]
    for row in kept:
        rows.put(row)
    return Narrator(database, view.run.run, rows)


class Replay:
    """A run's entries from a place on, read from the log a batch at a time.

    With the portfolio the log is folded from its beginning: that costs what a read as of the place costs, less the
    memory. It reads the database: call it in a thread.
    """

    def __init__(self, database: Database, run: int, place: Place, *, portfolio: bool) -> None:
        self._database = database
        self._run = run
        self._place = place
        self._portfolio = portfolio
        self._entries: Iterator[Entry] | None = None

    def step(self, limit: int) -> list[Entry]:
        """The next entries, none at the log's end."""
        if self._entries is None:
            self._entries = self._all()
        return list(islice(self._entries, limit))

    def _all(self) -> Iterator[Entry]:
        narrator = Narrator(self._database, self._run, OpenRows() if self._portfolio else None)
        first = record_start(self._database, self._run, self._place[0])
        for kept in records_of(self._database, self._run, 0 if self._portfolio else first - 1, BATCH):
            if kept.position < first:
                narrator.pass_over(kept.decode())
            else:
                yield narrator.entry(kept.position, kept.decode())


def _of(rows: OpenRows, row_type: type[R]) -> Iterator[R]:
    yield from rows.changed.get(row_type, {}).values()  # type: ignore[misc]  # rows are kept by their type


def _message(channel: Channel, position: int, data: Any) -> Message:
    text = _ENCODER.encode({"type": "event", "channel": channel, "position": position, "data": data}).decode()
    return Message((position, CHANNELS.index(channel)), channel, text)
