"""The inbox: what a 2xx answer promises is a row here. A shard takes the rows in order and says what became of each."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from eventsourcing.persistence import PersistenceError
from msgspec import Struct, structs
from psycopg import Connection
from psycopg.rows import tuple_row

from domain.account import commands as account
from domain.bot import commands as bot
from domain.errors import InputError, StoreError
from domain.execution_pool import commands as execution_pool
from domain.market import Candle, Trade
from domain.message import Command
from domain.portfolio_risk import commands as portfolio_risk
from domain.signal.commands import DeliverAlert, MapSource, OpenSource
from domain.strategy import commands as strategy
from domain.values import InstrumentId, Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import select

Kind = Literal["command", "alert", "candle", "trade"]
CHANNEL = "inbox"
OUTCOMES_CHANNEL = "outcomes"
HISTORY = 5_000
"""Rows of the past that are read at a time."""
_LOCK = 0x7472_7565_0003
"""The advisory lock of whoever adds rows: ids are given in the order of commits, so a shard never passes one over."""

COMMANDS: Mapping[str, type[Command]] = {
    command.__name__: command
    for command in (
        account.OpenAccount, account.ListInstrument, account.DepositCash, account.DepositPosition, account.PlaceOrder,
        account.CancelOrderById, account.HaltTrading, account.ResumeTrading,
        account.SetRiskLimits, account.ReviewRisk, account.RecordReference,
        bot.CreateBot, bot.ConfigureBot, bot.StartBot, bot.PauseBot, bot.ResumeBot, bot.StopBot, bot.DeleteBot,
        bot.CloseGroup, OpenSource, MapSource,
        execution_pool.ConfigurePool, execution_pool.PromoteSignal, execution_pool.RemoveSignal,
        portfolio_risk.ConfigureOffset, portfolio_risk.RunOffset, portfolio_risk.SkipOffset,
        portfolio_risk.BlockGroup, portfolio_risk.UnblockGroup,
        strategy.StartStrategy, strategy.ConfigureStrategy, strategy.PauseStrategy, strategy.ResumeStrategy,
        strategy.CloseStrategy, strategy.FailStrategy,
    )
}  # fmt: skip
"""What people may ask of a shard, by the name it is stored under."""


class MarketCandle(Struct, frozen=True, array_like=True):
    """A candle pushed to a simulated market.

    `ended_at` is the market's time once it has passed, None where that stays its open time. `together` counts the rows, from
    this one on, that are candles of one instant; 0 in all but the first.
    """

    instrument: InstrumentId
    candle: Candle
    ended_at: Time | None = None
    together: int = 1


class MarketTrade(Struct, frozen=True, array_like=True):
    """A trade pushed to a simulated market."""

    instrument: InstrumentId
    trade: Trade


Content = Command | MarketCandle | MarketTrade


class Entry(Struct, frozen=True):
    """Something to put in: who asks, what, and a key under which asking again is the same as asking once."""

    actor: str
    content: Content
    idempotency_key: str | None = None


class InboxRow(Struct, frozen=True):
    """A row: an accepted input, in its place."""

    id: int
    kind: Kind
    actor: str
    body: bytes
    received_at: Time

    def content(self) -> Content:
        """Decode the input; raises InputError where it is none of this version's."""
        return decode_content(self.kind, self.body)


class Outcome(Struct, frozen=True):
    """What became of a row: the positions of its first and last event, or None; `error` where it could not be taken."""

    id: int
    first_position: int | None
    last_position: int | None
    error: str | None = None


def instant(candles: Sequence[MarketCandle]) -> list[MarketCandle]:
    """Candles of several markets that ended together, as rows to be put at once: all is known before anything reacts."""
    return [structs.replace(candle, together=0 if number else len(candles)) for number, candle in enumerate(candles)]


def encode_content(content: Content) -> tuple[Kind, str, bytes]:
    """An input as its kind, subject and bytes: commands as a name and an array of fields."""
    if isinstance(content, MarketCandle):
        return "candle", content.instrument, msgspec.msgpack.encode(content)
    if isinstance(content, MarketTrade):
        return "trade", content.instrument, msgspec.msgpack.encode(content)
    if isinstance(content, DeliverAlert):
        return "alert", content.source, msgspec.msgpack.encode(content)
    name = type(content).__name__
    assert name in COMMANDS, name
    return "command", name, msgspec.msgpack.encode((name, content))


def decode_content(kind: Kind, body: bytes) -> Content:
    """The reverse; raises InputError."""
    try:
        if kind == "candle":
            return msgspec.msgpack.decode(body, type=MarketCandle)
        if kind == "trade":
            return msgspec.msgpack.decode(body, type=MarketTrade)
        if kind == "alert":
            return msgspec.msgpack.decode(body, type=DeliverAlert)
        name, fields = msgspec.msgpack.decode(body, type=tuple[str, msgspec.Raw])
        return msgspec.msgpack.decode(fields, type=COMMANDS[name])
    except (msgspec.MsgspecError, KeyError) as error:
        raise InputError(f"an inbox row of kind {kind} cannot be read: {error}") from None


class Inbox:
    """The inbox of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, entries: Sequence[Entry], received_at: Time | None = None) -> list[int]:
        """Add rows in one transaction and return their ids in order; a known idempotency key gives the old row's id.

        Durable on return. Raises StoreError, and nothing was added, or whether it was is not known: ask again under the
        same keys.
        """
        at = Time(time.time_ns() // 1000) if received_at is None else received_at
        try:
            with self._database.datastore.get_connection() as connection, connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                with connection.cursor(row_factory=tuple_row) as cursor:
                    return _insert(cursor, entries, at)
        except PersistenceError as error:
            raise StoreError(f"the inbox cannot be written: {error}") from error

    def rows(self, after: int, limit: int) -> list[InboxRow]:
        """The next rows, in order."""
        statement = "SELECT id, kind, actor, body, received_at FROM inbox WHERE id > %s ORDER BY id LIMIT %s"
        return [InboxRow(*row) for row in self._read(statement, [after, limit])]

    def taken(self) -> int:
        """The id of the last row that has an outcome: rows are taken in order."""
        (row,) = self._read("SELECT coalesce(max(id), 0) FROM outcomes", [])
        return int(row[0])

    def taken_upto(self) -> tuple[int, int]:
        """The id of the last row that has an outcome, and the position of the last event that rows have caused."""
        ((number, position),) = self._read(
            "SELECT coalesce(max(id), 0), coalesce(max(last_position), 0) FROM outcomes", []
        )
        return number, position

    def outcomes(self, ids: Sequence[int]) -> dict[int, Outcome]:
        """The outcomes there are of these rows."""
        statement = "SELECT id, first_position, last_position, error FROM outcomes WHERE id = ANY(%s)"
        return {row[0]: Outcome(*row) for row in self._read(statement, [list(ids)])}

    def last_prints(self, upto: int) -> list[MarketCandle | MarketTrade]:
        """The last candle or trade of each instrument among the rows up to `upto`, in the order in which they came."""
        statement = """
            SELECT kind, body FROM (
                SELECT DISTINCT ON (subject) id, kind, body FROM inbox
                WHERE kind IN ('candle', 'trade') AND id <= %s ORDER BY subject, id DESC
            ) AS latest ORDER BY id
        """
        found = [decode_content(kind, body) for kind, body in self._read(statement, [upto])]
        return [pushed for pushed in found if isinstance(pushed, MarketCandle | MarketTrade)]

    def features_of(self, upto: int) -> Iterator[Command | MarketCandle]:
        """What the features of strategies were made from, among the rows up to `upto` that were taken, in order."""
        started = "SELECT min(id) FROM inbox WHERE kind = 'command' AND subject = %s"
        ((first,),) = self._read(started, [strategy.StartStrategy.__name__])
        if first is None:
            return
        last = first - 1
        statement = """
            SELECT inbox.id, kind, body FROM inbox JOIN outcomes ON outcomes.id = inbox.id AND error IS NULL
            WHERE inbox.id > %s AND inbox.id <= %s AND (kind = 'candle' OR subject = ANY(%s)) ORDER BY inbox.id LIMIT %s
        """
        subjects = [strategy.StartStrategy.__name__, strategy.ConfigureStrategy.__name__]
        while rows := self._read(statement, [last, upto, subjects, HISTORY]):
            last = rows[-1][0]
            for _, kind, body in rows:
                content = decode_content(kind, body)
                if isinstance(content, Command | MarketCandle):
                    yield content

    def _read(self, statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return select(self._database, statement, parameters, "the inbox")


def write_outcomes(connection: Connection[Any], outcomes: Sequence[Outcome]) -> None:
    """Say, inside a transaction, what became of rows. Said twice, the first stands."""
    rows = [(each.id, each.first_position, each.last_position, _storable(each.error)) for each in outcomes]
    connection.execute(
        "INSERT INTO outcomes (id, first_position, last_position, error)"
        " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[]) ON CONFLICT DO NOTHING",
        [list(column) for column in zip(*rows, strict=True)],
    )
    connection.execute(f"NOTIFY {OUTCOMES_CHANNEL}")


def _storable(text: str | None) -> str | None:
    """What was asked may be quoted in it, and may be what Postgres refuses."""
    return None if text is None else text.replace("\0", "\ufffd")


def _insert(cursor: Any, entries: Sequence[Entry], at: Time) -> list[int]:
    keys = [(entry.actor, entry.idempotency_key) for entry in entries if entry.idempotency_key is not None]
    known = dict(_known(cursor, keys))
    (last,) = cursor.execute("SELECT coalesce(max(id), 0) FROM inbox").fetchone()
    ids: list[int] = []
    fresh: list[tuple[Any, ...]] = []
    for entry in entries:
        key = (entry.actor, entry.idempotency_key)
        number = known.get(key)
        if number is None:
            last = number = last + 1
            if entry.idempotency_key is not None:
                known[key] = number
            fresh.append((number, *encode_content(entry.content), entry.actor, at, entry.idempotency_key))
        ids.append(number)
    if fresh:
        columns = [list(column) for column in zip(*fresh, strict=True)]
        cursor.execute(
            "INSERT INTO inbox (id, kind, subject, body, actor, received_at, idempotency_key) SELECT * FROM"
            " unnest(%s::bigint[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::bigint[], %s::text[])",
            columns,
        )
        cursor.execute(f"NOTIFY {CHANNEL}")
    return ids


def _known(cursor: Any, keys: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, str | None], int]]:
    if not keys:
        return
    actors, texts = [actor for actor, _ in keys], [key for _, key in keys]
    statement = (
        "SELECT actor, idempotency_key, id FROM inbox JOIN unnest(%s::text[], %s::text[]) AS asked (actor, idempotency_key)"
        " USING (actor, idempotency_key)"
    )
    for actor, key, number in cursor.execute(statement, [actors, texts]):
        yield (actor, key), number
